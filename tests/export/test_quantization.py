"""Int8 files stay near their originals and say what they cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from export_networks import Exported, samples
from onnx import numpy_helper
from torch import nn

from netwright.core.errors import ExportError
from netwright.evaluation.machine import Machine, this_machine
from netwright.export.bias_correction import dequantized
from netwright.export.equalization import equalized
from netwright.export.onnx_runtime import Session
from netwright.export.quantization import prepared, quantize_dynamic
from netwright.export.quantization_ranges import ERRORS, Calibration, best_range
from netwright.export.quantization_static import Scheme, Static, StaticQuantizer, quantize_static, schemes
from netwright.export.to_onnx import export_onnx
from netwright.export.weight_grid import exact_steps, integers, steps_of


def _relative_error(a: Path, b: Path, inputs: np.ndarray) -> float:
    exact, other = Session(a)(inputs), Session(b)(inputs)
    return float(np.sqrt(np.mean((exact - other) ** 2)) / exact.std())


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile", "mse"])
def test_static_int8_is_near_and_covers_everything(
    method: Calibration, exported: Exported, tmp_path: Path, capfd
) -> None:
    source, data = exported.file("convnet"), samples(150, 1, 12, 12)
    found = quantize_static(source, tmp_path / "q.onnx", calibration=data, settings=Static(method=method))
    assert _relative_error(source, tmp_path / "q.onnx", data) < 0.1
    assert (found.coverage_params, found.coverage_macs, found.left) == (1.0, 1.0, ())
    assert found.reduce_range == this_machine().int8_products_saturate
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["convnet", "separable", "mlp"])
@pytest.mark.parametrize("reduce_range", [True, None])
def test_static_int8_error_is_small(name: str, reduce_range: bool | None, exported: Exported, tmp_path: Path) -> None:
    data = samples(128, *exported.shape(name))
    settings = Static(reduce_range=reduce_range)
    quantize_static(exported.file(name), tmp_path / "q.onnx", calibration=data, settings=settings)
    assert _relative_error(exported.file(name), tmp_path / "q.onnx", data) < 0.06


def test_dynamic_int8_covers_lstm_and_linear(exported: Exported, tmp_path: Path) -> None:
    found = quantize_dynamic(exported.file("lstm"), tmp_path / "q.onnx")
    assert (found.coverage_params, found.coverage_macs) == (1.0, 1.0)
    assert _relative_error(exported.file("lstm"), tmp_path / "q.onnx", samples(50, 9, 5)) < 0.1


def test_dynamic_weights_of_an_lstm_do_not_saturate_without_vnni(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(quantize_dynamic(exported.file("lstm"), tmp_path / "q.onnx").path)
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    (layer,) = (node for node in model.graph.node if node.op_type == "DynamicQuantizeLSTM")
    for weight in (stored[layer.input[1]], stored[layer.input[2]]):
        assert weight.dtype == np.int8
        assert 60 <= np.abs(weight.astype(int)).max() <= 64


def test_what_stays_in_float_is_named_with_a_reason(exported: Exported, tmp_path: Path) -> None:
    found = quantize_static(exported.file("lstm"), tmp_path / "q.onnx", calibration=samples(16, 9, 5))
    assert found.coverage_params < 0.2
    assert found.coverage_macs < 0.02
    ((layer, reason),) = found.left
    assert layer == "recurrent"
    assert reason == "ONNX Runtime has no such int8 kernel for LSTM; quantize it dynamically"
    dynamic = quantize_dynamic(exported.file("convnet"), tmp_path / "d.onnx")
    assert {layer for layer, _ in dynamic.left} == {"0.0", "2.0"}


def test_excluded_layers_stay_in_float(exported: Exported, tmp_path: Path) -> None:
    data = samples(16, 1, 12, 12)
    found = quantize_static(exported.file("convnet"), tmp_path / "q.onnx", calibration=data, exclude=["2"])
    assert found.left == (("2.0", "excluded"),)
    assert 0 < found.coverage_macs < 1
    with pytest.raises(ExportError, match=r"no layer to exclude is called '2\.x'.* did you mean '2\.0'"):
        quantize_static(exported.file("convnet"), tmp_path / "q.onnx", calibration=data, exclude=["2.x"])


PLAIN = Machine(cpu="a", architecture="x86_64", cpus=1, isa=("avx2", "avx512f"))
VNNI = Machine(cpu="b", architecture="x86_64", cpus=1, isa=("avx2", "avx512f", "avx512_vnni"))
ARM = Machine(cpu="c", architecture="aarch64", cpus=1, isa=("asimd",))


def test_range_is_reduced_only_where_full_range_saturates() -> None:
    assert [m.int8_products_saturate for m in (PLAIN, VNNI, ARM)] == [True, False, False]
    signed, unsigned = Scheme("QUInt8", "QInt8", False), Scheme("QUInt8", "QUInt8", False)
    assert schemes(PLAIN, Static()) == [Scheme("QUInt8", "QInt8", True), unsigned]
    assert schemes(VNNI, Static()) == [signed]
    assert schemes(ARM, Static()) == [Scheme("QInt8", "QInt8", False)]
    assert schemes(PLAIN, Static(weights="uint8")) == [unsigned]
    assert schemes(VNNI, Static(reduce_range=True)) == [Scheme("QUInt8", "QInt8", True)]


def test_with_several_exact_schemes_the_nearer_one_is_written(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netwright.export.quantization_static.this_machine", lambda: PLAIN)
    source, data = exported.file("separable"), samples(64, 3, 8, 8)
    found = quantize_static(source, tmp_path / "q.onnx", calibration=data)
    errors = {}
    for name, settings in (("seven", Static(reduce_range=True)), ("unsigned", Static(weights="uint8"))):
        errors[name] = quantize_static(source, tmp_path / f"{name}.onnx", calibration=data, settings=settings)
    seven, unsigned = (errors[name].relative_error for name in ("seven", "unsigned"))
    assert found.relative_error == (unsigned if unsigned < 0.8 * seven else seven)
    assert found.reduce_range == (not unsigned < 0.8 * seven)


def test_no_calibration_data_is_one_sentence(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs calibration samples, came none"):
        quantize_static(exported.file("mlp"), tmp_path / "q.onnx", calibration=samples(0, 1, 12, 12))


def _uneven(source: Path, target: Path) -> Path:
    """The file with its first channels scaled up and the next layer's inputs down: the same outputs."""
    model = onnx.load(str(source))
    first, second = (node for node in model.graph.node if node.op_type == "Conv")
    held = {one.name: one for one in model.graph.initializer}
    factors = np.exp2(np.arange(8) - 3).astype(np.float32)
    for name, shape in ((first.input[1], (-1, 1, 1, 1)), (first.input[2], (-1,)), (second.input[1], (1, -1, 1, 1))):
        change = factors if name != second.input[1] else 1 / factors
        held[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(held[name]) * change.reshape(shape), name))
    onnx.save(model, str(target))
    return target


def test_equalization_changes_nothing_in_float_and_helps_shared_ranges(exported: Exported, tmp_path: Path) -> None:
    data = samples(128, 1, 12, 12)
    source = _uneven(prepared(exported.file("convnet"), tmp_path), tmp_path / "uneven.onnx")
    even = equalized(source, tmp_path / "even.onnx", sample=data)
    assert even != source
    assert np.array_equal(Session(even)(data), Session(source)(data))
    errors = []
    for equalize in (False, True):
        settings = Static(per_channel=False, equalize=equalize)
        found = quantize_static(source, tmp_path / "q.onnx", calibration=data, settings=settings)
        errors.append(found.relative_error)
    assert errors[1] < 0.7 * errors[0]


def test_bias_correction_takes_the_mean_error_out(exported: Exported, tmp_path: Path) -> None:
    source, data = exported.file("convnet"), samples(128, 1, 12, 12) + 1
    wanted = Session(source)(data)
    off = []
    for correct in (False, True):
        settings = Static(per_channel=False, reduce_range=True, bias_correction=correct)
        quantize_static(source, tmp_path / "q.onnx", calibration=data, settings=settings)
        off.append(np.abs((Session(tmp_path / "q.onnx")(data) - wanted).mean(axis=0)).sum())
    assert off[1] < off[0]


def test_one_calibration_serves_many_copies(exported: Exported, tmp_path: Path) -> None:
    data = samples(64, 1, 12, 12)
    quantizer = StaticQuantizer(exported.file("convnet"), calibration=data, folder=tmp_path)
    assert quantizer.layers() == ["0.0", "2.0", "5"]
    alone = quantizer.write(tmp_path / "a.onnx", exclude=["0.0", "5"])
    assert [one.layer for one in alone.layers if one.int8] == ["2.0"]
    assert quantizer.write(tmp_path / "b.onnx").coverage_params == 1.0


def test_a_grid_is_found_and_kept_exactly() -> None:
    random = np.random.default_rng(0)
    rows = random.integers(-7, 8, size=(5, 40)) * random.uniform(0.01, 3, size=(5, 1))
    rows[:, 0] = 7 * rows.max(axis=1) / rows.max(axis=1) * (steps := np.abs(rows).max(axis=1) / 7)
    assert np.allclose(exact_steps(rows, levels=7), steps, rtol=1e-6)
    assert not exact_steps(random.normal(size=(5, 40)), levels=7).any()
    for bits in (4, 8):
        found = steps_of(rows, bits=bits)
        assert np.allclose(integers(rows, found, bits=bits) * found[:, None], rows, rtol=1e-4, atol=1e-6)


def test_the_range_of_least_error_leaves_a_lonely_outlier_out() -> None:
    counts = np.zeros(2048)
    counts[:1024], counts[-1] = 1000, 1
    low, high = best_range(counts, 0.0, 8.0)
    assert low == 0.0
    assert 4.0 <= high < 5.0
    assert best_range(np.ones(2048), -1.0, 1.0) == (-1.0, 1.0)


def test_entropy_clips_outliers_and_is_not_drawn_to_the_zeros_of_a_relu(exported: Exported, tmp_path: Path) -> None:
    source, data = exported.file("convnet"), samples(64, 1, 12, 12)
    data[0, 0, 0, 0] = 60.0
    found = {}
    for method in ("minmax", "entropy"):
        quantize_static(source, tmp_path / "q.onnx", calibration=data, settings=Static(method=method))
        held = {one.name: one for one in onnx.load(str(tmp_path / "q.onnx")).graph.initializer}
        found[method] = numpy_helper.to_array(held["input_scale"]).item()
    assert found["entropy"] < 0.5 * found["minmax"]
    values = np.maximum(np.random.default_rng(0).standard_normal(100_000), 0)
    counts = np.histogram(values, bins=2048, range=(0, values.max()))[0].astype(float)
    high = best_range(counts, 0.0, float(values.max()), error=ERRORS["entropy"])[1]
    assert high > 3


class Looked(nn.Module):
    """Values become places in an embedding by arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(64, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        places = ((inputs.clamp(-3, 3) + 3) / 6 * 63).long()
        outputs: torch.Tensor = self.head(torch.relu(self.table(places).mean(1)))
        return outputs


def test_places_in_an_embedding_are_not_rounded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = samples(64, 20)
    source = export_onnx(Looked().eval(), tmp_path / "float.onnx", example=data[:16]).path
    found = quantize_static(source, tmp_path / "q.onnx", calibration=data)
    assert found.coverage_macs == 1.0
    assert _relative_error(source, tmp_path / "q.onnx", data) < 0.05


class Words(nn.Module):
    """A text's classifier by filters of two widths and the maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Embedding(40, 16)
        self.filters = nn.ModuleList([nn.Conv1d(16, 8, width) for width in (2, 3)])
        self.head = nn.Linear(16, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        steps = self.vectors(inputs.long()).transpose(1, 2)
        outputs: torch.Tensor = self.head(torch.cat([torch.relu(one(steps)).amax(2) for one in self.filters], 1))
        return outputs


def test_a_maximum_over_time_does_not_stop_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = np.random.default_rng(0).integers(0, 40, (64, 12)).astype(np.float32)
    source = export_onnx(Words().eval(), tmp_path / "float.onnx", example=data[:16]).path
    found = quantize_static(source, tmp_path / "q.onnx", calibration=data)
    assert found.coverage_macs == 1.0
    assert _relative_error(source, tmp_path / "q.onnx", data) < 0.05


class Bag(nn.Module):
    """The mean of words' vectors by torch's own layer, which the export writes as a loop over samples."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.EmbeddingBag(40, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.vectors(inputs.long()))
        return outputs


def test_a_bag_of_words_is_quantized(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = np.random.default_rng(0).integers(0, 40, (64, 8)).astype(np.float32)
    source = export_onnx(Bag().eval(), tmp_path / "float.onnx", example=data[:16]).path
    found = quantize_static(source, tmp_path / "q.onnx", calibration=data)
    assert found.coverage_params == 1.0
    assert _relative_error(source, tmp_path / "q.onnx", data) < 0.05


class _Tied(nn.Module):
    """A Linear layer and its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(128, 96)
        self.bias = nn.Parameter(torch.zeros(128))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(torch.relu(self.down(x)), self.down.weight.t(), self.bias)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_layers_that_read_one_weight_along_two_axes_are_quantized(mode: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target, data = tmp_path / "tied.onnx", tmp_path / "q.onnx", samples(64, 128)
    export_onnx(_Tied(), source, example=data)
    found = quantize_dynamic(source, target) if mode == "dynamic" else quantize_static(source, target, calibration=data)
    assert found.coverage_macs == 1
    assert _relative_error(source, target, data) < 0.03


def test_attention_to_a_single_step_is_one_in_8_bits_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {"score": rng.normal(size=(8, 1)), "head": rng.normal(size=(8, 3))}
    graph = onnx.parser.parse_graph("""
        attention (float[batch, 1, 8] input) => (float[batch, 1, 3] output) {
            scores = MatMul(input, score)
            shares = Softmax<axis = -1>(scores)
            seen = Mul(input, shares)
            output = MatMul(seen, head)
        }""")
    graph.initializer.extend(onnx.numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items())
    for node in graph.node:
        node.name = node.output[0]
    source, data = tmp_path / "float.onnx", samples(64, 1, 8)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), source)
    quantize_static(source, tmp_path / "q.onnx", calibration=data)
    assert _relative_error(source, tmp_path / "q.onnx", data) < 0.05


@pytest.mark.parametrize("reduce_range", [False, True])
def test_weights_on_a_grid_are_not_rounded_a_second_time(
    reduce_range: bool, exported: Exported, tmp_path: Path
) -> None:
    model = onnx.load(str(prepared(exported.file("convnet"), tmp_path)))
    for one in model.graph.initializer:
        weights = numpy_helper.to_array(one)
        if weights.ndim == 4:
            rows = weights.reshape(len(weights), -1)
            steps = steps_of(rows, bits=4)
            held = (integers(rows, steps, bits=4) * steps[:, None]).reshape(weights.shape)
            one.CopyFrom(numpy_helper.from_array(held.astype(np.float32), one.name))
    source, target = tmp_path / "grid.onnx", tmp_path / "q.onnx"
    onnx.save(model, str(source))
    quantize_static(
        source, target, calibration=samples(64, 1, 12, 12), settings=Static(reduce_range=reduce_range, weights="int8")
    )
    wanted = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    found = {name: one for name, one in dequantized(target).items() if one.ndim == 4}
    assert len(found) == 2
    for name, one in found.items():
        assert np.allclose(one, wanted[name], atol=1e-5 * np.abs(wanted[name]).max())
