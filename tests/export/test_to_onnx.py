"""An exported file computes what the model does, at every size of its dynamic axes, export after export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from export_networks import Attention, Crashing, Deciding, Recurrent, Refused, convnet, mlp, samples, separable
from torch import nn

from netwright.core.errors import ExportError
from netwright.core.files import file_hash
from netwright.export.onnx_runtime import Session
from netwright.export.parity import check_parity
from netwright.export.to_onnx import export_onnx

IMAGES = samples(3, 1, 12, 12)


@pytest.mark.parametrize(
    ("model", "shape"),
    [(convnet(), (1, 12, 12)), (separable(), (3, 8, 8)), (Attention(), (6, 8)), (mlp(), (1, 12, 12))],
    ids=["convnet", "separable", "attention", "mlp"],
)
def test_export_computes_the_same(model: nn.Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    inputs = samples(20, *shape)
    made = export_onnx(model, tmp_path / "m.onnx", example=inputs[:1])
    parity = check_parity(Session(made.path), model, inputs)
    assert parity.max_difference < 1e-5
    assert parity.agreement == 1.0
    assert (made.input_name, made.output_name) == ("input", "output")
    assert made.sha256 == file_hash(made.path)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]  # one file, nothing left over


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_second_recurrent_network_is_as_dynamic_as_the_first(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    model = Recurrent(kind, layers=2, bidirectional=True)
    for attempt in range(2):
        made = export_onnx(
            model, tmp_path / f"{attempt}.onnx", example=samples(1, 9, 5), dynamic_batch=True, dynamic_time=True
        )
        session = Session(made.path)
        assert session.input_shape == ("batch", "time", 5)
        parity = check_parity(session, model, samples(4, 9, 5), lengths=(2, 9, 31))
        assert parity.max_difference < 1e-5
    kinds = [node.op_type for node in onnx.load(tmp_path / "1.onnx").graph.node]
    assert kinds.count(kind.__name__) == 2


class Relu(nn.Module):
    """A simple recurrent layer, time first and without biases, of which the last state counts too."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.layer = nn.RNN(5, 6, 2, nonlinearity="relu", bias=False, bidirectional=both)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, last = self.layer(x.transpose(0, 1))
        return steps.mean((0, 2))[:, None] + last.mean(2).t()


@pytest.mark.parametrize("both", [False, True])
def test_a_simple_recurrent_layer_is_one_node_for_any_length(both: bool, tmp_path: Path) -> None:
    model = Relu(both).eval()
    made = export_onnx(model, tmp_path / "m.onnx", example=samples(2, 9, 5), dynamic_time=True)
    assert check_parity(Session(made.path), model, samples(4, 9, 5), lengths=(2, 31)).max_difference < 1e-6
    assert len(onnx.load(made.path).graph.node) < 40


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_long_sequences_export_exactly(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    model = Recurrent(kind, layers=2)
    made = export_onnx(model, tmp_path / "m.onnx", example=samples(1, 300, 5))
    assert check_parity(Session(made.path), model, samples(4, 300, 5)).max_difference < 1e-5


class Stepped(nn.Module):
    """A cell called step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(5, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(x.shape[0], 6)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return state


def test_an_axis_that_comes_out_fixed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the time axis came out fixed at 9 although it was to be dynamic"):
        export_onnx(Stepped().eval(), tmp_path / "m.onnx", example=samples(1, 9, 5), dynamic_time=True)
    assert list(tmp_path.iterdir()) == []


class Classed(nn.Module):
    """A sequence with a learned step in front, whose number comes from `len` or from the shape."""

    def __init__(self, *, by_len: bool) -> None:
        super().__init__()
        self.by_len, self.first, self.head = by_len, nn.Parameter(torch.ones(1, 1, 5)), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = len(x) if self.by_len else x.shape[0]
        return self.head(torch.cat([self.first.expand(rows, -1, -1), x], 1).mean(1))


def test_a_batch_that_a_network_makes_a_number_of_is_refused_with_what_to_write(tmp_path: Path) -> None:
    export_onnx(Classed(by_len=False), tmp_path / "m.onnx", example=samples(2, 9, 5))
    with pytest.raises(ExportError, match=r"batch axis came out fixed at 2 .* len\(x\) does, is to take x.shape\[0\]"):
        export_onnx(Classed(by_len=True), tmp_path / "n.onnx", example=samples(2, 9, 5))


def test_a_model_in_training_mode_is_exported_as_in_evaluation_and_stays(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(144, 3)).train()
    before = [p.clone() for p in model.parameters()]
    made = export_onnx(model, tmp_path / "m.onnx", example=IMAGES)
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert check_parity(Session(made.path), model, IMAGES).max_difference < 1e-5


def test_a_traced_graph_exports_to_the_same_bytes_each_time(tmp_path: Path) -> None:
    traced = torch.fx.symbolic_trace(convnet())
    first = export_onnx(traced, tmp_path / "a.onnx", example=IMAGES)
    second = export_onnx(traced, tmp_path / "b.onnx", example=IMAGES)
    assert first.sha256 == second.sha256
    check_parity(Session(first.path), traced, IMAGES)


def test_the_file_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    made = export_onnx(convnet(), tmp_path / "m.onnx", example=IMAGES)
    raw = made.path.read_bytes()
    assert str(Path(__file__).parent).encode() not in raw
    assert b"site-packages" not in raw
    assert onnx.load(made.path).opset_import[0].version == made.opset


def test_the_file_holds_no_notes_of_the_exporter_and_states_no_shape_twice(tmp_path: Path) -> None:
    made = export_onnx(separable(), tmp_path / "m.onnx", example=samples(3, 3, 8, 8))
    graph = onnx.load(made.path).graph
    weights = {tensor.name for tensor in graph.initializer}
    assert not [value for value in (*graph.input, *graph.output, *graph.value_info) if value.metadata_props]
    assert not weights & {value.name for value in graph.value_info}
    assert made.size_bytes < sum(len(tensor.raw_data) for tensor in graph.initializer) + 300 * len(graph.node)


def test_refusals_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Refused cannot be exported to ONNX: ") as refused:
        export_onnx(Refused(), tmp_path / "m.onnx", example=IMAGES)
    assert "\n" not in str(refused.value)
    with pytest.raises(
        ExportError, match=r"what Deciding computes depends on the values of a tensor, in export_netw.*if"
    ):
        export_onnx(Deciding(), tmp_path / "m.onnx", example=IMAGES)
    with pytest.raises(ExportError, match="the exporter process ended with status -6"):
        export_onnx(Crashing(), tmp_path / "m.onnx", example=IMAGES)
    with pytest.raises(ExportError, match=r"did not finish within 0\.01 s"):
        export_onnx(convnet(), tmp_path / "m.onnx", example=IMAGES, timeout_s=0.01)
    with pytest.raises(ExportError, match="dynamic_time needs an example"):
        export_onnx(nn.Linear(3, 2), tmp_path / "m.onnx", example=samples(2, 3), dynamic_time=True)

    with pytest.raises(
        ExportError, match="ONNX: 0 is an LSTM with proj_size, which the LSTM of ONNX does not have; train"
    ):
        export_onnx(nn.Sequential(nn.LSTM(5, 8, proj_size=3)), tmp_path / "m.onnx", example=samples(2, 9, 5))

    class Local(nn.Linear):
        pass

    with pytest.raises(ExportError, match="define its classes at the top level of a module"):
        export_onnx(Local(3, 2), tmp_path / "m.onnx", example=samples(2, 3))
    assert list(tmp_path.iterdir()) == []


def test_the_exporter_goes_on_after_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ExportError):
        export_onnx(Crashing(), tmp_path / "m.onnx", example=IMAGES)
    assert export_onnx(mlp(), tmp_path / "m.onnx", example=IMAGES).path.exists()


SCRIPT = """
import multiprocessing, sys
from pathlib import Path
import numpy as np
from torch import nn
from netwright.export.to_onnx import export_onnx

class Mine(nn.Linear):
    pass

def work():
    export_onnx(Mine(3, 2), Path(sys.argv[1]), example=np.zeros((2, 3), np.float32))

if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    worker.start()
    worker.join()
    sys.exit(worker.exitcode)
"""


def test_a_daemonic_worker_of_a_script_can_export_its_own_class_and_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "script.py", "m.onnx"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Session(tmp_path / "m.onnx")(np.zeros((5, 3), np.float32)).shape == (5, 2)
