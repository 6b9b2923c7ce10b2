"""The budget solver: every setting of the recipe that was tried, the front, and the point that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from netwright.analysis.tradeoff import number
from netwright.core.records import Objective
from netwright.dashboards.figures import BLUE, GREY, ORANGE, VERMILLION, layout, scatter
from netwright.dashboards.front_traces import bound_lines
from netwright.dashboards.labels import Column, axis, bounds_text, column, hover, rounded, worded
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.rows import settings_text
from netwright.runs.view import RunView

CHOSEN, FRONT, WITHIN, PART, BROKEN, PREDICTED, FAILED, RUNNING = (
    "chosen",
    "on the front",
    "within the bounds",
    "first passes alone",
    "breaks a bound",
    "not trained",
    "failed",
    "running",
)
STYLE = {
    CHOSEN: (VERMILLION, "star", 16),
    FRONT: (BLUE, "circle", 10),
    WITHIN: (ORANGE, "circle", 8),
    PART: (GREY, "circle-open", 8),
    BROKEN: (GREY, "x", 8),
}


class Solver(Panel):
    """Settings of the recipe's open fields, tried one after the other, by what is made small and the score."""

    title: ClassVar[str] = "Recipe search"
    order: ClassVar[int] = 42
    help: ClassVar[str] = (
        "Every try is the recipe with one setting of its open fields, measured like the stages above, on the "
        "validation split. What is predicted is known before training: counted in the untrained network, its latency "
        "timed in a few seconds. Tries whose prediction broke a bound for certain were not trained. The chosen one has "
        "the best value of the first figure among those that keep every bound."
    )
    empty: ClassVar[str] = (
        "The recipe had no open fields. Write a range where a value stands, such as `ratio: {low: 0.2, high: 0.6}`, "
        "and `solve: {minimize: size_bytes}`."
    )
    sort_by: ClassVar[str] = "number"

    def rows(self, view: RunView) -> list[Row]:
        if not view.solver:
            return []
        metrics = [objective.metric for objective in _objectives(view)]
        predicted = _predicted(view)
        original = view.solver.get("original", {})
        return [
            {
                "number": one["number"],
                "group": _group(one, view.solver),
                "settings": settings_text(one["decisions"]),
                **{metric: rounded(number(one["figures"].get(metric))) for metric in metrics},
                **{f"{m}_change": _change(one["figures"].get(m), original.get(m)) for m in metrics},
                **{f"predicted_{m}": rounded(number(one["predicted"].get(m))) for m in predicted},
                **{f"predicted_{m}_{end}": value for m in _timed(view) for end, value in _ends(one, m).items()},
                "reason": worded(one["reason"]),
                "origin": one["origin"],
                "seconds": rounded(one["seconds"], 3),
            }
            for one in view.solver["tries"]
        ]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        figures = [column(o.metric, units=view.units, change=f"{o.metric}_change") for o in _objectives(view)]
        ends = {m: {end: f"predicted_{m}_{end}" for end in ("low", "high")} for m in _timed(view)}
        predicted = [column(f"predicted_{m}", units=view.units, **ends.get(m, {})) for m in _predicted(view)]
        return [
            Column(key="number", label="try", kind="integer"),
            Column(key="group", label="outcome", remark="reason"),
            Column(key="settings", label="settings", kind="code"),
            *figures,
            *predicted,
            Column(key="origin", label="proposed by"),
            column("seconds"),
        ]

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        assert view.solver is not None
        bounds = bounds_text(_objectives(view), units=view.units)
        parts = [
            f"{len(rows)} of {view.solver['trials']} tries, {sum(r['group'] in STYLE for r in rows)} of them trained."
        ]
        if bounds:
            parts.append(f"Bounds: {bounds}.")
        parts += [f"{text}." for text in view.solver.get("cuts", ())]
        if view.solver.get("verdict"):
            text = worded(str(view.solver["verdict"]))
            parts.append(f"{text[0].upper()}{text[1:]}.")
        return " ".join(parts)

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        assert view.solver is not None
        x, y = view.solver["plane"][0], view.solver["plane"][-1]
        if not any(row[x] is not None and row[y] is not None for row in rows):
            return None
        at = "<br>".join(hover(key, place, units=view.units) for key, place in ((x, "x"), (y, "y")))
        data = [
            scatter(
                rows,
                x=x,
                y=y,
                where=("group", group),
                custom="number",
                mode="markers",
                name=group,
                marker={"color": colour, "symbol": symbol, "size": size},
                hovertemplate=f"try %{{customdata}}<br>{at}<extra>{group}</extra>",
            )
            for group, (colour, symbol, size) in STYLE.items()
        ]
        original = view.solver.get("original", {})
        if original.get(x) is not None and original.get(y) is not None:
            data.append(_input(rounded(original[x]), rounded(original[y]), at))
        return {
            "data": data,
            "layout": layout(
                height=420,
                xaxis=axis(x, units=view.units),
                yaxis=axis(y, units=view.units),
                shapes=bound_lines(rows, _objectives(view), x, y),
            ),
        }


def _objectives(view: RunView) -> list[Objective]:
    return [Objective.parse(one) for one in (view.solver or {}).get("objectives", ())]


def _predicted(view: RunView) -> list[str]:
    """The figures that were predicted of any try."""
    tries = (view.solver or {}).get("tries", ())
    return [o.metric for o in _objectives(view) if any(o.metric in one["predicted"] for one in tries)]


def _timed(view: RunView) -> list[str]:
    """Those of the predicted figures that were timed, and so have an interval."""
    tries = (view.solver or {}).get("tries", ())
    return [metric for metric in _predicted(view) if any(metric in one.get("ends", {}) for one in tries)]


def _ends(one: Mapping[str, Any], metric: str) -> dict[str, float | int | None]:
    low, high = one.get("ends", {}).get(metric, (None, None))
    return {"low": rounded(low), "high": rounded(high)}


def _input(x: float | int | None, y: float | int | None, at: str) -> dict[str, Any]:
    """The point of the network that recipes begin with; `at` tells its place when it is pointed to."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "the input",
        "x": [x],
        "y": [y],
        "marker": {"symbol": "diamond-open", "size": 12, "color": GREY},
        "hovertemplate": f"the input<br>{at}<extra></extra>",
    }


def _group(one: Mapping[str, Any], solver: Mapping[str, Any]) -> str:
    """The outcome of a try; without all passes it may be done and beyond a goal for the result."""
    if one["number"] == solver.get("chosen"):
        return CHOSEN
    if one["number"] in solver.get("front", ()):
        return FRONT
    if one["state"] == "infeasible":
        return BROKEN if one["figures"] else PREDICTED
    if one["state"] != "done":
        return FAILED if one["state"] == "failed" else RUNNING
    bounds = {o["metric"]: Objective.parse(o) for o in solver["objectives"] if o.get("bound") is not None}
    kept = all(bounds[name].satisfied_by(value) for name, value in one["figures"].items() if name in bounds)
    return WITHIN if kept else PART


def _change(value: object, before: object) -> float | int | None:
    now, was = number(value), number(before)
    return None if now is None or was is None else rounded(now - was)
