"""Single operations cut out of one export: each file computes its operation alone, and its time is its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from netwright.evaluation.latency import LatencyProtocol
from netwright.evaluation.latency_units import Unit
from netwright.export.onnx_runtime import opened, quiet_options
from netwright.export.unit_files import copies_of, export_units
from netwright.export.unit_timing import UnitTime, time_units
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.recurrent import Recurrent

UNITS = {
    "conv": Unit((Conv2d(filters=4), BatchNorm(), Activation()), ((2, 8, 8),)),
    "add": Unit((Add(),), ((4, 8, 8), (4, 8, 8))),
    "concat": Unit((Concat(),), ((4, 8, 8), (2, 8, 8))),
    "linear": Unit((Linear(features=5),), ((7,),)),
    "dropout": Unit((Dropout(),), ((7,),)),
    "flatten": Unit((Flatten(),), ((4, 3, 3),)),
    "recurrent": Unit((Recurrent(width=6),), ((9, 3),)),
    "large": Unit((Conv2d(filters=64),), ((64, 16, 16),)),
}
QUICK = LatencyProtocol(
    statistic="cpu", pairs=10, seconds=0.05, warmup_seconds=0.02, warmup_windows=2, control=False, noisy_above=100
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | str]:
    """The units' files, from one export."""
    return export_units(UNITS, tmp_path_factory.mktemp("units"))


def _run(path: Path, values: list[np.ndarray]) -> list[np.ndarray]:
    session = opened(path, quiet_options())
    names = [entry.name for entry in session.get_inputs()]
    found: list[np.ndarray] = session.run(None, dict(zip(names, values, strict=True)))
    return found


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("conv", {"Conv", "Relu"}),
        ("add", {"Add"}),
        ("concat", {"Concat"}),
        ("linear", {"Gemm"}),
        ("dropout", set()),
        ("flatten", set()),
        ("large", {"Conv"}),
    ],
)
def test_a_unit_is_its_operations_and_nothing_else(
    name: str, operators: set[str], files: dict[str, Path | str]
) -> None:
    model = onnx.load(str(files[name]))
    assert {node.op_type for node in model.graph.node} - {"BatchNormalization"} == operators


def test_units_of_several_inputs_take_each_on_its_own(files: dict[str, Path | str]) -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((1, 4, 8, 8)).astype(np.float32) for _ in range(2))
    assert isinstance(files["add"], Path)
    assert np.allclose(_run(files["add"], [left, right])[0], left + right)


def test_copies_compute_the_same_each_for_itself(files: dict[str, Path | str], tmp_path: Path) -> None:
    assert isinstance(files["conv"], Path)
    model = onnx.load(str(files["conv"]))
    onnx.save(copies_of(model, 3), str(tmp_path / "three.onnx"))
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((1, 2, 8, 8)).astype(np.float32) for _ in range(3)]
    found = _run(tmp_path / "three.onnx", values)
    assert len(found) == 3
    for value, result in zip(values, found, strict=True):
        assert np.allclose(result, _run(files["conv"], [value])[0], atol=1e-6)


def test_times_are_positive_and_what_is_nothing_takes_none(files: dict[str, Path | str]) -> None:
    paths = {name: path for name, path in files.items() if isinstance(path, Path)}
    assert set(paths) == set(UNITS)
    found = time_units(paths, protocol=QUICK, sessions=1)
    for name, time in found.items():
        assert isinstance(time, UnitTime), (name, time)
        assert (time.latency_ms == 0) == (name in {"dropout", "flatten"}), name
    large, small = found["large"], found["conv"]
    assert isinstance(large, UnitTime)
    assert isinstance(small, UnitTime)
    # 2,000 times the work
    assert large.latency_ms > small.latency_ms
    assert large.copies <= small.copies


def test_one_bad_file_costs_the_others_nothing(files: dict[str, Path | str], tmp_path: Path) -> None:
    model = onnx.load(str(files["add"]))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, str(tmp_path / "bad.onnx"))
    assert isinstance(files["add"], Path)
    found = time_units({"bad": tmp_path / "bad.onnx", "add": files["add"]}, protocol=QUICK, sessions=1)
    assert isinstance(found["bad"], str)
    assert isinstance(found["add"], UnitTime)
