"""How the search got on: best values, hypervolume and size of the front, trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from netwright.analysis.front import reference_point
from netwright.analysis.history import history, turning_points
from netwright.dashboards.figures import BLUE, layout, room, scatter, stacked, whole_ticks
from netwright.dashboards.labels import Column, axis, column, hover, rounded, value_text
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView

LINE_HEIGHT, TITLE_HEIGHT = 130, 28
"""Room for each line with its title, and for the title, in pixels."""


class History(Panel):
    """The best value of every objective, the hypervolume and the size of the front after each trial."""

    title: ClassVar[str] = "History"
    order: ClassVar[int] = 20
    help: ClassVar[str] = (
        "A flat end means that more trials found nothing better. The table lists the trials at which something changed."
    )
    empty: ClassVar[str] = (
        "No finished trial keeps the bounds yet, so there is no front to measure. The history begins with the first "
        "one that does; the reasons of the others are listed under Trials."
    )

    def rows(self, view: RunView) -> list[Row]:
        found = turning_points(history(view.trials, view.objectives))
        if not any(row["front_size"] for row in found):
            return []
        return [{key: rounded(value) for key, value in row.items()} for row in found]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        best = [column(f"best_{o.metric}", units=view.units) for o in view.objectives]
        return [column("number"), *best, column("hypervolume"), column("front_size")]

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        point = reference_point(view.trials, view.objectives)
        assert point is not None, "rows without a front are left out"
        pairs = zip(view.objectives, point, strict=True)
        named = ", ".join(value_text(o.metric, value, units=view.units) for o, value in pairs)
        return f"Hypervolume is the volume between the front and the corner at {named}."

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        keys = [*(f"best_{o.metric}" for o in view.objectives), "hypervolume", "front_size"]
        shown = {key: axis(key, units=view.units) for key in keys}
        inside = LINE_HEIGHT * len(keys)
        domains = dict(zip(keys, stacked(len(keys), gap=TITLE_HEIGHT / inside), strict=True))
        axes = {
            f"yaxis{i or ''}": {
                **shown[key],
                "title": {"text": ""},
                "domain": domains[key],
                "anchor": "x",
                "nticks": 5,
                **_range(rows, key),
            }
            for i, key in zip(_numbers(len(keys)), keys, strict=True)
        }
        last = _numbers(len(keys))[-1] or ""
        axes[f"yaxis{last}"] |= whole_ticks(max(row["front_size"] for row in rows), most=4)
        data = [
            scatter(
                rows,
                x="number",
                y=key,
                name=column(key, units=view.units).label,
                mode="lines" if len(rows) > 1 else "markers",  # a line of one point cannot be seen
                line={"shape": "hv", "width": 2, "color": BLUE},
                yaxis=f"y{i or ''}",
                hovertemplate=f"trial %{{x}}<br>{hover(key, 'y', units=view.units)}<extra></extra>",
                showlegend=False,
            )
            for i, key in zip(_numbers(len(keys)), keys, strict=True)
        ]
        ticks = whole_ticks(max(row["number"] for row in rows), most=10)
        across = {"title": {"text": "trial"}, "anchor": f"y{last}", **ticks}
        margin = {"l": 64, "r": 16, "t": TITLE_HEIGHT, "b": 56}
        titles = [_title(shown[key]["title"]["text"], at=domains[key][1]) for key in keys]
        height = inside + margin["t"] + margin["b"]
        return {"data": data, "layout": layout(height=height, margin=margin, annotations=titles, xaxis=across, **axes)}


def _title(text: str, *, at: float) -> dict[str, Any]:
    """What a line is of, written above it: beside it, long names would run into each other."""
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": at, "yref": "paper", "yanchor": "bottom"}
    return {"text": text, "showarrow": False, "font": {"size": 13}, **place}


def _range(rows: Sequence[Row], key: str) -> dict[str, Any]:
    if key == "hypervolume":
        return {"exponentformat": "power"}
    return {} if key == "front_size" else room(row[key] for row in rows)


def _numbers(count: int) -> list[int]:
    """Plotly counts its axes from none, then 2, 3, ..."""
    return [0, *range(2, count + 1)]
