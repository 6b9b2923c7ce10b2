"""A panel that another package brings and that fails is told of; the rest of the page is there."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_views import full_run

from netwright.core import plugins
from netwright.dashboards.payload import page_data, report_data

PANELS = """
from netwright.dashboards.panel import Panel

class Good(Panel):
    title, order, empty = "Good", 5, "nothing"

    def rows(self, view):
        return [{"tried": len(view.trials)}]

    def columns(self, rows, view):
        return []

class Broken(Good):
    def rows(self, view):
        return [{"tried": view.no_such_thing}]

class Strange(Good):
    def rows(self, view):
        return [{"tried": float("nan")}]
"""


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "panels_of_others.py").write_text(PANELS)
    (tmp_path / "panels_of_others-1.0.dist-info").mkdir()
    points = ["good = panels_of_others:Good", "broken = panels_of_others:Broken", "strange = panels_of_others:Strange"]
    points.append("lost = package_that_is_not_there:Lost")
    text = "\n".join(["[netwright.panel]", *points])
    (tmp_path / "panels_of_others-1.0.dist-info/entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._entry_points.cache_clear()
    importlib.invalidate_caches()
    yield
    monkeypatch.undo()
    plugins._entry_points.cache_clear()
    sys.modules.pop("panels_of_others", None)


@pytest.mark.usefixtures("others")
def test_a_panel_of_another_package_that_fails_is_told_and_the_rest_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        panels = {one["name"]: one for one in page_data(full_run())["panels"]}
    assert panels["panels_of_others:Good"]["rows"] == [[30]]
    assert len(panels["trials"]["rows"]) == 30
    reasons = {
        "lost": "package_that_is_not_there:Lost' cannot be imported",
        "broken": "no_such_thing",
        "strange": "Out of range float values",
    }
    for name, reason in reasons.items():
        assert panels[name]["rows"] == []
        assert reason in panels[name]["empty"]
        assert f"the panel {name} is left out: " in caplog.text
    json.dumps(report_data(full_run()), allow_nan=False)
