"""The panel of a recipe search: what was predicted stands beside what was measured, and parts are no results."""

from __future__ import annotations

from dataclasses import replace

from compression_facts import solver, tried
from run_views import VIEWS

from netwright.dashboards.panels.solver import PART, RUNNING, Solver
from netwright.runs.rows import recipe_front, settings_text


def test_an_interval_is_shown_of_the_predictions_that_were_timed_alone() -> None:
    fact = solver("")
    fact["objectives"].append({"metric": "latency_ms", "direction": "minimize", "bound": 1.0})
    fact["tries"][3]["predicted"] = {"size_bytes": 160_000.0, "latency_ms": 2.0}
    fact["tries"][3]["ends"] = {"latency_ms": [1.9, 2.1]}
    view = replace(VIEWS["own model"](), solver=fact)
    rows = Solver().rows(view)
    assert [row["predicted_latency_ms"] for row in rows] == [None, None, None, 2.0, None]
    assert (rows[3]["predicted_latency_ms_low"], rows[3]["predicted_latency_ms_high"]) == (1.9, 2.1)
    assert rows[0]["predicted_size_bytes"] == 99_000.0
    columns = {one.key: one for one in Solver().columns(rows, view)}
    assert columns["predicted_latency_ms"].low == "predicted_latency_ms_low"
    assert columns["predicted_size_bytes"].low == ""
    assert columns["predicted_size_bytes"].label == "predicted file size"


def test_tries_of_the_first_passes_alone_and_those_under_way_are_not_within_the_bounds() -> None:
    fact = {**solver(""), "front": [], "chosen": None}
    fact["tries"] = [tried(0, 0.3, 120_000, 0.9866, "done"), tried(1, 0.3, None, None, "running")]
    view = replace(VIEWS["own model"](), solver=fact)
    rows = Solver().rows(view)
    assert [row["group"] for row in rows] == [PART, RUNNING]
    assert "2 of 5 tries, 1 of them trained." in Solver().note(rows, view)


def test_the_front_of_a_recipe_is_told_with_the_chosen_point() -> None:
    front = recipe_front(replace(VIEWS["own model"](), solver=solver("")))
    assert [(one["try"], one["size_bytes"], one["chosen"]) for one in front] == [(1, 94_210, True), (0, 109_000, False)]
    assert settings_text(front[0]["settings"]) == "structured_prune/ratio=0.5, low_rank/used=False"
    assert recipe_front(replace(VIEWS["own model"](), solver=None)) == []
