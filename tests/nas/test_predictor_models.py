"""What the predictor may be made of: path rows, ensembles of networks, draws instead of expectations."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from netwright.core.errors import SpaceError
from netwright.core.plugins import build
from netwright.core.records import Objective
from netwright.core.shapes import Shapes
from netwright.nas.ensemble import MEMBERS, Ensemble, trained
from netwright.nas.evidence import gather, key_of
from netwright.nas.rows import rows_of, ways_of
from netwright.nas.surrogate import Surrogate
from netwright.search_spaces.chooser import Chooser
from tests.nas.searching import done, hypervolume, record_of, search, strategy
from tests.nas.spaces import Few, Knapsack, Mixed, One, Only, knapsack_value

QUALITY = Objective(metric="quality", direction="maximize")
SIZE = Objective(metric="size", direction="minimize")
BANANAS = {"model": "ensemble", "encoding": "path", "acquisition": "its"}
VARIANTS = [
    BANANAS,
    {"model": "ensemble", "acquisition": "thompson"},
    {"model": "ensemble"},
    {"encoding": "path"},
    {"acquisition": "thompson"},
    {"acquisition": "its"},
]
KNAPSACK = Knapsack()


def cell(**edges):
    return {f"cell/{name[1]}-{name[2]}": operation for name, operation in edges.items()}


def test_ways_are_the_operations_from_input_to_output_and_how_many_cells_have_them():
    space = build("space", "nasbench201")
    decisions = cell(
        e01="nor_conv_3x3", e02="none", e12="nor_conv_1x1", e03="skip_connect", e13="none", e23="avg_pool_3x3"
    )
    ways = ways_of(space.outline(decisions, Shapes((3, 32, 32), 10)))
    assert ways["conv 3×3 > conv 1×1 > average pool 3×3"] == 15
    assert ways[""] >= 15
    assert not any("none" in way for way in ways)


def test_cells_of_equal_ways_have_equal_rows_however_they_are_written():
    space = build("space", "nasbench201")
    nothing = dict.fromkeys(("e01", "e02", "e12", "e03", "e13", "e23"), "none")
    # one convolution, then a skip: by way of node 1 or of node 2
    first = cell(**nothing | {"e01": "nor_conv_3x3", "e13": "skip_connect"})
    second = cell(**nothing | {"e02": "nor_conv_3x3", "e23": "skip_connect"})
    third = cell(**nothing | {"e02": "nor_conv_1x1", "e23": "skip_connect"})
    rows = rows_of(space, [key_of(one) for one in (first, second, third)], encoding="path")
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()
    assert rows.min() >= 0
    assert rows.max() == 1


def test_an_ensemble_ranks_what_it_has_not_seen_and_is_less_sure_of_it():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (300, 12)).astype(float)
    values = rows @ np.linspace(-1, 1, 12) + 0.5 * rows[:, 0] * rows[:, 3]
    model = Ensemble.fit(rows[:150], values[:150])
    mean, spread = model.predict(rows[150:])
    assert np.corrcoef(mean, values[150:])[0, 1] > 0.9
    far = model.predict(3 * rows[150:])[1]
    assert far.mean() > spread.mean()
    assert model.members(rows).shape == (MEMBERS, 300)
    assert any((model.draw(rows, np.random.default_rng(1)) == one).all() for one in model.members(rows))


def test_functions_drawn_from_a_gaussian_process_scatter_as_it_expects():
    trials = record_of(KNAPSACK, 30, knapsack_value)
    keys = [key_of(trial.decisions) for trial in record_of(KNAPSACK, 20, knapsack_value, seed=5)]
    model = Surrogate.fit(KNAPSACK, gather(trials, [QUALITY]))
    mean, spread = model.predict(keys)
    drawn = np.stack([model.draw(keys, np.random.default_rng(seed))[:, 0] for seed in range(400)])
    assert np.abs(drawn.mean(axis=0) - mean[:, 0]).max() < 0.25
    assert drawn.std(axis=0) == pytest.approx(spread[:, 0], abs=0.15)


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda one: "-".join(one.values()))
@pytest.mark.parametrize("goals", [[QUALITY], [QUALITY, SIZE]], ids=["one", "two"])
@pytest.mark.parametrize("space", [Mixed(), KNAPSACK, Few(), One()], ids=["mixed", "knapsack", "few", "one"])
def test_every_variant_stays_in_the_space_and_says_the_same_twice(space, goals, settings):
    rule = strategy({"kind": "predictor", "startup": 4, "candidates": 20, **settings})
    values = {"quality": 0.0, "size": 0.0}
    rng = random.Random(3)
    trials = [
        done(number, space.sample(rng), {name: rng.random() for name in values}) for number in range(25)
    ]  # fmt: skip
    first, second = (rule.ask(space, trials, goals, random.Random(1)) for _ in range(2))
    space.trace(first.decisions)
    assert first == second


@pytest.mark.parametrize("settings", VARIANTS[:2], ids=lambda one: "-".join(one.values()))
def test_networks_find_more_than_chance_does(settings):
    if settings.get("encoding") == "path":
        settings = settings | {"encoding": "one_hot"}  # this space's networks are all one
    rules = [strategy({"kind": "predictor", **settings}), strategy("random_search")]
    best = [
        np.mean([max(t.value("quality") or 0.0 for t in search(rule, KNAPSACK, [QUALITY], knapsack_value,
                                                                budget=60, seed=seed)) for seed in range(3)])
        for rule in rules
    ]  # fmt: skip
    assert best[0] > best[1] + 0.05


def test_a_space_that_serves_no_example_is_told_to_take_the_other_encoding():
    class Nowhere(Knapsack):
        example_inputs = ()

    space = Nowhere()
    with pytest.raises(SpaceError, match="one_hot"):
        rows_of(space, [key_of(space.sample(random.Random(0)))], encoding="path")


class Shares(Only):
    """Twelve numbers of 31 values, as where every layer has a share of its own."""

    def decide(self, choose: Chooser) -> Any:
        return [choose.integer(f"x{index}", 0, 30) for index in range(12)]


def shares_value(decisions: Any) -> dict[str, float]:
    """Two objectives of which one costs the other (ZDT1: Zitzler et al., 2000)."""
    first, *others = (decisions[f"x{index}"] / 30 for index in range(12))
    scale = 1 + 9 * sum(others) / len(others)
    return {"quality": -first, "size": scale * (1 - math.sqrt(first / scale))}


def test_numbers_of_many_values_are_the_further_apart_the_more_they_differ():
    space = Shares()
    base = {f"x{index}": 15 for index in range(12)}
    rows = rows_of(space, [key_of(base | {"x0": value}) for value in (0, 1, 10, 30)])
    apart = ((rows - rows[0]) ** 2).sum(axis=1) / 2
    assert apart == pytest.approx([0, 1 / 30, 1 / 3, 1])


def test_numbers_of_few_values_and_options_stay_one_hot():
    rows = rows_of(KNAPSACK, [key_of(KNAPSACK.sample(random.Random(seed))) for seed in range(5)])
    assert set(np.unique(rows)) == {0.0, 1.0}


def test_the_predictor_beats_chance_where_decisions_are_numbers_of_many_values():
    found = [
        hypervolume([(-t.value("quality"), t.value("size")) for t in run], (1.05, 6.0))
        for run in (
            search(strategy(name), Shares(), [QUALITY, SIZE], shares_value, budget=60, seed=0)
            for name in ("predictor", "random_search")
        )
    ]
    assert found[0] > found[1] + 0.5


def test_networks_are_trained_the_more_seldom_the_longer_the_record_is():
    told = gather(record_of(KNAPSACK, 1000, knapsack_value), [QUALITY])
    trained.cache_clear()
    for count in (*range(300, 320), *range(950, 1000)):
        Surrogate.fit(KNAPSACK, told[:count], kind="ensemble")
    assert trained.cache_info().misses == 4  # for 300, 310, 920 and 960 results
