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
from netwright.core.errors import CompressionError
from netwright.export.integer_weights import packed
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
