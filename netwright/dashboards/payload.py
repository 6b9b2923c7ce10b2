"""A run as the page gets it: headline, panels and trial details as plain JSON, compact and rounded."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from netwright.analysis.front import pareto_front
from netwright.core.errors import NetwrightError
from netwright.core.own_code import own_place
from netwright.core.plugins import built, name_of, names
from netwright.dashboards.answer import answer
from netwright.dashboards.details import decisions_told, trial_details
from netwright.dashboards.figures import without_points
from netwright.dashboards.headline import cards
from netwright.dashboards.panel import Panel
from netwright.runs.view import RunView

EMBEDDED = 60
"""A report carries the full details of so many trials at most: the winner, the front, then the latest ones."""


logger = logging.getLogger(__name__)


def panels_data(view: RunView) -> list[dict[str, Any]]:
    """Every panel there is, in the order of the page; one of another package that fails says why in its place."""
    found = [_placed(name, view) for name in names("panel")]
    return [data for *_, data in sorted(found, key=itemgetter(0, 1))]


def _placed(name: str, view: RunView) -> tuple[float, str, dict[str, Any]]:
    """A panel's place on the page, its title, and the panel."""
    try:
        panel = built(Panel, name)
    except NetwrightError as error:
        return _left_out(name, str(error))
    try:
        data = panel_data(panel, view)
        json.dumps(data, allow_nan=False)
    except Exception as error:
        if ":" not in name_of(panel):
            raise
        place = own_place(error)
        return _left_out(name, f"{type(error).__name__}: {error}{f' at {place}' if place else ''}")
    return panel.order, panel.title, data


def _left_out(name: str, why: str) -> tuple[float, str, dict[str, Any]]:
    _warn(name, why)
    nothing: dict[str, Any] = dict.fromkeys(("help", "note", "sort_by"), "")
    nothing |= {"table_open": False, "columns": [], "keys": [], "rows": [], "figure": None, "drawing": None}
    return float("inf"), name, {"name": name, "title": name, "empty": f"Left out, as it failed: {why}", **nothing}


@cache
def _warn(name: str, why: str) -> None:
    """Said once, also by a page that is made anew every two seconds."""
    logger.warning("the panel %s is left out: %s", name, why)


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


def page_data(view: RunView) -> dict[str, Any]:
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
        "panels": panels_data(view),
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
        "panels": {
            panel["name"]: [dict(zip(panel["keys"], row, strict=True)) for row in panel["rows"]]
            for panel in panels_data(view)
        },
    }
