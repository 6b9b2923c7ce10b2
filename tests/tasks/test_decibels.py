"""Errors in decibels: what is left of an estimated signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netwright.runs.specification import RunSpecification
from netwright.tasks.answers import steps, values
from netwright.tasks.kinds.regression import Regression

SETTINGS = {"mean": [0.0, 0.0], "std": [1.0, 1.0]}


def test_nmse_is_the_power_of_the_error_over_that_of_the_values() -> None:
    targets = np.random.default_rng(0).normal(size=(50, 2))
    assert values.scores(0.9 * targets, targets, SETTINGS)["nmse_db"] == pytest.approx(-20)
    assert values.scores(np.zeros((50, 2)), targets, SETTINGS)["nmse_db"] == pytest.approx(0)
    assert values.scores(np.zeros((50, 2)), targets + 1e6, SETTINGS)["nmse_db"] == pytest.approx(0)
    assert values.scores(targets, targets, SETTINGS)["nmse_db"] == -200


def test_a_regression_may_be_judged_in_decibels(tmp_path: Path) -> None:
    task = {"kind": "regression", **Regression.example_settings(tmp_path), "judged_by": "nmse_db"}
    (objective,) = RunSpecification.parse({"task": task, "space": "mlp"}).objectives
    assert (objective.metric, objective.direction) == ("nmse_db", "minimize")
    found = Regression.parse({**task, "judged_by": "r2"}).primary()
    assert (found.metric, found.direction) == ("r2", "maximize")


def test_wrong_bits_are_counted_even_where_they_are_few() -> None:
    outputs = np.zeros((10, 1000, 2))
    outputs[:, :, 1] = 1
    targets = np.ones((10, 1000), np.int64)
    targets[3, 7], targets[:, -1] = 0, -1
    found = steps.scores(outputs, targets, {})
    assert found["step_error"] == pytest.approx(1 / 9990)
    assert found["step_accuracy"] == pytest.approx(1 - 1 / 9990)
