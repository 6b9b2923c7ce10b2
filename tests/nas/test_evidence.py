"""What trials of each state count for, who ranks above whom, and decisions as flat parameters."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.records import Objective, TrialState
from netwright.nas.evidence import gather
from netwright.nas.parameters import decode, encode, joined
from netwright.nas.ranking import crowding_distances, dominates, fronts, ranking
from netwright.nas.strategies.evolution import Evolution
from tests.nas.searching import done
from tests.nas.spaces import Knapsack, Mixed, knapsack_value

steady = settings(derandomize=True, deadline=None)
QUALITY = Objective(metric="quality", direction="maximize")
SIZE = Objective(metric="size", direction="minimize", bound=10.0)

points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15)


def numbers(trials, goals):
    return [e.trial.number for e in ranking(gather(trials, goals))]


def test_a_stopped_trial_never_ranks_above_a_complete_one():
    trials = [
        done(0, {"a": 0}, {"quality": 0.9}, state=TrialState.STOPPED),
        done(1, {"a": 1}, {"quality": 0.2}),
        done(2, {"a": 2}, {"quality": 0.5}),
        done(3, {"a": 3}, {"quality": 0.1}, state=TrialState.STOPPED),
    ]
    assert numbers(trials, [QUALITY])[0] == 2
    assert numbers(trials, [QUALITY])[-1] == 3
    assert {e.trial.number: e.losses for e in gather(trials, [QUALITY])}[0] == (-0.2,)


def test_kept_bounds_come_first_then_little_broken_ones():
    trials = [
        done(0, {"a": 0}, {"quality": 0.9, "size": 30.0}),
        done(1, {"a": 1}, {"quality": 0.8, "size": 12.0}),
        done(2, {"a": 2}, {"quality": 0.1, "size": 10.0}),
        done(3, {"a": 3}, {"size": 20.0}, state=TrialState.INFEASIBLE),
        done(4, {"a": 4}, {}, state=TrialState.FAILED),
    ]
    assert numbers(trials, [QUALITY, SIZE]) == [2, 1, 3, 0]
    assert [e.violation for e in gather(trials, [QUALITY, SIZE])] == [2.0, 0.2, 0.0, 1.0]


@steady
@given(st.lists(st.integers(0, 5), min_size=1, max_size=15), st.integers(1, 15))
def test_of_one_objective_the_best_comes_first_and_of_equals_the_newer(values, most):
    trials = [done(number, {"a": number}, {"quality": float(value)}) for number, value in enumerate(values)]
    order = sorted(range(len(values)), key=lambda number: (-values[number], -number))
    assert numbers(trials, [QUALITY]) == order
    assert [e.trial.number for e in ranking(gather(trials, [QUALITY]), most=most)] == order[:most]


@steady
@given(points)
def test_fronts_are_layers_of_domination(losses):
    layers = fronts(losses)
    assert sorted(index for layer in layers for index in layer) == list(range(len(losses)))
    for place, layer in enumerate(layers):
        assert not any(dominates(losses[a], losses[b]) for a in layer for b in layer)
        for index in layer if place else []:
            assert any(dominates(losses[other], losses[index]) for other in layers[place - 1])


def test_crowding_prefers_ends_and_gaps():
    found = crowding_distances([(0.0, 4.0), (1.0, 3.0), (1.5, 2.5), (4.0, 0.0)])
    assert found[0] == found[3] == float("inf")
    assert found[2] > found[1]


@steady
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_decisions_survive_as_parameters_and_foreign_values_are_mended(seed, other):
    space, rng = Mixed(), random.Random(0)
    mine, theirs = space.sample(random.Random(seed)), space.sample(random.Random(other))
    domains = space.trace(mine).domains
    encoded = encode((name, mine[name], domain) for name, domain in domains.items())
    own = dict(zip(encoded.names, encoded.values, strict=True))
    assert {name: decode(name, domain, own, rng) for name, domain in domains.items()} == mine
    foreign = encode((name, theirs[name], domain) for name, domain in space.trace(theirs).domains.items())
    mixed = own | dict(zip(foreign.names, foreign.values, strict=True))
    assert all(domain.holds(decode(name, domain, mixed, rng)) for name, domain in domains.items())


def test_ranges_of_one_name_are_joined():
    space = Mixed()
    traces = [space.trace(space.sample(random.Random(seed))) for seed in range(200)]
    ranges = joined(encode((n, t.decisions[n], d) for n, d in t.domains.items()) for t in traces)
    assert (ranges["integer:odd"].low, ranges["integer:odd"].high, ranges["integer:odd"].step) == (1, 9, 2)
    assert sorted(ranges["choice:layer2/width"].options) == ["16", "32", "64", "8"]
    assert {"member:picks:0", "member:picks:4"} <= set(ranges)


def test_evolution_forgets_the_old_and_names_the_parent():
    space, rng = Knapsack(), random.Random(0)
    trials = [done(n, space.sample(rng), {"quality": float(n < 5), "size": 1.0}) for n in range(30)]
    rule = Evolution(population=10, tournament=10)
    for seed in range(10):
        origin = rule.ask(space, trials, [QUALITY], random.Random(seed)).origin
        assert int(origin.rpartition(" ")[2]) >= 20
    assert rule.ask(space, trials[:9], [QUALITY], rng).origin == "random"
    best = done(30, space.sample(rng), knapsack_value(space.sample(rng)) | {"quality": 9.0})
    assert rule.ask(space, [*trials, best], [QUALITY], rng).origin == "mutation of trial 30"
