"""Parity tells an exported model that computes the same from one that does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from export_networks import samples
from torch import fx, nn

from netwright.core.errors import ParityError
from netwright.export.parity import check_parity

MODEL = nn.Linear(4, 3)
INPUTS = samples(50, 4)


def _exact(batch: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return MODEL(torch.from_numpy(batch)).numpy()


def test_equal_models_agree_and_the_proof_is_json() -> None:
    labels = _exact(INPUTS).argmax(axis=1)
    found = check_parity(_exact, MODEL, INPUTS, targets=labels)
    assert found.max_difference < 1e-6
    assert (found.agreement, found.accuracy_original, found.accuracy_exported) == (1.0, 1.0, 1.0)
    assert json.loads(json.dumps(found.to_json()))["batch_sizes"] == [1, 2, 7]


def test_a_small_error_is_measured_and_judged_by_the_tolerance() -> None:
    def off(batch: np.ndarray) -> np.ndarray:
        return _exact(batch) + np.float32(0.01)

    found = check_parity(off, MODEL, INPUTS, tolerance=None)
    assert found.max_difference == pytest.approx(0.01, rel=1e-3)
    assert found.mean_difference == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ParityError, match=r"differs from the original by 0\.01 at most"):
        check_parity(off, MODEL, INPUTS)


def test_an_error_at_one_batch_size_only_is_found() -> None:
    def only_right_for_many(batch: np.ndarray) -> np.ndarray:
        return _exact(batch) * np.float32(2 if len(batch) == 7 else 1)

    with pytest.raises(ParityError, match="differs"):
        check_parity(only_right_for_many, MODEL, INPUTS)
    found = check_parity(only_right_for_many, MODEL, INPUTS, tolerance=None).by_shape
    assert list(found) == ["batch size 1", "batch size 2", "batch size 7"]
    assert found["batch size 1"] < 1e-6 < 0.1 < found["batch size 7"]


def test_an_error_at_another_length_only_is_found() -> None:
    model = nn.Linear(5, 3)

    def wrong_when_longer(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(batch)).numpy() + np.float32(batch.shape[1] > 9)

    inputs = samples(4, 9, 5)
    check_parity(wrong_when_longer, model, inputs)
    with pytest.raises(ParityError, match="differs"):
        check_parity(wrong_when_longer, model, inputs, lengths=(3, 20))


def test_outputs_of_another_shape_or_not_finite_are_refused() -> None:
    with pytest.raises(ParityError, match=r"output has the shape \(50, 2\), the original's \(50, 3\)"):
        check_parity(lambda batch: _exact(batch)[:, :2], MODEL, INPUTS)
    with pytest.raises(ParityError, match="not finite"):
        check_parity(lambda batch: _exact(batch) * np.nan, MODEL, INPUTS, tolerance=None)


class _Signs(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.sign(inputs).sum(1, keepdim=True)


@pytest.mark.parametrize(("turned", "passes"), [(0.3, True), (0.7, False)])
def test_where_a_network_takes_signs_the_median_sample_is_judged(turned: float, passes: bool) -> None:
    inputs = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)

    def turning(batch: np.ndarray) -> np.ndarray:
        outputs = np.sign(batch).sum(1, keepdims=True)
        outputs[: round(turned * len(batch))] += 2
        return outputs

    traced = fx.symbolic_trace(_Signs())
    if passes:
        assert check_parity(turning, traced, inputs, sizes=()).max_difference == 2
        with pytest.raises(ParityError, match="at most"):
            check_parity(turning, nn.Sequential(_Signs()), inputs, sizes=())
    else:
        with pytest.raises(ParityError, match="in the median"):
            check_parity(turning, traced, inputs, sizes=())
