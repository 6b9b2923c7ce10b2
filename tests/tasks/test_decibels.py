"""Errors in decibels: what is left of an estimated signal."""

from __future__ import annotations

import numpy as np
import pytest

from netwright.tasks.answers import values

SETTINGS = {"mean": [0.0, 0.0], "std": [1.0, 1.0]}


def test_nmse_is_the_power_of_the_error_over_that_of_the_values() -> None:
    targets = np.random.default_rng(0).normal(size=(50, 2))
    assert values.scores(0.9 * targets, targets, SETTINGS)["nmse_db"] == pytest.approx(-20)
    assert values.scores(np.zeros((50, 2)), targets, SETTINGS)["nmse_db"] == pytest.approx(0)
    assert values.scores(np.zeros((50, 2)), targets + 1e6, SETTINGS)["nmse_db"] == pytest.approx(0)
    assert values.scores(targets, targets, SETTINGS)["nmse_db"] == -200
