"""`.pte` files: ExecuTorch itself runs them, and they compute what the network does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export_networks import NETWORKS, Refused, convnet, samples

from netwright.core.errors import ExportError, MissingPackageError
from netwright.core.plugins import build


def executorch() -> None:
    if importlib.util.find_spec("executorch") is None:  # to import it would write to stderr
        pytest.skip("needs the extra netwright[executorch]")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnet", "separable", "mlp", "lstm", "gru"])
def test_the_file_computes_what_the_network_does_at_any_batch_size(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    executorch()
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = make().eval()
    form = build("format", {"kind": "pte", "largest_batch": 16})
    run = form.opened(form.write(model, tmp_path / "m.pte", example=samples(3, *shape)))
    for count in (1, 3, 16, 21):  # more than the largest batch are run in parts
        inputs = samples(count, *shape)
        with torch.no_grad():
            wanted = model(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(run(inputs), wanted, atol=1e-4)
    assert capfd.readouterr() == ("", "")


def test_a_network_that_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    executorch()
    with pytest.raises(ExportError, match="Refused cannot be followed"):
        build("format", "pte").write(Refused(), tmp_path / "m.pte", example=samples(2, 1, 12, 12))
    assert not list(tmp_path.iterdir())


def test_a_missing_executorch_is_named_with_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("executorch", "executorch.runtime", "executorch.exir"):
        monkeypatch.setitem(sys.modules, name, None)  # python's own way to make an import fail
    monkeypatch.setitem(sys.modules, "executorch.backends.xnnpack.partition.xnnpack_partitioner", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'netwright\[executorch\]'"):
        build("format", "pte").write(convnet(), tmp_path / "m.pte", example=samples(2, 1, 12, 12))
