"""Weights stored as integers: the file shrinks, answers nearly alike, and says what was left."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from compression_nets import Lin, Net, traced
from onnx import helper
from torch import nn

from netwright.compression.model import Model
from netwright.compression.passes.quantize_weights import QuantizeWeights
from netwright.core.errors import CompressionError, ConfigurationError
from netwright.export.codebooks import packed
from netwright.export.integer_weights import store_integers
from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx


@pytest.mark.parametrize(("bits", "error"), [(8, 0.02), (4, 0.2)])
@pytest.mark.parametrize("name", ["plain_cnn", "lstm"])
def test_the_file_shrinks_and_answers_nearly_alike(context_of, name: str, bits: int, error: float) -> None:
    net, context = context_of(name)
    done = QuantizeWeights(bits=bits).apply(Model(net), context)
    with torch.no_grad():
        wanted = net(torch.tensor(context.calibration)).numpy()
    found = Session(done.file)(context.calibration)
    assert 0 < np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < error
    plain = export_onnx(net, context.workspace / "plain.onnx", example=context.example).path
    weights = 4 * sum(p.numel() for p in net.parameters() if p.ndim > 1)
    # what is not weights, and four bytes for each of 16 to 100 scales, stays
    assert plain.stat().st_size - done.file.stat().st_size > 0.85 * weights * (1 - bits / 32)


def test_recurrent_layers_of_every_kind_are_stored(context_of) -> None:
    _, context = context_of("lstm")
    rnn = nn.GRU(8, 24, 2, batch_first=True, bidirectional=True)
    net = traced(Net(lambda s, x: s.head(s.rnn(x)[0][:, -1]), rnn=rnn, head=Lin(48, 10)))
    done = QuantizeWeights().apply(Model(net), context)
    kinds = [node.op_type for node in onnx.load(str(done.file)).graph.node]
    assert kinds.count("GRU") == 2
    assert kinds.count("DequantizeLinear") == 5
    with torch.no_grad():
        wanted = net(torch.tensor(context.calibration)).numpy()
    found = Session(done.file)(context.calibration)
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.02


def test_blocks_are_nearer_than_channels(context_of) -> None:
    net, context = context_of("mlp")
    with torch.no_grad():
        net[1].weight[:, :8] *= 20
        wanted = net(torch.tensor(context.calibration)).numpy()
    errors = []
    for block in (None, 8):
        done = QuantizeWeights(bits=4, block=block).apply(Model(net), context)
        errors.append(np.linalg.norm(Session(done.file)(context.calibration) - wanted))
    assert errors[1] < 0.8 * errors[0]


def test_excluded_layers_stay_and_are_named(context_of) -> None:
    net, context = context_of("plain_cnn")
    done = QuantizeWeights(exclude=("two",)).apply(Model(net), context)
    verdicts = {note.layer: (note.verdict, note.reason) for note in done.notes[1:]}
    assert verdicts["two"] == ("left alone", "excluded")
    assert verdicts["head"][0] == "quantized"
    with pytest.raises(CompressionError, match="no weight could be stored in 8 bits"):
        QuantizeWeights(exclude=("one", "two", "head")).apply(Model(net), context)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_packed_integers_are_read_back_by_the_runtime(bits: int, tmp_path) -> None:
    top = 2 ** (bits - 1) - 1
    values = np.random.default_rng(0).integers(-top, top + 1, size=(3, 5)).astype(np.int8)
    scale = helper.make_tensor("s", 1, [3], [1.0, 1.0, 1.0])
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [3, 5])],
        [helper.make_tensor_value_info("y", 1, [3, 5])],
        [packed(values, "q", bits=bits), scale],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])
    model.ir_version = 11
    onnx.save(model, str(tmp_path / "m.onnx"))
    assert np.array_equal(Session(tmp_path / "m.onnx")(np.zeros((3, 5), np.float32)), values)


def test_shared_and_trained_ternary_values_are_stored_exactly(context_of) -> None:
    net, context = context_of("plain_cnn")
    with torch.no_grad():
        wanted = {}
        for layer, values in ((net.two, [-0.3, 0.0, 0.11]), (net.head, [-0.2, 0.05, 0.3])):
            entries = torch.tensor(values)[torch.randint(0, 3, layer.weight.shape)]
            layer.weight.copy_(entries)
            wanted[layer] = entries
        outputs = net(torch.tensor(context.calibration)).numpy()
    done = QuantizeWeights(bits=2, exclude=("one",)).apply(Model(net), context)
    facts = {note.layer: note.reason for note in done.notes[1:]}
    assert "changed the weights by 0.0000" in facts["two"]
    assert "changed the weights by 0.0000" in facts["head"]
    assert np.allclose(Session(done.file)(context.calibration), outputs, atol=1e-5)
    assert _cost_of(done.file) == _cost_of(_plain(net, context))
    held = {one.name: one for one in onnx.load(str(done.file)).graph.initializer}
    assert len(held["two.weight_indices"].raw_data) == -(-net.two.weight.numel() // 4)


def test_a_codebook_for_every_channel_is_exact_too(context_of) -> None:
    net, context = context_of("mlp")
    with torch.no_grad():
        signs = torch.randint(-1, 2, net[4].weight.shape)
        sizes = torch.rand(len(signs), 2) + 0.1
        net[4].weight.copy_(torch.where(signs > 0, sizes[:, :1], torch.where(signs < 0, -sizes[:, 1:], 0.0)))
        outputs = net(torch.tensor(context.calibration)).numpy()
    done = QuantizeWeights(bits=2, exclude=("1", "6")).apply(Model(net), context)
    assert "changed the weights by 0.0000" in next(note.reason for note in done.notes if note.layer == "4")
    assert np.allclose(Session(done.file)(context.calibration), outputs, atol=1e-5)
    assert _cost_of(done.file) == _cost_of(_plain(net, context))


def test_a_small_layer_whose_norm_is_folded_in_keeps_its_three_values(context_of) -> None:
    net, context = context_of("plain_cnn")
    with torch.no_grad():
        net.one.weight.copy_(torch.tensor([-0.3, 0.0, 0.11])[torch.randint(0, 3, net.one.weight.shape)])
    done = QuantizeWeights(bits=2, exclude=("two", "head")).apply(Model(net), context)
    assert "changed the weights by 0.0000" in next(note.reason for note in done.notes if note.layer == "one")


@pytest.mark.parametrize("three_axes", [False, True])
def test_products_of_integers_run_in_the_runtime_and_count_alike(context_of, tmp_path, three_axes: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(72, 40), nn.ReLU(), nn.Linear(40, 10)).eval()
    shape = (5, 72) if three_axes else (72,)
    inputs = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    source, target = tmp_path / "float.onnx", tmp_path / "int4.onnx"
    export_onnx(net, source, example=inputs)
    result = store_integers(source, target, bits=4, products=True)
    assert all(one.product for one in result.layers if one.stored)
    assert sum(node.op_type == "MatMulNBits" for node in onnx.load(str(target)).graph.node) == 2
    found, wanted = Session(target)(inputs), Session(source)(inputs)
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.15
    assert graph_cost(target).params == graph_cost(source).params
    assert graph_cost(target).macs == graph_cost(source).macs


def test_weights_on_a_grid_of_four_bits_are_multiplied_without_rounding(tmp_path) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 16).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-7, 8, layer.weight.shape) * (torch.rand(16, 1) + 0.1))
    inputs = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    export_onnx(layer, tmp_path / "float.onnx", example=inputs)
    result = store_integers(tmp_path / "float.onnx", tmp_path / "int4.onnx", bits=4, products=True)
    assert result.layers[0].relative_error < 1e-6
    found, wanted = (Session(tmp_path / name)(inputs) for name in ("int4.onnx", "float.onnx"))
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.02


@pytest.mark.parametrize("settings", [{"bits": 8}, {"bits": 4, "block": 24}])
def test_products_that_no_operator_makes_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="products need bits: 4 and a block of 16, 32, 64, 128 or 256"):
        QuantizeWeights.parse({**settings, "products": True})


def _plain(net: nn.Module, context):
    return export_onnx(net, context.workspace / "plain.onnx", example=context.example).path


def _cost_of(path) -> tuple[int, int, int]:
    cost = graph_cost(path)
    return cost.params, cost.macs, cost.peak_activation_bytes
