"""Binary and ternary weights: the values are what was promised, training learns, the file keeps them in few bits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from netwright.compression.binary_inputs import with_binary_inputs
from netwright.compression.model import Model
from netwright.compression.passes.binarize import Binarize
from netwright.compression.passes.quantize_weights import QuantizeWeights
from netwright.compression.patch import difference, load_compressed, patch_text, save_weights
from netwright.compression.planning import plan_passes
from netwright.compression.proof import outputs
from netwright.core.errors import CompressionError
from netwright.core.plugins import build
from netwright.export.coding import archive
from netwright.export.onnx_runtime import Session
from netwright.export.parity import check_parity
from netwright.export.to_onnx import export_onnx


def _values(weight: torch.Tensor) -> list[int]:
    """How many sizes there are in each row, zero included."""
    return [len(torch.unique(row.abs())) for row in weight.reshape(len(weight), -1)]


def test_trained_binary_weights_are_binary_and_better_than_plain_signs(context_of) -> None:
    net, context = context_of("mlp", epochs=12)
    trained = context.fine_tune(net, purpose="train", distill=False)
    before = context.evaluate(trained)["accuracy"]
    plain = Binarize(epochs=0, edges=True).apply(Model(trained), context)
    learned = Binarize(epochs=12, edges=True, distill=False).apply(Model(trained), context)
    for done in (plain, learned):
        for place in (1, 4, 6):
            assert set(_values(done.module[place].weight)) == {1}
    assert set(learned.forms) == {"1.weight", "4.weight", "6.weight"}
    assert context.evaluate(learned.module)["accuracy"] > context.evaluate(plain.module)["accuracy"] + 0.05
    assert context.evaluate(learned.module)["accuracy"] > before - 0.1


def test_ternary_weights_have_zeros_and_one_size(context_of) -> None:
    net, context = context_of("mlp")
    done = Binarize(values="ternary").apply(Model(net), context)
    assert set(_values(done.module[4].weight)) == {2}
    share = (done.module[4].weight == 0).float().mean()
    assert 0.2 < share < 0.7
    assert [note.layer for note in done.notes if note.verdict == "left alone"] == ["1", "6"]
    assert torch.equal(done.module[1].weight.signbit(), done.module[1].weight < 0)


def test_two_sided_ternary_weights_have_two_sizes() -> None:
    form = build("form", {"kind": "ternary", "two_sided": True})
    weight = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)) + 0.3
    found = form.keeper(weight).value(weight)
    assert all(len(torch.unique(row)) == 3 for row in found)
    assert form.holds(found)
    assert not build("form", "ternary").holds(found)


def test_ttq_trains_two_sizes_by_the_equations_of_the_paper() -> None:
    form = build("form", {"kind": "ternary", "two_sided": True, "scale": "layer"})
    weight = torch.tensor([[0.9, 0.8, 0.01], [-0.3, -0.4, 0.02]])
    keeper = form.keeper(weight)
    sizes = keeper.value(weight)
    assert torch.allclose(sizes, torch.tensor([[0.85, 0.85, 0.0], [-0.35, -0.35, 0.0]]))
    (shares,) = keeper.parameters()
    shares.data.copy_(torch.tensor([[2.0, 0.5]]))
    assert torch.allclose(keeper.value(weight), torch.tensor([[1.7, 1.7, 0.0], [-0.175, -0.175, 0.0]]))
    found = keeper.gradient(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), weight)
    assert torch.allclose(found, torch.tensor([[2.0, 4.0, 3.0], [2.0, 2.5, 6.0]]))
    assert torch.allclose(shares.grad, torch.tensor([[0.85 * 3.0, 0.35 * -9.0]]))


def test_ttq_that_is_trained_on_loses_neither_side() -> None:
    form = build("form", {"kind": "ternary", "two_sided": True, "scale": "layer"})
    weight = torch.tensor([[1.0, 1.0, 0.0], [-0.2, -0.2, 0.0]])
    assert torch.allclose(form.keeper(weight).value(weight), weight)


def test_ttq_learns_sizes_that_means_do_not_have(context_of) -> None:
    net, context = context_of("mlp", epochs=12)
    trained = context.fine_tune(net, purpose="train", distill=False)
    settings = {"values": "ternary", "two_sided": True, "scale": "layer", "edges": True}
    plain = Binarize(**settings, epochs=0).apply(Model(trained), context)
    learned = Binarize(**settings, epochs=12, distill=False).apply(Model(trained), context)
    for place in (1, 4, 6):
        low, zero, high = torch.unique(learned.module[place].weight).tolist()
        assert low < zero == 0 < high
        assert abs(high + low) > 1e-4
    assert set(learned.forms) == {"1.weight", "4.weight", "6.weight"}
    assert learned.notes[0].reason.endswith("two sizes per layer")
    assert context.evaluate(learned.module)["accuracy"] > context.evaluate(plain.module)["accuracy"] + 0.05


def test_later_training_keeps_the_values(context_of) -> None:
    net, context = context_of("mlp")
    done = Binarize(values="ternary", scale="layer").apply(Model(net), context)
    after = build("pass", "fine_tune").apply(done, context)
    assert set(after.forms) == {"4.weight"}
    assert len(torch.unique(after.module[4].weight.abs())) == 2
    assert not torch.equal(after.module[4].weight, done.module[4].weight)


@pytest.mark.parametrize(("values", "bits"), [("binary", 2), ("ternary", 2), ("binary", 4)])
def test_the_file_holds_them_exactly_in_few_bits(context_of, values: str, bits: int) -> None:
    net, context = context_of("mlp")
    done = Binarize(values=values, edges=True).apply(Model(net), context)
    stored = QuantizeWeights(bits=bits).apply(done, context)
    with torch.no_grad():
        wanted = done.module(torch.tensor(context.calibration)).numpy()
    assert np.allclose(Session(stored.file)(context.calibration), wanted, atol=1e-4)
    weights = sum(done.module[place].weight.numel() for place in (1, 4, 6))
    raw = [one for one in onnx.load(str(stored.file)).graph.initializer if one.name.endswith("_integers")]
    assert sum(len(one.raw_data) for one in raw) == weights * bits // 8
    if bits == 8:
        assert all(len(np.unique(numpy_helper.to_array(one))) <= 3 for one in raw)


def test_the_entropy_coder_needs_about_a_bit(context_of) -> None:
    net, context = context_of("mlp")
    done = QuantizeWeights(bits=8).apply(Binarize(edges=True).apply(Model(net), context), context)
    report = archive.encode(done.file.read_bytes())
    bits = {one.name: one.bits_per_value for one in report.tensors if one.name.endswith("_integers")}
    assert len(bits) == 3
    assert bits["4.weight_integers"] < 1.1


def test_a_network_of_edges_only_is_refused_with_the_reason(context_of) -> None:
    _, context = context_of("mlp")
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    with pytest.raises(CompressionError, match="no layer can be made binary: it is the first or the last layer"):
        Binarize().apply(Model(net), context)


class _Attention(torch.nn.Module):
    """A token of the network's own before attention, whose last layer torch uses without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.token = torch.nn.Parameter(torch.randn(1, 1, 8))
        self.first, self.middle, self.last = (torch.nn.Linear(n, m) for n, m in ((8, 8), (8, 8), (72, 10)))
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = torch.cat([self.token.expand(len(inputs), 1, 8), self.first(inputs[:, 0])], 1)
        return self.last(self.attention(rows, rows, self.middle(rows))[0].flatten(1))


def test_what_is_left_alone_is_named_with_a_true_reason(context_of) -> None:
    _, context = context_of("mlp")
    done = Binarize(epochs=0).apply(Model(_Attention().eval()), context)
    reasons = {note.layer: note.reason for note in done.notes[1:]}
    assert reasons["token"] == "only Linear and convolution layers, not _Attention"
    assert reasons["attention.out_proj"] == "it is not called"
    assert "" not in reasons


def test_trainings_of_other_settings_do_not_meet(context_of) -> None:
    net, context = context_of("mlp")
    binary, ternary = (Binarize(values=values).apply(Model(net), context) for values in ("binary", "ternary"))
    assert set(_values(binary.module[4].weight)) == {1}
    assert set(_values(ternary.module[4].weight)) == {2}


LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (5, 6)),
    "sequence": (lambda: nn.Conv1d(3, 4, 3, padding=1, bias=False), (5, 3, 8)),
    "image": (lambda: nn.Conv2d(3, 4, (3, 5), stride=2, padding=(1, 2)), (5, 3, 8, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_signs_computes_as_the_paper_says(name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    layer, inputs = make(), 2 * torch.randn(shape)
    inputs.view(-1)[:4] = torch.tensor([0.0, -0.0, 1e-30, -1e-30])
    signs = torch.where(inputs < 0, -1.0, 1.0)
    bias = 0 if layer.bias is None else layer.bias.view(-1, *[1] * (len(shape) - 2))
    sizes = inputs.abs().mean(1, keepdim=True)
    if name != "linear":
        mean = type(layer)(1, 1, layer.kernel_size, layer.stride, layer.padding, bias=False)
        nn.init.constant_(mean.weight, 1 / mean.weight.numel())
        sizes = mean(sizes)
    for scaled in (True, False):
        made = with_binary_inputs(layer, axes=len(shape), normalised=True, scaled=scaled)
        wanted = (layer(signs) - bias) * (sizes if scaled else 1) + bias
        assert torch.allclose(made(inputs), wanted, atol=1e-5)
    inputs.requires_grad_(True)
    made(inputs).sum().backward()
    seen = signs.clone().requires_grad_(True)
    layer(seen).sum().backward()
    assert torch.allclose(inputs.grad, seen.grad * (inputs.abs() <= 1))


class _Ordered(nn.Module):
    """A normalisation right before a convolution, one behind an activation, groups, and rows of features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3)
        self.act, self.third, self.grouped = nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1, groups=2)
        self.steps, self.last = nn.Linear(16, 16), nn.Linear(128, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        images = self.third(self.act(self.second(self.norm(self.first(inputs)))))
        return self.last(self.steps(self.grouped(images).flatten(2)).flatten(1))


ROWS_ALONE = "they have 3 axes, and only rows of features are known"


def test_signs_come_right_behind_a_normalisation(context_of) -> None:
    _, context = context_of("plain_cnn")
    torch.manual_seed(0)
    model = Model(_Ordered().eval())
    one = Binarize(inputs="binary", epochs=0)
    reasons = {verdict.layer: verdict.reason for verdict in one.check(model, context) if verdict.applies}
    assert reasons == {
        "second": "its weights become binary and its inputs signs",
        "third": "its weights become binary and its inputs signs",
        "grouped": "its weights become binary, its inputs stay float: its channels are in groups",
        "steps": f"its weights become binary, its inputs stay float: {ROWS_ALONE}",
    }
    done = one.apply(model, context)
    assert [hasattr(getattr(done.module, name), "norm") for name in ("second", "third")] == [False, True]
    assert set(done.forms) == {"second.layer.weight", "third.layer.weight", "grouped.weight", "steps.weight"}
    # inputs behind an activation are never negative: the normalisation makes signs of both kinds of them
    seen: list[torch.Tensor] = []
    done.module.third.layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    outputs(done.module, context.example_tensor())
    assert set(seen[0].unique().tolist()) == {-1.0, 1.0}
    assert 0.2 < float((seen[0] > 0).float().mean()) < 0.8


def test_binary_inputs_learn_and_are_stored_and_deployed_as_they_are(context_of, tmp_path) -> None:
    net, context = context_of("plain_cnn", epochs=6)
    trained = context.fine_tune(net, purpose="train", distill=False, learning_rate=3e-3)
    one = Binarize(inputs="binary", edges=True, learning_rate=3e-3)
    (_, planned) = plan_passes(Model(trained), [one], context)
    assert planned.reason == ""
    done = one.apply(Model(trained), context)
    assert context.evaluate(done.module)["accuracy"] > 0.6
    later = build("pass", "fine_tune").apply(done, context)
    assert set(later.forms) == set(done.forms) == {"one.layer.weight", "two.layer.weight", "head.layer.weight"}
    assert not torch.equal(later.module.one.layer.weight, done.module.one.layer.weight)

    patch = json.loads(patch_text(difference(trained, done.module)))
    save_weights(done.module, tmp_path / "w.safetensors")
    loaded = load_compressed(trained, patch=patch, weights=tmp_path / "w.safetensors").eval()
    assert torch.equal(outputs(loaded, context.example_tensor()), outputs(done.module, context.example_tensor()))
    assert {type(layer).__module__.partition(".")[0] for layer in loaded.modules()} == {"torch"}

    path = export_onnx(done.module, tmp_path / "m.onnx", example=context.example).path
    nodes = onnx.load(path).graph.node
    assert {node.domain for node in nodes} == {""}
    # what gradients alone go through is not in the file
    assert {"Clip", "Sub"}.isdisjoint(node.op_type for node in nodes)
    check_parity(Session(path), done.module, context.calibration[:64], sizes=(1, 5))
    stored = QuantizeWeights(bits=2).apply(done, context)
    check_parity(Session(stored.file), done.module, context.calibration[:64], sizes=(1, 5))
    report = archive.encode(stored.file.read_bytes())
    bits = {one.name: one.bits_per_value for one in report.tensors}
    assert bits["two.layer.weight_integers"] < 1.05
    assert bits["head.layer.weight_integers"] < 1.05


def test_its_training_goes_by_its_name(context_of) -> None:
    net, context = context_of("mlp")
    heard = []
    Binarize(edges=True).apply(Model(net), replace(context, listener=heard.append))
    assert [event.facts["purpose"] for event in heard] == ["binarize"]
