"""Conformance of every promotion rule on simulated searches, and the order within a rung."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.plugins import build, names
from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.nas.fidelity import Comparison, Fidelity
from netwright.nas.promotion import Begin, Entrant, EntrantReader, Ladder, Promote, Promotion, Reached
from netwright.nas.promotion_order import best_first, epsilon_net, hypervolume_contributions, ordered
from netwright.nas.promotions.asha import Asha
from netwright.nas.promotions.hyperband import Hyperband
from netwright.nas.promotions.pareto_asha import ParetoAsha
from netwright.nas.promotions.successive_halving import SuccessiveHalving
from tests.nas.spaces import Knapsack

ACCURACY = Objective(metric="accuracy", direction="maximize")
PARAMS = Objective(metric="params", direction="minimize")
RULES = names("promotion")
SPACE = Knapsack()
FIDELITIES = (1.0, 3.0, 9.0)


def rule(name: str, **settings: object) -> Promotion:
    found = build("promotion", {"kind": name, **settings})
    assert isinstance(found, Promotion)
    return found


def ladder_of(entrants: list[Entrant], **facts: object) -> Ladder:
    """A ladder with the trials that these entrants are read from."""
    trials = [trial_of(entrant) for entrant in entrants]
    usual = {"rungs": [1.0, 3.0], "objectives": [ACCURACY], "may_ask": True, "space": SPACE}
    return Ladder(entrants=entrants, trials=trials, **{**usual, **facts})


def trial_of(entrant: Entrant) -> Trial:
    state = TrialState.RUNNING if entrant.running else TrialState.STOPPED
    entries = [{"fidelity": FIDELITIES[place], "step": entrant.number} for place in range(entrant.rung + 1)]
    for place, reached in entrant.results.items():
        values = {"accuracy": -reached.losses[0], "params": reached.losses[-1]}
        told = {name: Measurement(metric=name, value=value).to_json() for name, value in values.items()}
        entries[place] |= {"measurements": told}
    decisions = SPACE.sample(random.Random(entrant.number))
    return Trial(number=entrant.number, decisions=decisions, identity=str(entrant.number), state=state, rungs=entries)


class Simulation:
    """A search whose trainings end in the order of a generator, with quality known beforehand."""

    def __init__(self, promotion: Promotion, *, trials: int, workers: int = 1, top: int = 2, seed: int = 0) -> None:
        self.promotion, self.wanted, self.workers, self.top = promotion, trials, workers, top
        self.rng = random.Random(seed)
        self.entrants: dict[int, Entrant] = {}
        self.moves: list[Begin | Promote] = []

    def run(self) -> Simulation:
        while True:
            while self.running < self.workers and (move := self.promotion.next(self.ladder())) is not None:
                self.take(move)
            if not self.running:
                return self
            self.end(self.rng.choice([n for n, e in self.entrants.items() if e.running]))

    @property
    def running(self) -> int:
        return sum(entrant.running for entrant in self.entrants.values())

    def ladder(self) -> Ladder:
        entrants = list(self.entrants.values())
        may_ask = len(entrants) < self.wanted
        return ladder_of(entrants, rungs=FIDELITIES[: self.top + 1], objectives=[ACCURACY, PARAMS], may_ask=may_ask)

    def take(self, move: Begin | Promote) -> None:
        self.moves.append(move)
        if isinstance(move, Begin):
            assert len(self.entrants) < self.wanted
            number = len(self.entrants)
            self.entrants[number] = Entrant(number=number, start=move.rung, rung=move.rung, paused=False, running=True)
            return
        entrant = self.entrants[move.number]
        assert entrant.paused
        assert entrant.rung < self.top
        self.entrants[move.number] = dataclasses.replace(entrant, rung=entrant.rung + 1, paused=False, running=True)

    def end(self, number: int) -> None:
        entrant = self.entrants[number]
        quality = random.Random(number)
        reached = Reached((-quality.random(), float(quality.randrange(1, 9))))
        results = {**entrant.results, entrant.rung: reached}
        paused = entrant.rung < self.top
        self.entrants[number] = dataclasses.replace(entrant, results=results, running=False, paused=paused)

    def at(self, rung: int) -> list[Entrant]:
        return [entrant for entrant in self.entrants.values() if rung in entrant.results]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("trials", [1, 2, 8, 30])
def test_every_search_ends_with_all_trials_begun_and_one_at_the_top(name: str, workers: int, trials: int) -> None:
    done = Simulation(rule(name), trials=trials, workers=workers).run()
    assert len(done.entrants) == trials
    assert done.at(2)


@pytest.mark.parametrize("name", RULES)
def test_fewer_reach_every_higher_rung(name: str) -> None:
    done = Simulation(rule(name), trials=60, workers=2).run()
    begun = Counter(entrant.start for entrant in done.entrants.values())
    promoted = [sum(e.start < rung and rung in e.results for e in done.entrants.values()) for rung in (1, 2)]
    assert promoted[0] < begun[0]
    assert promoted[1] < promoted[0] + begun[1]


@pytest.mark.parametrize("name", RULES)
def test_equal_ladders_give_equal_answers_and_a_failed_trial_is_left_alone(name: str) -> None:
    done = Simulation(rule(name), trials=12)
    while (move := done.promotion.next(done.ladder())) is not None:
        assert done.promotion.next(done.ladder()) == move
        done.take(move)
        number = move.number if isinstance(move, Promote) else len(done.entrants) - 1
        if number % 3 == 1:
            done.entrants[number] = dataclasses.replace(done.entrants[number], running=False, paused=False)
        else:
            done.end(number)
    assert all(entrant.over or entrant.paused for entrant in done.entrants.values())


@pytest.mark.parametrize("name", RULES)
def test_a_search_of_failures_alone_ends(name: str) -> None:
    done = Simulation(rule(name), trials=5)
    while (move := done.promotion.next(done.ladder())) is not None:
        done.take(move)
        number = len(done.entrants) - 1
        done.entrants[number] = dataclasses.replace(done.entrants[number], running=False, paused=False)
    assert len(done.entrants) == 5


def test_asha_promotes_the_best_third_by_the_first_objective() -> None:
    done = Simulation(Asha(), trials=27).run()
    best = sorted(done.at(0), key=lambda e: e.results[0].losses[0])
    assert best[0] in done.at(1)
    assert best[-1] not in done.at(1)
    assert len(done.at(1)) <= 13


def test_pareto_asha_lets_the_smallest_go_on_too() -> None:
    good, small, neither = Reached((-0.9, 9.0)), Reached((-0.1, 1.0)), Reached((-0.1, 9.0))
    entrants = [
        Entrant(number=number, start=0, rung=0, paused=True, results={0: reached})
        for number, reached in enumerate([neither, good, neither, small, neither, neither])
    ]
    ladder = ladder_of(entrants, objectives=[ACCURACY, PARAMS])
    assert ParetoAsha().next(ladder) == Promote(1)
    went_on = [dataclasses.replace(e, rung=1, paused=False, running=True) if e.number == 1 else e for e in entrants]
    ladder = dataclasses.replace(ladder, entrants=went_on)
    assert ParetoAsha().next(ladder) == Promote(3)
    assert Asha().next(ladder) != Promote(3)


def test_a_synchronous_group_waits_for_its_last_member() -> None:
    halving = Simulation(SuccessiveHalving(group=4, eta=2), trials=8, workers=1)
    for _ in range(4):
        halving.take(halving.promotion.next(halving.ladder()))
    for number in range(3):
        halving.end(number)
    assert isinstance(halving.promotion.next(halving.ladder()), Begin)
    halving.end(3)
    assert isinstance(halving.promotion.next(halving.ladder()), Promote)


def test_by_default_one_in_as_many_goes_on_as_the_next_rung_costs_more() -> None:
    ladder = ladder_of([], rungs=[12.0, 200.0, 300.0])
    assert [Asha().one_in(ladder, rung) for rung in (0, 1)] == [17, 2]
    assert Asha(eta=4).one_in(ladder, 0) == 4


def test_hyperband_begins_at_every_rung() -> None:
    done = Simulation(Hyperband(), trials=22).run()
    assert Counter(entrant.start for entrant in done.entrants.values()) == {0: 9 + 5, 1: 5, 2: 3}


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@settings(derandomize=True, deadline=None)
@given(losses=points, second=st.sampled_from(["epsilon_net", "hypervolume", "crowding"]))
def test_nobody_comes_before_one_that_dominates_it(losses, second) -> None:
    order = best_first([tuple(map(float, loss)) for loss in losses], second=second)
    assert sorted(order) == list(range(len(losses)))
    for place, later in enumerate(order):
        for earlier in order[:place]:
            left, right = losses[later], losses[earlier]
            assert left == right or not all(a <= b for a, b in zip(left, right, strict=True))


def test_an_epsilon_net_is_spread_out_from_its_first_points_on() -> None:
    line = [(place / 8, 1 - place / 8) for place in range(9)]
    assert epsilon_net(line)[:3] == [0, 8, 4]


def test_the_hypervolume_contribution_is_the_area_that_is_lost_without_the_point() -> None:
    contributions = hypervolume_contributions([(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
    assert contributions == pytest.approx([0.05, 0.25, 0.05])


def test_kept_bounds_come_before_broken_ones_and_what_is_unknown_comes_last() -> None:
    results = [Reached((-0.9, 1.0), violation=2.0), Reached((-0.1, 5.0)), Reached((float("inf"), 9.0))]
    entrants = [
        Entrant(number=number, start=0, rung=0, paused=True, results={0: reached})
        for number, reached in enumerate(results)
    ]
    assert [entrant.number for entrant in ordered(entrants, rung=0)] == [1, 2, 0]


def at_rungs(number: int, *values: float, state: TrialState = TrialState.STOPPED) -> Trial:
    """A trial that reached one rung per value."""
    rungs = [
        {
            "fidelity": float(fidelity),
            "step": number,
            "measurements": {"accuracy": Measurement(metric="accuracy", value=value).to_json()},
        }
        for fidelity, value in zip((1, 3, 9), values, strict=False)
    ]
    return Trial(number=number, decisions={}, identity=str(number), state=state, rungs=rungs)


def test_strategies_compare_at_the_highest_rung_with_enough_results() -> None:
    fidelity = Fidelity(rungs=(1, 3, 9), learn_from=2)
    trials = [at_rungs(0, 0.1, 0.5), at_rungs(1, 0.9), at_rungs(2, 0.2, 0.6, state=TrialState.RUNNING)]
    told = Comparison(fidelity).of(trials)
    assert [trial.state for trial in told] == [TrialState.DONE, TrialState.STOPPED, TrialState.DONE]
    assert [told[0].value("accuracy"), told[2].value("accuracy")] == [0.5, 0.6]
    assert Comparison(fidelity).rung(trials[:2]) == 1.0


def test_a_failed_trial_is_not_told_as_done() -> None:
    trial = at_rungs(0, 0.4, state=TrialState.FAILED)
    assert Comparison(Fidelity(rungs=(1, 3))).of([trial]) == [trial]


def test_a_trial_that_is_the_same_is_read_once() -> None:
    reader = EntrantReader([ACCURACY], [1.0, 3.0, 9.0])
    trial = at_rungs(0, 0.4, 0.6)
    first, second = reader.read([trial]), reader.read([trial])
    assert first[0] is second[0]
    assert (first[0].rung, first[0].paused, first[0].results[1].losses) == (1, True, (-0.6,))
