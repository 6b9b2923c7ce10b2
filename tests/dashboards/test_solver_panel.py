"""The panel of a recipe search: what was predicted stands beside what was measured, and parts are no results."""

from __future__ import annotations

from dataclasses import replace

from compression_facts import solver
from run_views import VIEWS

from netwright.dashboards.panels.solver import PART, Solver


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


def test_tries_of_the_first_passes_alone_are_not_within_the_bounds() -> None:
    fact = solver("")
    fact["tries"] = [{**one, "phase": int(one["number"] > 0)} for one in fact["tries"]]
    assert Solver().rows(replace(VIEWS["own model"](), solver=fact))[0]["group"] == PART
