"""Costs that are known before training: told to strategies, kept as bounds, used in place of predictions."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from netwright.core.plugins import build
from netwright.core.records import Objective, TrialState
from netwright.core.shapes import Shapes
from netwright.nas.benchmarking.contestant import parse_peer, peer_of
from netwright.nas.benchmarking.goals import Goals, parse_goals
from netwright.nas.benchmarking.scoring import Scale, summary
from netwright.nas.benchmarking.searching import TableSearch, search_table, search_with_peer
from netwright.nas.benchmarking.table import TableCosts
from netwright.nas.known_costs import CountedCosts
from netwright.nas.strategies.warm_start import WarmStart
from netwright.search_spaces.space import SearchSpace
from tests.nas.searching import done, strategy
from tests.nas.tables import all_letters, letters_table, size

BOUNDED = parse_goals(["max:quality", "min:size<=40"])
SHAPES = Shapes((3, 32, 32), 10)


def searched(name: str, goals: Goals, *, seed: int = 0) -> TableSearch:
    return search_table(strategy(name), letters_table(), goals, budget=30, seed=seed)


@pytest.mark.parametrize("name", ["random_search", "evolution", "nsga2", "local_search", "predictor", "progressive"])
def test_what_breaks_a_bound_on_a_known_cost_is_never_paid_for(name: str) -> None:
    table, letters = letters_table(), all_letters()
    found = searched(name, BOUNDED)
    assert len(found.paid) == 30
    assert all(size(letters[paid.row]) <= 40 for paid in found.paid)
    row = summary(name, [found], Scale(table, BOUNDED), budget=30)
    assert row["best_mean"] <= Scale(table, BOUNDED).optimum
    assert row["refused_mean"] == found.refused


def test_strategies_that_know_costs_do_not_ask_for_what_breaks_a_bound() -> None:
    by_chance = searched("random_search", BOUNDED).refused
    assert by_chance > 20
    for name in ("evolution", "nsga2", "predictor"):
        assert searched(name, BOUNDED).refused < by_chance


def test_a_bound_that_is_found_broken_after_payment_is_paid_for_and_never_the_choice() -> None:
    goals = parse_goals(["max:quality", "min:size<=40"], known=["none"])
    table, letters = letters_table(), all_letters()
    found = searched("evolution", goals)
    assert any(size(letters[paid.row]) > 40 for paid in found.paid)
    assert found.refused == 0
    kept = [table.columns["quality"][paid.row] for paid in found.paid if size(letters[paid.row]) <= 40]
    assert summary("evolution", [found], Scale(table, goals), budget=30)["best_mean"] == max(kept)


def test_the_optimum_and_the_hypervolume_are_those_of_rows_that_keep_the_bounds() -> None:
    scale, letters = Scale(letters_table(), BOUNDED), all_letters()
    kept = [row for row, decisions in enumerate(letters) if size(decisions) <= 40]
    assert scale.optimum == max(scale.table.columns["quality"][row] for row in kept)
    assert scale.share(scale.losses(BOUNDED.objectives)[kept]) == pytest.approx(1.0)


def test_a_peer_is_told_that_a_suggestion_failed_and_pays_nothing() -> None:
    table, letters = letters_table(), all_letters()
    peer = peer_of(parse_peer("optuna:random"), table, BOUNDED.objectives, seed=0)
    found = search_with_peer(peer, table, BOUNDED, budget=20, cache=True)
    assert len(found.paid) == 20
    assert found.refused > 0
    assert found.absent == 0
    assert all(size(letters[paid.row]) <= 40 for paid in found.paid)


def test_known_are_the_minimised_objectives_after_the_first_unless_said() -> None:
    texts = ["min:loss", "min:size", "max:speed"]
    assert parse_goals(texts).known == ("size",)
    assert parse_goals(texts, known=["none"]).known == ()
    assert parse_goals(texts, known=["speed"]).known == ("speed",)


def test_a_prepared_strategy_counts_what_the_space_counts() -> None:
    space = build("space", "nasbench201")
    assert isinstance(space, SearchSpace)
    decisions = space.sample(random.Random(0))
    costs = CountedCosts(SHAPES)
    found = costs.of(space, decisions)
    assert found is not None
    assert found["params"] == space.cost(decisions, SHAPES).params
    bound = Objective(metric="params", direction="minimize", bound=found["params"] - 1)
    free = replace_bound(bound, None)
    assert costs.losses(space, decisions, [Objective(metric="accuracy"), free]) == {1: found["params"]}
    assert costs.losses(space, decisions, [bound]) is None
    assert costs.of(space, {"nothing": "like it"}) is None


def replace_bound(objective: Objective, bound: float | None) -> Objective:
    return objective.model_copy(update={"bound": bound})


def test_strategies_inside_others_are_told_too_and_the_first_is_left_as_it_was() -> None:
    first = WarmStart(then=strategy("evolution"))
    told = first.knowing(CountedCosts(SHAPES))
    assert isinstance(told, WarmStart)
    assert told.then._costs == told._costs == CountedCosts(SHAPES)
    assert first._costs is None
    assert first.then._costs is None


def test_the_predictor_takes_known_costs_as_they_are() -> None:
    """With the size known it proposes, of all that is untried, something that the front has room for."""
    table, letters = letters_table(), all_letters()
    goals = parse_goals(["max:quality", "min:size"])
    rows = random.Random(1).sample(range(len(letters)), 40)
    columns = table.columns
    values = [{"quality": columns["quality"][row], "size": columns["size"][row]} for row in rows]
    trials = [done(n, letters[row], v, identity=str(row)) for n, (row, v) in enumerate(zip(rows, values, strict=True))]
    knowing = strategy({"kind": "predictor", "ends": 0.0}).knowing(TableCosts(table, ("size",)))
    for seed in range(5):
        proposal = knowing.ask(table.space, trials, goals.objectives, random.Random(seed))
        own = size(proposal.decisions)
        assert not any(v["size"] <= own and v["quality"] == 12 for v in values)


def test_infeasible_trials_carry_what_was_known() -> None:
    goals = replace(BOUNDED, known=("size",))
    seen: list[TrialState] = []

    class Spy(type(strategy("random_search"))):
        """Random search that looks at the record."""

        def ask(self, space, trials, objectives, rng):
            for trial in trials:
                if trial.state is TrialState.INFEASIBLE:
                    assert trial.value("size") > 40
                    assert trial.value("quality") is None
                    assert "the bound 40" in trial.reason
                    seen.append(trial.state)
            return super().ask(space, trials, objectives, rng)

    search_table(Spy(), letters_table(), goals, budget=5, seed=0)
    assert seen
