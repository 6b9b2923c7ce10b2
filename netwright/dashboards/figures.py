"""Shared pieces of the figures: colours, traces bound to rows, layouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netwright.dashboards.labels import rounded

# Okabe and Ito (2008): told apart with every common colour vision, on light and on dark ground. Their yellow is left
# out, which a white page swallows.
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#8A8F98"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)

GL_FROM = 5_000
"""From so many points on a scatter plot is drawn by WebGL; SVG slows down beyond."""


def scatter(
    rows: Sequence[Mapping[str, Any]],
    *,
    x: str,
    y: str,
    where: tuple[str, object] | None = None,
    custom: str = "",
    own: bool = False,
    **style: Any,
) -> dict[str, Any]:
    """A trace whose points are the rows in which `where` (key, value) holds and both values are known.

    `meta` records where the points came from, so that a page which has the rows can fill the trace by itself;
    `custom` is the key whose value identifies a point when it is clicked. With `own` the trace carries its rows
    along, because they are not the panel's.
    """
    chosen = [
        row
        for row in rows
        if (where is None or row.get(where[0]) == where[1]) and row.get(x) is not None and row.get(y) is not None
    ]
    if own:
        # Two points in one place have no direction between them, and arrows need one.
        chosen = [r for i, r in enumerate(chosen) if i == 0 or (r[x], r[y]) != (chosen[i - 1][x], chosen[i - 1][y])]
    trace: dict[str, Any] = {
        "type": "scattergl" if len(rows) >= GL_FROM else "scatter",
        "x": [rounded(row[x]) for row in chosen],
        "y": [rounded(row[y]) for row in chosen],
        "meta": {"x": x, "y": y, "where": list(where) if where else None, "custom": custom},
        **style,
    }
    if own:
        trace["meta"]["rows"] = [dict(row) for row in rows]
    if custom:
        trace["customdata"] = [row[custom] for row in chosen]
    return trace


def without_points(figure: Mapping[str, Any]) -> dict[str, Any]:
    """The figure with the points of its row-bound traces left out: what a page with the rows needs."""
    bound = {"x", "y", "customdata"}
    return {
        **figure,
        "data": [
            {key: value for key, value in trace.items() if "meta" not in trace or key not in bound}
            for trace in figure["data"]
        ],
    }


def layout(*, height: int = 420, **more: Any) -> dict[str, Any]:
    """The layout all figures share; the page adds fonts and colours of its theme."""
    return {
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 56},
        "hovermode": "closest",
        "uirevision": "keep",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        **more,
    }


def whole_ticks(largest: int, *, most: int) -> dict[str, Any]:
    """Ticks for an axis of whole numbers; on a short one plotly alone would print the same number twice."""
    step = {"tick0": 0, "dtick": max(1, -(-largest // most))} if largest <= 2 * most else {}
    return {"tickformat": "d", **step}


def room(values: Iterable[float | None]) -> dict[str, Any]:
    """A range for an axis on which nothing changes, where plotly would take one far too wide."""
    known = {value for value in values if value is not None}
    if len(known) != 1:
        return {}
    (value,) = known
    half = abs(value) / 10 or 1
    return {"range": [value - half, value + half]}


def stacked(count: int, *, gap: float) -> list[list[float]]:
    """The vertical domains of `count` plots above each other, the first on top."""
    height = (1 - gap * (count - 1)) / count
    return [
        [round(max(0.0, 1 - (i + 1) * height - i * gap), 4), round(1 - i * (height + gap), 4)] for i in range(count)
    ]
