"""The Pareto front: every trial in the plane of two metrics, and what compression made of the winner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from netwright.analysis.frames import metrics_of
from netwright.analysis.front import knee, pareto_front
from netwright.core.records import Objective, Trial, TrialState
from netwright.dashboards.figures import layout, whole_ticks
from netwright.dashboards.front_traces import (
    EDGE,
    FEASIBLE,
    FRONT,
    OTHER,
    OUTSIDE,
    STOPPED,
    bound_lines,
    directions,
    edge_traces,
    group_traces,
    stage_traces,
)
from netwright.dashboards.labels import Column, axis, bounds_text, column, rounded
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView


class Front(Panel):
    """Every trial by two metrics, the feasible front joined by a line, the winner and its compressed stages."""

    title: ClassVar[str] = "Pareto front"
    order: ClassVar[int] = 10
    help: ClassVar[str] = (
        "No trial within the bounds beats one on the front in every objective; the line joins the best of what is "
        "shown by the two metrics chosen. Click a point for its measurements, drawing and export command, and to "
        "compare it; draw a box (box select) to keep only what is in it."
    )
    empty: ClassVar[str] = (
        "No trial has been measured yet. Start the search, or wait for its first trial to finish; the reasons of those "
        "that failed are listed under Trials."
    )
    sort_by: ClassVar[str] = "rank"

    def rows(self, view: RunView) -> list[Row]:
        front = pareto_front(view.trials, view.objectives)
        rank = {trial.number: place for place, trial in enumerate(front, start=1)}
        balanced = knee(view.trials, view.objectives) if len(front) > 2 else None
        winner = (view.winner or {}).get("trial")
        metrics = metrics_of(view.trials, view.objectives)
        rows = [
            {
                "number": trial.number,
                "group": _group(trial, view.limits, rank),
                "rank": rank.get(trial.number),
                "mark": _mark(trial, winner, balanced),
                **{metric: rounded(trial.value(metric)) for metric in metrics},
            }
            for trial in sorted(view.trials, key=lambda t: t.number)
        ]
        return rows if any(row["group"] != OTHER for row in rows) else []

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        metrics = metrics_of(view.trials, view.objectives)
        return [
            column("number"),
            Column(key="rank", label="place on the front", kind="integer"),
            Column(key="group", label="group"),
            *(column(metric, units=view.units) for metric in metrics),
            Column(key="mark", label="mark"),
        ]

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        bounds = bounds_text(view.limits, units=view.units)
        on_front = sum(row["group"] == FRONT for row in rows)
        within = f" Bounds: {bounds}." if bounds else ""
        later = (
            " Compression is measured after full training, by the final protocol: its line may begin off the winner."
            if sum(stage.get("kept", True) for stage in view.stages) > 1
            else ""
        )
        if not on_front:
            return f"No finished trial keeps the bounds with every objective measured, so the front is empty.{within}"
        verb = "is" if on_front == 1 else "are"
        return f"{on_front:,} of {len(rows):,} trials {verb} on the front.{within}{later}"

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        x, y = _axes(view.objectives)
        metrics = [m for m in metrics_of(view.trials, view.objectives) if any(r[m] is not None for r in rows)]
        if y not in metrics:
            return None
        better = directions(view.objectives, metrics)
        shown = {key: axis(key, units=view.units) for key in ["number", *metrics]}
        shown["number"] |= whole_ticks(max(row["number"] for row in rows), most=10)
        return {
            "data": [
                *group_traces(rows, x, y, view),
                *edge_traces(rows, x, y, better),
                *stage_traces(view, x, y),
            ],
            "layout": layout(
                height=460,
                xaxis=shown[x] if x in shown else axis(x, units=view.units),
                yaxis=shown[y],
                shapes=bound_lines(rows, view.limits, x, y),
                meta={
                    "axes": shown,
                    "directions": better,
                    "edge": list(EDGE),
                    "x": x,
                    "y": y,
                    "bounds": {o.metric: o.bound for o in view.limits if o.bound is not None},
                },
            ),
        }


def _group(trial: Trial, objectives: Sequence[Objective], rank: dict[int, int]) -> str:
    if trial.number in rank:
        return FRONT
    if trial.state is TrialState.STOPPED:
        return STOPPED
    measured = any(trial.value(o.metric) is not None for o in objectives)
    if trial.state is TrialState.INFEASIBLE and measured:
        return OUTSIDE
    if trial.state is not TrialState.DONE or not measured:
        return OTHER
    broken = any((v := trial.value(o.metric)) is not None and not o.satisfied_by(v) for o in objectives)
    if broken:
        return OUTSIDE
    return FEASIBLE if trial.feasible(objectives) else OTHER


def _mark(trial: Trial, winner: object, balanced: Trial | None) -> str:
    if trial.number == winner:
        return "winner"
    return "knee" if balanced is not None and trial.number == balanced.number else ""


def _axes(objectives: Sequence[Objective]) -> tuple[str, str]:
    """The pair to begin with: the second objective across, the first up; trials across when there is only one."""
    if len(objectives) < 2:
        return "number", objectives[0].metric if objectives else ""
    return objectives[1].metric, objectives[0].metric
