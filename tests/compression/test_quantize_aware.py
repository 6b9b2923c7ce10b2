"""Training with rounded weights and activations: the result is plain, on its grid, and survives the quantizers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from netwright.compression.activation_rounding import ActivationRounding
from netwright.compression.model import Model
from netwright.compression.passes.quantize import Quantize
from netwright.compression.passes.quantize_aware import QuantizeAware
from netwright.compression.passes.quantize_weights import QuantizeWeights
from netwright.core.errors import InterruptedRunError
from netwright.core.progress import silent
from netwright.export.onnx_runtime import Session


def test_training_recovers_what_few_bits_cost(context_of) -> None:
    net, context = context_of("mlp", epochs=60)
    trained = context.fine_tune(net, purpose="train", distill=False)
    settings = {"bits": 2, "edge_bits": 2}
    rounded = QuantizeAware(**settings, epochs=0).apply(Model(trained), context)
    learned = QuantizeAware(**settings, epochs=60, distill=False).apply(Model(trained), context)
    scores = [context.evaluate(one.module)["loss"] for one in (rounded, learned)]
    assert scores[1] < 0.8 * scores[0]
    assert set(learned.forms) == {"1.weight", "4.weight", "6.weight"}


def test_the_network_keeps_no_trace_of_the_rounding(context_of) -> None:
    net, context = context_of("plain_cnn")
    done = QuantizeAware().apply(Model(net), context)
    assert all(not layer._forward_pre_hooks for layer in done.module.modules())
    assert [type(one) for one in done.module.children()] == [type(one) for one in net.children()]
    assert {name: form.bits for name, form in done.forms.items()} == {
        "one.weight": 8,
        "two.weight": 4,
        "head.weight": 8,
    }


@pytest.mark.parametrize("pass_", [Quantize(), QuantizeWeights(bits=4, exclude=("one", "head"))])
def test_the_file_takes_the_grid_over_without_rounding_again(context_of, pass_) -> None:
    net, context = context_of("plain_cnn")
    done = QuantizeAware().apply(Model(net), context)
    stored = pass_.apply(done, context)
    if isinstance(pass_, QuantizeWeights):
        (told,) = [note.reason for note in stored.notes if note.layer == "two" and note.verdict == "quantized"]
        assert told.endswith("changed the weights by 0.0000")
    with torch.no_grad():
        wanted = done.module(torch.tensor(context.calibration)).numpy()
    found = Session(stored.file)(context.calibration)
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < (1e-4 if pass_.gains == ("size_bytes",) else 0.03)


def test_activations_are_rounded_straight_through_and_clipped() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    hook = ActivationRounding(["0"], bits=2, examples=torch.tensor([[-1.0, 0.2], [2.0, 0.1]]))
    net.eval()
    hook.start(net, epochs=1, steps=1)
    assert hook.ranges.tolist() == [[-1.0, 2.0]]
    values = torch.tensor([0.4, 0.6, -3.0, 5.0], requires_grad=True)
    found = hook.rounded(values, 0)
    assert found.tolist() == [0.0, 1.0, -1.0, 2.0]
    found.sum().backward()
    assert values.grad.tolist() == [1.0, 1.0, 0.0, 0.0]
    other = ActivationRounding(["0"], bits=2, examples=hook.examples)
    other.restore(hook.tensors())
    assert torch.equal(other.ranges, hook.ranges)
    hook.close()
    assert not net[0]._forward_pre_hooks


def test_a_killed_training_goes_on_to_the_same_weights(context_of) -> None:
    import dataclasses

    net, context = context_of("mlp", epochs=3)
    whole = QuantizeAware().apply(Model(net), context)

    def stop(event) -> None:
        if event.name == "compress.epoch" and event.facts["epoch"] == 2:
            raise InterruptedRunError("stop")

    cut = dataclasses.replace(context, listener=stop, workspace=context.workspace / "cut")
    with pytest.raises(InterruptedRunError):
        QuantizeAware().apply(Model(net), cut)
    resumed = QuantizeAware().apply(Model(net), dataclasses.replace(cut, listener=silent))
    for one, other in zip(whole.module.parameters(), resumed.module.parameters(), strict=True):
        assert torch.equal(one, other)
