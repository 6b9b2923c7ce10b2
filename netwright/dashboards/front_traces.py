"""What the picture of the Pareto front is made of: groups of points, the edge, compressed stages, bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netwright.analysis.frames import metrics_of
from netwright.core.records import Objective
from netwright.dashboards.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, scatter
from netwright.dashboards.labels import column, hover, plain, rounded
from netwright.dashboards.panel import Row
from netwright.runs.view import RunView

FRONT, FEASIBLE, OUTSIDE, STOPPED, OTHER = "on the front", "feasible", "breaks a bound", "stopped early", "no result"

_STYLES: dict[str, dict[str, Any]] = {
    OTHER: {"symbol": "line-ew-open", "size": 7, "color": GREY},
    STOPPED: {"symbol": "triangle-down-open", "size": 8, "color": GREY},
    OUTSIDE: {"symbol": "x-thin-open", "size": 7, "color": ORANGE, "line": {"width": 1.5}},
    FEASIBLE: {"symbol": "circle-open", "size": 7, "color": BLUE, "line": {"width": 1.5}},
    FRONT: {"symbol": "circle", "size": 10, "color": BLUE},
}


def group_traces(rows: Sequence[Row], x: str, y: str, view: RunView) -> list[dict[str, Any]]:
    """One trace per group of trials, told apart by shape and colour, then the marked ones on top."""
    template = f"trial %{{customdata}}<br>{hover(x, 'x', units=view.units)}<br>{hover(y, 'y', units=view.units)}"
    present = {row["group"] for row in rows}
    traces = [
        scatter(
            rows,
            x=x,
            y=y,
            where=("group", group),
            custom="number",
            name=group,
            mode="markers",
            marker=style if len(rows) < CROWDED or group == FRONT else {**style, "size": 4, "opacity": 0.6},
            hovertemplate=f"{template}<extra>{group}</extra>",
        )
        for group, style in _STYLES.items()
        if group in present
    ]
    for mark, symbol, colour, size in (
        ("knee", "diamond-open", PURPLE, 15),
        ("winner", "star", VERMILLION, 17),
    ):
        if any(row["mark"] == mark for row in rows):
            traces.append(
                scatter(
                    rows, x=x, y=y, where=("mark", mark), custom="number", name=mark, mode="markers",
                    marker={"symbol": symbol, "size": size, "color": colour, "line": {"width": 1.5}},
                    hovertemplate=f"{template}<extra>{mark}</extra>",
                )
            )  # fmt: skip
    return traces


CROWDED = 500
"""From so many trials on the points of the crowd are smaller, so that the front stands out."""
EDGE = (FRONT, FEASIBLE)
"""The groups whose trials may lie on the edge of a plane: finished and within the bounds."""


def directions(objectives: Sequence[Objective], metrics: Sequence[str]) -> dict[str, str]:
    """Which way each metric is better: an objective's own, else shares are better high and costs low."""
    found = {m: "maximize" if column(m).kind == "share" else "minimize" for m in metrics}
    return found | {o.metric: str(o.direction) for o in objectives}


def edge_traces(rows: Sequence[Row], x: str, y: str, better: Mapping[str, str]) -> list[dict[str, Any]]:
    """The edge of what is reached in the plane of two metrics: no trial beats one on it in both."""
    if x not in better or y not in better:
        return []
    signs = {key: -1 if better[key] == "maximize" else 1 for key in (x, y)}
    known = [row for row in rows if row["group"] in EDGE and row[x] is not None and row[y] is not None]
    front: list[Row] = []
    for row in sorted(known, key=lambda row: (signs[x] * row[x], signs[y] * row[y])):
        if not front or signs[y] * row[y] < signs[y] * front[-1][y]:
            front.append(row)
    line = scatter(
        sorted(front, key=lambda row: row[x]),
        x=x,
        y=y,
        mode="lines",
        name="front",
        line={"shape": "hv" if better[x] == "minimize" else "vh", "color": BLUE, "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )
    line["type"] = "scatter"
    line["meta"] |= {"edge": True}
    return [line]


def stage_traces(view: RunView, x: str, y: str) -> list[dict[str, Any]]:
    """The kept stages of the compression as arrows from the winner on."""
    kept = [stage for stage in view.stages if stage.get("kept", True)]
    keys = metrics_of(view.trials, view.objectives)
    points = [{"stage": plain(s.get("stage", "")), **{key: rounded(s.get(key)) for key in keys}} for s in kept]
    if len(points) < 2:
        return []
    trace = scatter(
        points,
        x=x,
        y=y,
        custom="stage",
        own=True,
        name="compression",
        mode="lines+markers",
        line={"color": GREEN, "width": 2, "dash": "dot"},
        marker={"symbol": "arrow", "size": 13, "angleref": "previous", "color": GREEN},
        hovertemplate="%{customdata}<br>"
        f"{hover(x, 'x', units=view.units)}<br>{hover(y, 'y', units=view.units)}<extra>compression</extra>",
    )
    return [trace]


def bound_lines(rows: Sequence[Row], objectives: Sequence[Objective], x: str, y: str) -> list[dict[str, Any]]:
    """A dashed line for every bound on one of the two axes, unless it lies so far off that points would be squeezed."""
    lines = []
    for objective in objectives:
        values = [row[objective.metric] for row in rows if row.get(objective.metric) is not None]
        if objective.bound is None or objective.metric not in (x, y) or not _near(objective.bound, values):
            continue
        dash = {"type": "line", "line": {"color": ORANGE, "width": 1.5, "dash": "dash"}, "layer": "below"}
        if objective.metric == x:
            ends = {"x0": objective.bound, "x1": objective.bound, "y0": 0, "y1": 1, "yref": "paper"}
        else:
            ends = {"y0": objective.bound, "y1": objective.bound, "x0": 0, "x1": 1, "xref": "paper"}
        lines.append({**dash, **ends})
    return lines


def _near(bound: float, values: Sequence[float]) -> bool:
    """Whether a bound lies within twice the range of the values."""
    if not values:
        return False
    low, high = min(values), max(values)
    return low - (high - low) <= bound <= high + (high - low)
