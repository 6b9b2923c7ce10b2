"""The front agrees with its definition, whatever the trials; its figures agree with known ones."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.analysis.front import best_within_bounds, hypervolume, knee, pareto_front, reference_point, volume
from netwright.analysis.history import history, turning_points
from netwright.core.errors import UnknownNameError
from netwright.core.records import Measurement, Objective, Trial, TrialState

METRICS = ("accuracy", "latency_ms", "params")
OBJECTIVES = (
    Objective(metric="accuracy", direction="maximize", bound=1),
    Objective(metric="latency_ms", direction="minimize", bound=6),
    Objective(metric="params", direction="minimize"),
)


def make(
    number: int, values: tuple[float | None, ...], state: TrialState = TrialState.DONE, identity: str = ""
) -> Trial:
    found = {m: Measurement(metric=m, value=v) for m, v in zip(METRICS, values, strict=False)}
    return Trial(number=number, decisions={}, identity=identity or str(number), state=state, measurements=found)


value = st.one_of(st.none(), st.integers(0, 7).map(float))
trial_lists = st.lists(
    st.tuples(st.tuples(value, value, value), st.sampled_from(list(TrialState)), st.integers(0, 12)), max_size=24
).map(lambda rows: [make(n, v, s, f"architecture {i}") for n, (v, s, i) in enumerate(rows)])


def beats(a: Trial, b: Trial, objectives: tuple[Objective, ...]) -> bool:
    mine, other = a.losses(objectives), b.losses(objectives)
    assert mine is not None
    assert other is not None
    return all(x <= y for x, y in zip(mine, other, strict=True)) and mine != other


@pytest.mark.parametrize("axes", [2, 3, 4, 5, 6])
def test_dominated_points_change_no_digit_of_a_volume(axes: int) -> None:
    points = np.random.default_rng(0).random((300, axes))
    front = points[[not any((o <= p).all() and (o < p).any() for o in points) for p in points]]
    assert volume(points, [1.0] * axes) == volume(front, [1.0] * axes)


def brute_force(trials: list[Trial], objectives: tuple[Objective, ...]) -> set[int]:
    first: dict[str, Trial] = {}
    for trial in trials:
        if trial.state is TrialState.DONE and trial.feasible(objectives):
            first.setdefault(trial.identity, trial)
    return {t.number for t in first.values() if not any(beats(o, t, objectives) for o in first.values())}


def counted_volume(trials: list[Trial], objectives: tuple[Objective, ...]) -> int:
    """The hypervolume up to the bounds by counting unit cells; params count up to 9."""
    points = [t.losses(objectives) for t in pareto_front(trials, objectives)]
    sizes = [range(-8, -1), range(6), range(9)][: len(objectives)]
    cells = [()]
    for size in sizes:
        cells = [(*cell, step) for cell in cells for step in size]
    return sum(any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points) for cell in cells)


@given(trial_lists, st.integers(1, 3))
def test_front_is_what_brute_force_finds(trials: list[Trial], count: int) -> None:
    objectives = OBJECTIVES[:count]
    front = pareto_front(trials, objectives)
    assert {t.number for t in front} == brute_force(trials, objectives)
    assert front == sorted(front, key=lambda t: (*(t.losses(objectives) or ()), t.number))


@given(trial_lists, st.integers(2, 3))
@settings(max_examples=40)
def test_hypervolume_counts_the_covered_cells(trials: list[Trial], count: int) -> None:
    objectives = OBJECTIVES[:count]
    assert hypervolume(trials, objectives, (1.0, 6.0, 9.0)[:count]) == pytest.approx(counted_volume(trials, objectives))


@given(trial_lists, st.integers(1, 3))
def test_history_is_monotone_and_ends_at_the_front(trials: list[Trial], count: int) -> None:
    objectives = OBJECTIVES[:count]
    rows = history(trials, objectives)
    volumes = [row["hypervolume"] for row in rows]
    assert volumes == sorted(volumes)
    for objective in objectives:
        best = [objective.loss(v) for row in rows if (v := row[f"best_{objective.metric}"]) is not None]
        assert best == sorted(best, reverse=True)
    if rows:
        assert rows[-1]["front_size"] == len(pareto_front(trials, objectives))
        assert rows[-1]["hypervolume"] == pytest.approx(hypervolume(trials, objectives))


@given(trial_lists, st.integers(1, 3))
@settings(max_examples=30)
def test_each_row_of_the_history_is_the_state_at_that_trial(trials: list[Trial], count: int) -> None:
    objectives = OBJECTIVES[:count]
    reference = reference_point(trials, objectives)
    for row in history(trials, objectives):
        known = [t for t in trials if t.number <= row["number"]]
        assert row["front_size"] == len(pareto_front(known, objectives))
        assert row["hypervolume"] == pytest.approx(hypervolume(known, objectives, reference))


@given(trial_lists)
def test_reference_point_only_moves_outwards(trials: list[Trial]) -> None:
    before = None
    for end in range(len(trials) + 1):
        point = reference_point(trials[:end], OBJECTIVES)
        if before is not None and point is not None:
            assert all(o.loss(new) >= o.loss(old) for o, new, old in zip(OBJECTIVES, point, before, strict=True))
        before = point or before


def test_turning_points_keep_every_change() -> None:
    trials = [make(n, (v, 1.0)) for n, v in enumerate([2.0, 2.0, 1.5, 3.0, 3.0, 2.5])]
    rows = history(trials, OBJECTIVES[:2])
    numbers = [row["number"] for row in turning_points(rows)]
    assert numbers == [0, 1, 3, 4, 5]


def test_best_within_bounds_takes_the_best_accuracy_that_keeps_the_latency_bound() -> None:
    trials = [make(0, (5.0, 7.0, 1.0)), make(1, (4.0, 5.0, 1.0)), make(2, (4.0, 4.0, 9.0)), make(3, (3.0, 1.0, 1.0))]
    best = best_within_bounds(trials, OBJECTIVES, "accuracy")
    assert best is trials[2]
    assert best_within_bounds(trials, OBJECTIVES, "latency_ms") is trials[3]
    assert best_within_bounds(trials[:1], OBJECTIVES) is None


def test_unknown_objective_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="accuracy, latency_ms, params"):
        best_within_bounds([], OBJECTIVES, "latency")


def test_knee_is_the_balanced_point() -> None:
    trials = [make(0, (7.0, 6.0)), make(1, (6.5, 1.5)), make(2, (2.0, 1.0))]
    assert knee(trials, OBJECTIVES[:2]) is trials[1]
    assert knee([], OBJECTIVES) is None


@pytest.mark.parametrize("count", [2, 3])
def test_history_of_10000_trials_ends_at_their_front(count: int) -> None:
    rng = random.Random(0)
    trials = [make(n, (1 + rng.random(), 6 * rng.random(), rng.random())) for n in range(10_000)]
    rows = history(trials, OBJECTIVES[:count])
    assert rows[-1]["front_size"] == len(pareto_front(trials, OBJECTIVES[:count]))


def test_history_of_a_front_of_10000_points() -> None:
    trials = [make(n, (1 + n / 10_000, 6 * n / 10_001)) for n in range(10_000)]
    rows = history(trials, OBJECTIVES[:2])
    assert rows[-1]["front_size"] == 10_000
