"""Latency tables: what is timed, what is added up, and how a prediction is corrected."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from netwright.core.errors import ConfigurationError, NetwrightError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.evaluation.latency_predictor import (
    LatencyPredictor,
    agreement,
    corrected,
    fit_factor,
    fit_sizes,
    held_out,
)
from netwright.evaluation.latency_table import Entry, LatencyTable, NetworkTime, read_csv, read_table
from netwright.evaluation.latency_units import Unit, parse_unit, units_of
from netwright.search_spaces.canonical import simplify
from netwright.search_spaces.cost import cost
from netwright.search_spaces.graph import GraphBuilder, LayerGraph
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.space import SearchSpace

DIGITS = Shapes((1, 8, 8), 10)


def _residual() -> LayerGraph:
    """conv-norm-relu, conv-norm, and a sum whose inputs are read twice."""
    net = GraphBuilder((1, 8, 8))
    first = net.chain(net.input, Conv2d(filters=4), BatchNorm(), Activation())
    second = net.chain(first, Conv2d(filters=4), BatchNorm())
    return net.finish(net.chain(net.add(Add(), first, second), Activation()))


def _table(units: dict[str, float], **facts: object) -> LatencyTable:
    """A table with a latency for each of some texts."""
    entries = [{**parse_unit(*text.split("@")).to_json(), "latency_ms": value} for text, value in units.items()]
    base = {"device": "invented", "machine": {}, "runtime": "none", "protocol": {}, "entries": entries}
    return LatencyTable.parse({**base, **facts})


@pytest.mark.parametrize(("operation", "shape"), [("add", "-1x8x8"), ("add", "0x8x8"), ("[]", "3x8x8")])
def test_a_unit_has_an_operation_and_sizes_above_zero(operation: str, shape: str) -> None:
    with pytest.raises(NetwrightError, match="is no operation with its input shape"):
        parse_unit(operation, shape)


def test_what_a_runtime_fuses_is_one_unit_and_what_others_read_between_is_not() -> None:
    kinds = [unit.kind for unit in units_of(_residual())]
    assert kinds == ["conv2d:conv+batch_norm+activation", "conv2d:conv+batch_norm", "add", "activation"]
    net = GraphBuilder((1, 8, 8))
    conv = net.add(Conv2d(filters=4), net.input)
    graph = net.finish(net.add(Add(), conv, net.chain(conv, BatchNorm(), Activation())))
    assert [unit.kind for unit in units_of(graph)] == ["conv2d:conv", "batch_norm", "activation", "add"]


def test_depthwise_convolutions_are_a_kind_of_their_own() -> None:
    dense, depthwise = (Unit((Conv2d(groups=groups),), ((8, 8, 8),)) for groups in (1, 0))
    assert dense.kind != depthwise.kind


@pytest.mark.parametrize("name", ["nasbench201", "convnet", "mlp", "mobile"])
def test_units_hold_all_of_a_network(name: str) -> None:
    space = build("space", name)
    assert isinstance(space, SearchSpace)
    shapes = space.examples()[0]
    graph = space.graph(space.sample(random.Random(1)), shapes)
    units, counted = units_of(graph), cost(simplify(graph))
    assert sum(unit.macs for unit in units) == counted.macs
    assert sum(unit.params for unit in units) == counted.params
    for unit in units:
        again = Unit.from_json(json.loads(json.dumps(unit.to_json())))
        assert again.key == unit.key
        assert again.output_shape == unit.output_shape


def test_a_table_adds_up_what_it_knows_and_counts_what_it_guesses() -> None:
    units = units_of(_residual())
    entries = [Entry.parse({**unit.to_json(), "latency_ms": 2.0**place}) for place, unit in enumerate(units)]
    table = LatencyTable(device="d", machine={}, runtime="r", protocol={}, call_ms=0.5, entries=tuple(entries))
    known = LatencyPredictor(table).predict(_residual())
    assert (known.latency_ms, known.units, known.extrapolated) == (0.5 + 1 + 2 + 4 + 8, 4, 0)
    part = LatencyPredictor(table.model_copy(update={"entries": tuple(entries[1:])})).predict(_residual())
    assert part.extrapolated == 1
    assert part.latency_ms > 14.5


def test_an_unknown_size_is_judged_by_others_of_its_kind() -> None:
    def conv(filters: int) -> Unit:
        return Unit((Conv2d(filters=filters),), ((8, 16, 16),))

    def truth(unit: Unit) -> float:
        return 0.002 + 1e-7 * unit.macs + 2e-8 * unit.moved_bytes

    known = [conv(filters) for filters in (4, 8, 24, 32, 64)]
    entries = [Entry.parse({**unit.to_json(), "latency_ms": truth(unit)}) for unit in known]
    # another kind with quite other costs must not disturb
    entries += [
        Entry.parse({**Unit((Activation(),), ((c, 8, 8),)).to_json(), "latency_ms": 5.0}) for c in (4, 8, 16, 32)
    ]
    table = LatencyTable(device="d", machine={}, runtime="r", protocol={}, entries=tuple(entries))
    assert LatencyPredictor(table).guess(conv(16)) == pytest.approx(truth(conv(16)), rel=1e-3)
    assert (fit_sizes(known, [truth(unit) for unit in known]) >= 0).all()


def _networks(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sums of look-ups of invented networks, and latencies that follow from them with 2 % of noise, in ms."""
    rng = np.random.default_rng(seed)
    lookups = rng.uniform(0.1, 2, count)
    return lookups, 0.6 * lookups * rng.normal(1, 0.02, count)


def test_the_factor_finds_what_the_sum_gets_wrong_and_keeps_its_order() -> None:
    lookups, latencies = _networks(40)
    latencies[:5] *= 3  # five wrong times
    assert fit_factor(lookups, latencies) == pytest.approx(0.6, rel=0.02)
    found, plain = agreement(held_out(lookups, latencies, seed=0), latencies), agreement(lookups, latencies)
    assert found["median_error"] < 0.05 < plain["median_error"]
    assert found["spearman"] == pytest.approx(plain["spearman"], abs=0.02)


def test_what_cannot_matter_is_not_timed() -> None:
    space, shapes = build("space", "nasbench201"), Shapes((3, 32, 32), 10)
    assert isinstance(space, SearchSpace)
    dead = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    skip = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    written, plain = (units_of(space.graph(space.from_genotype(cell), shapes)) for cell in (dead, skip))
    assert [unit.key for unit in written] == [unit.key for unit in plain]


def test_held_out_networks_never_see_their_own_latency() -> None:
    lookups, latencies = _networks(20)
    before = held_out(lookups, latencies, seed=3)
    for place in range(20):
        wrong = latencies.copy()
        wrong[place] *= 100
        assert held_out(lookups, wrong, seed=3)[place] == before[place]


def test_noisy_networks_are_left_out_while_enough_others_remain() -> None:
    rows = [
        NetworkTime(decisions={}, lookup_ms=sum_ms, macs=1, latency_ms=ms * (50 if i < 4 else 1), noisy=i < 4)
        for i, (sum_ms, ms) in enumerate(zip(*(values.tolist() for values in _networks(20)), strict=True))
    ]
    table = corrected(_table({"add@8x8x8+8x8x8": 0.1}, networks=rows))
    assert table.accuracy["used"] == 16
    assert table.accuracy["held_out"]["median_error"] < 0.1
    assert [network.held_out_ms is None for network in table.networks] == [i < 4 for i in range(20)]
    few = corrected(_table({"add@8x8x8+8x8x8": 0.1}, networks=rows[:5]))
    assert few.factor is None


def test_a_table_is_plain_json_and_comes_back_equal(tmp_path: Path) -> None:
    table = _table({'{"kind": "conv2d", "filters": 4}@1x8x8': 0.01, "add@4x8x8+4x8x8": 0.002})
    table.write(tmp_path / "device.json")
    assert read_table(tmp_path / "device.json") == table
    assert not table.of_this_machine
    assert json.loads((tmp_path / "device.json").read_text())["unit"] == "ms"


def test_a_csv_of_another_tool_becomes_a_table_in_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "phone.csv"
    path.write_text(
        "operation,input_shape,latency_ms,unit\n"
        "add,4x8x8+4x8x8,12,us\n"
        '"{""kind"": ""conv2d"", ""filters"": 4}",1x8x8,0.5,ms\n'
        '"[{""kind"": ""conv2d"", ""filters"": 4}, ""batch_norm"", ""activation""]",1x8x8,0.7,\n'
    )
    table = read_csv(path, device="phone")
    assert [entry.latency_ms for entry in table.entries] == pytest.approx([0.012, 0.5, 0.7])
    fused = units_of(_residual())[0]
    assert table.entries[2].unit.key == fused.key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("operation,latency_ms\nadd,1\n", "input_shape"),
        ("operation,input_shape,latency_ms\nadd,4xx8,1\n", "4xx8"),
        ("operation,input_shape,latency_ms\nconv2e,4x8x8,1\n", "conv2d"),
        ("operation,input_shape,latency_ms\nadd,4x8x8,-1\n", "at least 0"),
        ("operation,input_shape,latency_ms\nadd,4x8x8,\n", "at least 0"),
        ("operation,input_shape,latency_ms,unit\nadd,4x8x8,1,hours\n", "hours"),
        ("operation,input_shape,latency_ms\n", "no line"),
        ("operation,input_shape,latency_ms\nconv2d,8,1\n", "image"),
    ],
)
def test_a_csv_with_a_mistake_says_where(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(NetwrightError, match=said):
        read_csv(path, device="phone")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "netwright-latency-table-1", "device": 3}'])
def test_a_file_that_is_no_table_is_refused_in_a_sentence(content: str, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(content)
    with pytest.raises(NetwrightError, match=r"device\.json"):
        read_table(path)
    with pytest.raises(NetwrightError, match="no latency table"):
        read_table(tmp_path / "absent.json")


def test_all_mistakes_of_a_csv_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("operation,input_shape,latency_ms\nadd,4xx8,1\nnothing,4x8x8,1\n")
    with pytest.raises(ConfigurationError) as told:
        read_csv(path, device="phone")
    assert len(told.value.mistakes) == 2


def test_dropout_behind_a_layer_belongs_to_its_unit() -> None:
    net = GraphBuilder((1, 8, 8))
    graph = net.finish(net.chain(net.input, Conv2d(filters=4), Dropout()))
    assert len(units_of(graph)) == 1
