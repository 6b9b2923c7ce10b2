"""Every score that a task may be judged by has a name for people."""

from __future__ import annotations

import pytest

from netwright.core import plugins
from netwright.dashboards.labels import column
from netwright.evaluation.metric import Metric

SCORES = [n for n in plugins.names("metric") if getattr(plugins.load("metric", n), "cost", "") == "trained"]


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_called_as_the_field_calls_it(name: str) -> None:
    assert issubclass(plugins.load("metric", name), Metric)
    short = {"auc", "f1", "iou", "mae", "mse", "nll", "nmse", "psnr", "r2", "rmse", "db"}
    words = set(name.split("_")) & short
    assert not words & set(column(name).label.split())
