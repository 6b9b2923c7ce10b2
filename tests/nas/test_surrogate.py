"""The surrogate and what is made of it: fit, uncertainty, expected improvement and gain of area."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from netwright.analysis.front import volume
from netwright.core.records import Objective, Trial, TrialState
from netwright.nas.acquisition import (
    area_gain,
    expected_improvement,
    expected_volume_gain,
    lower_front,
    volume_gain,
)
from netwright.nas.evidence import gather, key_of
from netwright.nas.scalar import random_weights, scalarised
from netwright.nas.surrogate import MOST, Scale, Surrogate, normal_scores
from netwright.search_spaces.chooser import Chooser
from tests.nas.searching import done, hypervolume
from tests.nas.spaces import Knapsack, Mixed, Only, knapsack_value

QUALITY = Objective(metric="quality", direction="maximize")
SIZE = Objective(metric="size", direction="minimize")
BOUNDED = Objective(metric="size", direction="minimize", bound=20.0)


def sampled(count, seed=0):
    rng = random.Random(seed)
    samples = [Knapsack().sample(rng) for _ in range(count)]
    return [done(number, decisions, knapsack_value(decisions)) for number, decisions in enumerate(samples)]


def test_it_ranks_untried_architectures_and_knows_the_tried_ones():
    trials, others = sampled(120), sampled(200, seed=1)
    model = Surrogate.fit(Knapsack(), gather(trials, [QUALITY, SIZE]))
    mean, spread = model.predict([key_of(trial.decisions) for trial in others])
    for column, name, sign in ((0, "quality", -1), (1, "size", 1)):
        truth = [sign * (trial.value(name) or 0.0) for trial in others]
        assert np.corrcoef(np.argsort(np.argsort(mean[:, column])), np.argsort(np.argsort(truth)))[0, 1] > 0.8
    _, known = model.predict([key_of(trial.decisions) for trial in trials])
    assert known.mean() < 0.7 * spread.mean()


def test_pending_architectures_become_certain_but_change_no_expectation():
    trials = sampled(40)
    keys = [key_of(trial.decisions) for trial in sampled(5, seed=9)]
    evidence = gather(trials, [QUALITY])
    before, after = (Surrogate.fit(Knapsack(), evidence, pending=p).predict(keys) for p in ((), keys))
    assert np.allclose(before[0], after[0], atol=0.05)
    assert (after[1] < before[1]).all()


def test_a_broken_bound_counts_as_worse_than_all_that_keep_it():
    trials = sampled(60)
    rows = [
        done(t.number, t.decisions, {"quality": t.value("quality"), "size": t.value("size")},
             state=TrialState.INFEASIBLE if t.value("size") > 20 else TrialState.DONE)
        for t in trials
    ]  # fmt: skip
    evidence = gather(rows, [QUALITY, BOUNDED])
    values = Surrogate.fit(Knapsack(), evidence).values
    broken = np.array([item.violation > 0 for item in evidence])
    assert 5 < broken.sum() < 55
    assert (values[broken].min(axis=0) > values[~broken].max(axis=0)).all()


def test_a_long_record_is_modelled_in_part_and_keeps_the_best():
    trials = sampled(MOST + 150)
    model = Surrogate.fit(Knapsack(), gather(trials, [QUALITY]))
    assert len(model.values) == MOST


def test_spaces_of_every_kind_of_decision_are_modelled():
    rng, space = random.Random(0), Mixed()
    trials = [done(n, d, {"quality": float(n % 7)}) for n, d in enumerate(space.sample(rng) for _ in range(30))]
    mean, spread = Surrogate.fit(space, gather(trials, [QUALITY])).predict([key_of(space.sample(rng))])
    assert np.isfinite(mean).all()
    assert (spread > 0).all()


def test_scores_are_quantiles_of_ranks_and_equal_for_ties():
    scores = normal_scores([5.0, 1.0, 1.0, 1e9])
    assert scores[1] == scores[2] < scores[0] < scores[3] < 2
    assert scores.sum() == pytest.approx(0.0, abs=0.2)


def test_expected_improvement_of_what_is_certain_is_the_gap():
    found = expected_improvement(np.array([0.0, 2.0, 2.0]), np.array([1e-6, 1e-6, 3.0]), 1.0)
    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(0.0, abs=1e-9)
    assert found[2] > 0.5


def test_the_gain_of_area_is_the_difference_of_hypervolumes():
    rng = np.random.default_rng(0)
    values, points = rng.random((12, 2)), rng.random((50, 2)) * 1.4 - 0.2
    corner = (1.0, 1.0)
    before = hypervolume([tuple(v) for v in values], corner)
    wanted = [hypervolume([*map(tuple, values), tuple(point)], corner) - before for point in points]
    assert area_gain(points, lower_front(values), np.array(corner)) == pytest.approx(np.array(wanted))


def test_the_expected_gain_of_area_agrees_with_the_gain_where_all_is_certain():
    losses = np.array([[0.0, 10.0], [1.0, 0.0]])
    scales = [Scale.of(axis, normal_scores(axis.tolist())) for axis in losses.T]
    points = np.array([[-1.0, 5.0], [0.5, 4.0], [2.0, 20.0]])
    mean = np.stack([scale.score(axis) for scale, axis in zip(scales, points.T, strict=True)], axis=1)
    found = expected_volume_gain(mean, np.zeros((3, 2)), scales, losses)
    unit = points / np.array([1.0, 10.0])
    assert found == pytest.approx(area_gain(unit, np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.1, 1.1])))
    assert found[2] == 0


def test_what_is_uncertain_may_gain_where_its_mean_does_not():
    losses = np.array([[0.0, 1.0], [0.4, 0.5], [1.0, 0.0]])
    scales = [Scale.of(axis, normal_scores(axis.tolist())) for axis in losses.T]
    mean = np.stack([scale.score(np.array([0.5, 0.5])) for scale in scales], axis=1)
    found = expected_volume_gain(mean, np.array([[1e-9, 1e-9], [1.0, 1.0]]), scales, losses)
    assert found[0] == pytest.approx(0.0, abs=1e-6)
    assert found[1] > 0.01


def test_a_scale_turns_losses_into_scores_and_back_beyond_what_was_measured():
    scale = Scale.of(np.array([3.0, 1.0, 2.0, 2.0, 7.0]), np.array([0.5, -1.5, -0.3, -0.3, 1.5]))
    wanted = np.array([-2.0, 0.0, 1.5, 3.0, 7.0, 12.0])
    assert scale.loss(scale.score(wanted)) == pytest.approx(wanted)
    assert np.all(np.diff(scale.score(wanted)) > 0)


def test_known_costs_are_not_predicted():
    trials = sampled(30)
    evidence = gather(trials, [QUALITY, SIZE])
    model = Surrogate.fit(Knapsack(), evidence, known=[1])
    keys = [key_of(trial.decisions) for trial in trials[:4]]
    sizes = [item.losses[1] for item in evidence[:4]]
    mean, spread = model.predict(keys, known={1: sizes})
    assert (spread[:, 1] == 0).all()
    assert (spread[:, 0] > 0).all()
    assert model.scale(1).loss(mean[:, 1]) == pytest.approx(np.array(sizes))


def test_weights_and_the_largest_weighted_objective():
    weights = random_weights(3, random.Random(0))
    assert sum(weights) == pytest.approx(1.0)
    trials = [done(0, {"a": 0}, {"quality": 1.0, "size": 30.0}), done(1, {"a": 1}, {"quality": 0.0, "size": 10.0})]
    assert scalarised(gather(trials, [QUALITY, SIZE]), (0.8, 0.2)) == pytest.approx([0.2 + 0.01, 0.8 + 0.04])
    assert scalarised(gather(trials, [QUALITY, BOUNDED]), (0.8, 0.2))[0] > 2


def test_the_volume_gained_is_that_of_the_front_with_the_point_less_that_without() -> None:
    rng = np.random.default_rng(4)
    for axes in (2, 3, 4):
        corner, measured, points = np.full(axes, 1.1), rng.random((12, axes)), rng.random((20, axes)) * 1.3
        before = volume(measured, corner.tolist())
        wanted = [volume(np.vstack([measured, point]), corner.tolist()) - before for point in points]
        assert volume_gain(points, measured, corner) == pytest.approx(np.array(wanted), abs=1e-12)
        assert (volume_gain(points, measured, corner) > 0).any()


class Switches(Only):
    """Sixteen decisions between two options."""

    def decide(self, choose: Chooser) -> Any:
        return [choose.one_of(f"switch{place}", (0, 1)) for place in range(16)]


def test_what_a_decision_is_worth_by_itself_counts_far_from_where_it_was_tried() -> None:
    def near(corner: int, seed: int) -> list[Trial]:
        rng, found = random.Random(seed), []
        for number in range(60):
            flipped = rng.sample(range(16), rng.randrange(6))
            decisions = {f"switch{place}": corner ^ (place in flipped) for place in range(16)}
            worth = sum((place + 1) * value for place, value in enumerate(decisions.values()))
            found.append(done(number, decisions, {"quality": float(worth)}))
        return found

    model = Surrogate.fit(Switches(), gather(near(0, 1), [QUALITY]))
    far = near(1, 2)
    mean, _ = model.predict([key_of(trial.decisions) for trial in far])
    assert np.corrcoef(mean[:, 0], [-(trial.value("quality") or 0.0) for trial in far])[0, 1] > 0.8
