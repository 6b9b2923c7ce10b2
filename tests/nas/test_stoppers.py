"""Conformance of every stopper, and the rule of each."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.plugins import build, names
from netwright.nas.stopper import Stopper
from netwright.nas.stoppers.median import Median
from netwright.nas.stoppers.never import Never
from netwright.nas.stoppers.successive_halving import SuccessiveHalving

steady = settings(derandomize=True, deadline=None)
losses = st.floats(-10, 10) | st.just(float("nan")) | st.just(float("inf"))
curves = st.lists(st.dictionaries(st.integers(1, 30), losses), max_size=12)


def stopper(name: str) -> Stopper:
    found = build("stopper", name)
    assert isinstance(found, Stopper)
    return found


@pytest.mark.parametrize("name", names("stopper"))
@steady
@given(epoch=st.integers(1, 30), value=losses, history=curves)
def test_a_protected_trial_is_never_stopped_and_answers_repeat(name, epoch, value, history):
    rule = stopper(name)
    answer = rule.keep_going(epoch=epoch, value=value, history=history)
    assert isinstance(answer, bool)
    assert rule.keep_going(epoch=epoch, value=value, history=history) is answer
    assert rule.keep_going(epoch=epoch, value=value, history=history, protected=True)


@pytest.mark.parametrize("name", names("stopper"))
def test_without_others_training_goes_on(name):
    assert stopper(name).keep_going(epoch=9, value=1.0, history=[])


@pytest.mark.parametrize("name", names("stopper"))
@steady
@given(epoch=st.integers(1, 30), history=curves)
def test_the_best_value_so_far_is_never_stopped(name, epoch, history):
    assert stopper(name).keep_going(epoch=epoch, value=-11.0, history=history)


@pytest.mark.parametrize("name", sorted(set(names("stopper")) - {"never"}))
def test_a_hopeless_training_is_stopped_at_some_epoch(name):
    history = [dict.fromkeys(range(1, 31), 0.1 * number) for number in range(20)]
    answers = [stopper(name).keep_going(epoch=e, value=99.0, history=history) for e in range(1, 31)]
    assert not all(answers)


def test_never_never_stops():
    assert Never().keep_going(epoch=30, value=99.0, history=[{30: 0.0}] * 50)


def test_the_median_rule_waits_for_epochs_and_for_trials():
    rule = Median(min_epochs=3, min_trials=3)
    four = [{2: 1.0, 3: 1.0}, {2: 2.0, 3: 2.0}, {2: 3.0, 3: 3.0}, {2: 4.0}]
    assert rule.keep_going(epoch=2, value=9.0, history=four)
    assert rule.keep_going(epoch=3, value=9.0, history=four[1:])
    assert not rule.keep_going(epoch=3, value=2.1, history=four)
    assert rule.keep_going(epoch=3, value=2.0, history=four)


def test_halving_judges_at_rungs_only():
    rule = SuccessiveHalving(min_epochs=2, eta=3)
    history = [dict.fromkeys(range(1, 30), 0.0)] * 6
    stopped = [epoch for epoch in range(1, 20) if not rule.keep_going(epoch=epoch, value=1.0, history=history)]
    assert stopped == [2, 6, 18]


def test_halving_lets_one_in_eta_go_on():
    rule, rng, curve, going = SuccessiveHalving(min_epochs=1, eta=4), random.Random(0), [], 0
    for _ in range(400):
        value = rng.random()
        going += rule.keep_going(epoch=1, value=value, history=curve)
        curve.append({1: value})
    assert 90 <= going <= 125


def test_a_small_network_can_be_judged_all_the_same():
    for rule in (Median(spare_front=False), SuccessiveHalving(spare_front=False)):
        history = [{3: 0.0}] * 20
        assert not rule.keep_going(epoch=3, value=1.0, history=history, protected=True)
