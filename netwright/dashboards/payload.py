"""A run as the page gets it: headline, panels and trial details as plain JSON, compact and rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.analysis.front import pareto_front
from netwright.core.plugins import load, name_of, names
from netwright.dashboards.answer import answer
from netwright.dashboards.details import decisions_told, trial_details
from netwright.dashboards.figures import without_points
from netwright.dashboards.headline import cards
from netwright.dashboards.panel import Panel
from netwright.runs.view import RunView

EMBEDDED = 60
"""A report carries the full details of so many trials at most: the winner, the front, then the latest ones."""


def all_panels() -> list[Panel]:
    """Every panel there is, in the order of the page."""
    found = [load("panel", name).parse({}) for name in names("panel")]
    panels = [panel for panel in found if isinstance(panel, Panel)]
    return sorted(panels, key=lambda panel: (panel.order, panel.title))


def panel_data(panel: Panel, view: RunView) -> dict[str, Any]:
    """One panel for the page. `rows` are lists in the order of `keys`; points of figures stay out, since the page
    draws them from the rows.
    """
    rows = panel.rows(view)
    figure = panel.figure(rows, view) if rows else None
    keys = list(rows[0]) if rows else []
    return {
        "name": name_of(panel),
        "title": panel.title,
        "help": panel.help,
        "empty": panel.empty,
        "note": panel.note(rows, view) if rows else "",
        "table_open": panel.table_open,
        "sort_by": panel.sort_by,
        "columns": [column.to_json() for column in panel.columns(rows, view)] if rows else [],
        "keys": keys,
        "rows": [[row.get(key) for key in keys] for row in rows],
        "figure": without_points(figure) if figure else None,
        "drawing": panel.drawing(view) if rows else None,
    }


def page_data(view: RunView, *, panels: Sequence[Panel] | None = None) -> dict[str, Any]:
    """Everything the page shows, except the details of single trials."""
    return {
        "sequence": view.sequence,
        "run": {
            "name": view.name,
            "title": title(view),
            "task": _task(view.specification.get("task") or {}),
            "state": view.state,
            "path": str(view.path),
            "tried": len(view.trials),
            "asked": view.asked,
            "counts": {str(state): count for state, count in view.counts.items() if count},
        },
        "answer": answer(view),
        "cards": cards(view),
        "panels": [panel_data(panel, view) for panel in (all_panels() if panels is None else panels)],
    }


def title(view: RunView) -> str:
    """The name of a run, and of its folder where that is another."""
    folder = view.path.resolve().name
    return view.name if folder in (view.name, "") else f"{view.name} ({folder})"


def _task(spec: Mapping[str, Any]) -> str:
    """What is learnt, from which file: `regression of prices.csv`."""
    kind = str(spec.get("kind", "")).rpartition(":")[2].replace("_", " ")
    return f"{kind} of {Path(str(spec['path'])).name}" if spec.get("path") else kind


def embedded_details(view: RunView, *, most: int = EMBEDDED) -> dict[str, Any]:
    """Details of the trials a reader of the report is likely to open, by number."""
    winner = (view.winner or {}).get("trial")
    known = {trial.number for trial in view.trials}
    wanted = [winner] if winner in known else []
    wanted += [trial.number for trial in pareto_front(view.trials, view.objectives)]
    wanted += sorted(known, reverse=True)
    return {str(number): trial_details(view, number) for number in list(dict.fromkeys(wanted))[:most]}


def embedded_decisions(view: RunView) -> dict[str, Any]:
    """The decisions of every trial, small: `trials` has places in `texts`, of a name and its value in turns."""
    texts: dict[str, int] = {}
    trials = {
        trial.number: [texts.setdefault(text, len(texts)) for pair in decisions_told(trial) for text in pair]
        for trial in view.trials
    }
    return {"texts": list(texts), "trials": trials}


def report_data(view: RunView) -> dict[str, Any]:
    """The numbers of the report for other programs: headline and, by panel, all rows as objects."""
    return {
        "run": view.name,
        "state": view.state,
        "sequence": view.sequence,
        "answer": answer(view),
        "headline": cards(view),
        "panels": {name_of(panel): panel.rows(view) for panel in all_panels()},
    }
