"""Learning curves: the winner, the trials on the front, and the crowd behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from netwright.analysis.front import pareto_front
from netwright.core.records import Trial
from netwright.dashboards.figures import BLUE, GREY, VERMILLION, layout, scatter, whole_ticks
from netwright.dashboards.labels import Column, axis, column, hover, plain, rounded
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView

MOST = 20
"""Lines beyond this many are a blob; the crowd is shown as three quantiles instead."""
CROWD = {"10 % of all trials are below": 10, "median of all trials": 50, "90 % of all trials are below": 90}


class LearningCurves(Panel):
    """The validation score of every epoch, for the winner's full training and the trials on the front."""

    title: ClassVar[str] = "Learning curves"
    order: ClassVar[int] = 60
    help: ClassVar[str] = (
        "Curves that still get better at their end were stopped before they had learnt all they could. "
        f"At most {MOST} trials of the front are drawn; grey lines are quantiles over all trials."
    )
    empty: ClassVar[str] = (
        "No trial has finished an epoch yet. Curves appear as soon as one has; see Trials for failures."
    )

    def rows(self, view: RunView) -> list[Row]:
        winner = _winner_curve(view)
        curves = [t.curve for t in view.trials if t.curve]
        key = _measure(curves or ([winner] if winner else []), f"validation_{view.score.metric}")
        if not key:
            return []
        rows = _crowd(curves, key) if len(curves) > 2 else []
        for trial in _chosen(view):
            rows += _series(f"trial {trial.number}", trial.curve, key, trial.number)
        if winner:
            rows += _series("winner, trained in full", winner, key, (view.winner or {}).get("trial"))
        return rows

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        key = _key(rows)
        return [
            Column(key="series", label="curve"),
            column("epoch"),
            column(key, units=view.units),
            column("number"),
        ]

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        axis = ((view.specification.get("search") or {}).get("fidelity") or {}).get("axis", "epochs")
        if axis == "epochs":
            return ""
        return f"Trials were trained at several shares of the {axis}: each curve is of the largest share it reached."

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        key = _key(rows)
        names = list(dict.fromkeys(row["series"] for row in rows))
        legend: set[str] = set()
        data = []
        for name in names:
            group = "all trials" if name in CROWD else "winner" if name.startswith("winner") else "front"
            data.append(
                scatter(
                    rows,
                    x="epoch",
                    y=key,
                    where=("series", name),
                    custom="number",
                    name=_LEGEND[group],
                    legendgroup=group,
                    showlegend=group not in legend,
                    mode="lines+markers" if group != "all trials" else "lines",
                    line=_LINES[group] | ({"dash": "dot"} if name in CROWD and CROWD[name] != 50 else {}),
                    marker={"size": 4},
                    hovertemplate=f"epoch %{{x}}<br>{hover(key, 'y')}<extra>{plain(name)}</extra>",
                )
            )
            legend.add(group)
        across = {**axis("epoch"), **whole_ticks(max(row["epoch"] for row in rows), most=10), "rangemode": "tozero"}
        return {"data": data, "layout": layout(xaxis=across, yaxis=axis(key, units=view.units))}


_LINES: Mapping[str, dict[str, Any]] = {
    "all trials": {"color": GREY, "width": 2},
    "front": {"color": BLUE, "width": 1.2},
    "winner": {"color": VERMILLION, "width": 3},
}
_LEGEND = {
    "all trials": "all trials (10 %, median, 90 %)",
    "front": "trials on the front",
    "winner": "winner, trained in full",
}


def _key(rows: Sequence[Row]) -> str:
    fixed = {"series", "epoch", "number"}
    return next((key for key in (rows[0] if rows else {}) if key not in fixed), "validation_loss")


def _measure(curves: Sequence[Sequence[Mapping[str, Any]]], score: str) -> str:
    """What is drawn: what the task judges by if it was recorded, else the loss, else the first thing that was."""
    keys = [key for key in (curves[0][0] if curves else {}) if key not in ("epoch", "seconds")]
    return next((key for key in (score, "validation_loss") if key in keys), keys[0] if keys else "")


def _winner_curve(view: RunView) -> Sequence[Mapping[str, Any]]:
    return (view.winner or {}).get("curve") or ()


def _chosen(view: RunView) -> list[Trial]:
    """The trials on the front; the latest ones while there is no front."""
    front = [trial for trial in pareto_front(view.trials, view.objectives) if trial.curve]
    return front[:MOST] or [trial for trial in view.trials if trial.curve][-MOST:]


def _series(name: str, curve: Sequence[Mapping[str, Any]], key: str, number: object) -> list[Row]:
    return [
        {
            "series": name,
            "epoch": int(row.get("epoch", place)),
            key: rounded(row.get(key)),
            "number": number,
        }
        for place, row in enumerate(curve, start=1)
    ]


def _crowd(curves: Sequence[Sequence[Mapping[str, Any]]], key: str) -> list[Row]:
    values: dict[int, list[float]] = {}
    for curve in curves:
        for place, row in enumerate(curve, start=1):
            if row.get(key) is not None:
                values.setdefault(int(row.get("epoch", place)), []).append(float(row[key]))
    return [
        {
            "series": name,
            "epoch": epoch,
            key: rounded(float(np.percentile(values[epoch], share))),
            "number": None,
        }
        for name, share in CROWD.items()
        for epoch in sorted(values)
    ]
