"""What is read from an ONNX file equals what is counted on the model it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from export_networks import NETWORKS, Exported, samples
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from netwright.core.errors import ExportError
from netwright.evaluation.profile import profile
from netwright.export.onnx_file import graph_cost, node_table, size_bytes
from netwright.export.quantization import quantize_dynamic
from netwright.export.quantization_static import quantize_static
from netwright.export.to_onnx import export_onnx


def _folded(model: nn.Module) -> int:
    """Parameters left when each batch norm is folded into a convolution that had no bias."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    return sum(p.numel() for p in model.parameters()) - sum(norm.num_features for norm in norms)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_file_costs_what_the_model_costs(name: str, exported: Exported) -> None:
    model, path = exported.model(name), exported.file(name)
    found = graph_cost(path)
    assert found.macs == profile(model, torch.zeros(1, *exported.shape(name))).macs
    assert found.params == _folded(model)
    assert size_bytes(path) == len(path.read_bytes())


@pytest.mark.parametrize("name", ["convnet", "separable"])
def test_int8_keeps_parameters_and_macs_and_halves_the_memory(name: str, exported: Exported, tmp_path: Path) -> None:
    source = exported.file(name)
    quantize_static(source, tmp_path / "q.onnx", calibration=samples(32, *exported.shape(name)))
    before, after = graph_cost(source), graph_cost(tmp_path / "q.onnx")
    assert (after.params, after.macs) == (before.params, before.macs)
    input_bytes = 4 * int(np.prod(exported.shape(name)))
    # the caller's float input stays; what the network makes itself shrinks
    assert after.peak_activation_bytes - input_bytes <= (before.peak_activation_bytes - input_bytes) / 2
    assert size_bytes(tmp_path / "q.onnx") < size_bytes(source)
    assert {row.precision for row in node_table(tmp_path / "q.onnx") if row.macs} == {"int8"}


class ByHand(nn.Module):
    """Activations written with numbers, for [2, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 8, 3), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        x = torch.where(x > 0, x, 0.1 * x) * self.scale
        return self.head((x * nn.functional.relu6(x + 3) * (1 / 6)).mean((2, 3)))


def test_numbers_in_the_code_are_no_parameters(tmp_path: Path) -> None:
    torch.manual_seed(0)
    calibration = samples(32, 2, 8, 8)
    export_onnx(ByHand().eval(), tmp_path / "f.onnx", example=calibration)
    quantize_static(tmp_path / "f.onnx", tmp_path / "q.onnx", calibration=calibration)
    files = [graph_cost(tmp_path / name).params for name in ("f.onnx", "q.onnx")]
    assert files == [sum(p.numel() for p in ByHand().parameters())] * 2


def test_dynamic_int8_keeps_parameters_and_macs(exported: Exported, tmp_path: Path) -> None:
    quantize_dynamic(exported.file("lstm"), tmp_path / "q.onnx")
    before, after = graph_cost(exported.file("lstm")), graph_cost(tmp_path / "q.onnx")
    assert (after.params, after.macs) == (before.params, before.macs)


def _graph(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[object]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def test_peak_memory_is_the_input_and_what_lives_at_once(tmp_path: Path) -> None:
    weights = {"a": np.ones((10, 100), np.float32), "b": np.ones((100, 100), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["input", "a"], ["x"]),
        helper.make_node("Relu", ["x"], ["y"]),  # in place: x is not needed again
        helper.make_node("MatMul", ["y", "b"], ["z"]),
        helper.make_node("Add", ["y", "z"], ["output"]),
    ]
    path = _graph(tmp_path / "m.onnx", nodes, weights, ["batch", 10])
    assert graph_cost(path).peak_activation_bytes == 4 * (10 + 100 + 100 + 100)
    assert graph_cost(path).macs == 10 * 100 + 100 * 100


def test_a_dynamic_axis_needs_a_size(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["input", "a"], ["output"])
    path = _graph(tmp_path / "m.onnx", [node], {"a": np.ones((5, 2), np.float32)}, ["batch", "time", 5])
    assert graph_cost(path, sizes={"time": 7}).macs == 7 * 5 * 2
    with pytest.raises(ExportError, match="the axis 'time' of 'input' is dynamic: give its size"):
        graph_cost(path)


def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ExportError, match=r"m\.onnx cannot be read as an ONNX file"):
        graph_cost(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("btf,fh->bth", [(1, 12, 5), (5, 8)], 12 * 5 * 8),
        ("...f,fh", [(1, 12, 5), (5, 8)], 12 * 5 * 8),
        ("bhqd,bhkd->bhqk", [(1, 2, 6, 4), (1, 2, 6, 4)], 2 * 6 * 6 * 4),
        ("btf,bsf,bsg->btg", [(1, 12, 5), (1, 12, 5), (1, 12, 5)], 2 * 12 * 12 * 5),
        ("...ij,...jk->...ik", [(3, 2, 4), (4, 5)], 3 * 2 * 4 * 5),
        ("i,j->ij", [(3,), (4,)], 0),  # an outer product adds nothing up
        ("bij->bji", [(1, 3, 4)], 0),
    ],
)
def test_einsum_is_counted_as_the_products_it_is_made_of(
    equation: str, shapes: list[tuple[int, ...]], macs: int, tmp_path: Path
) -> None:
    names = ["input", *(f"w{number}" for number in range(1, len(shapes)))]
    node = helper.make_node("Einsum", names, ["output"], equation=equation)
    weights = {name: np.ones(shape, np.float32) for name, shape in zip(names[1:], shapes[1:], strict=True)}
    path = _graph(tmp_path / "m.onnx", [node], weights, list(shapes[0]))
    assert graph_cost(path).macs == macs
