"""What the front is worth over several seeds: mean and interval of every trial that was raced."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from netwright.dashboards.figures import BLUE, layout
from netwright.dashboards.labels import Column, axis, column, hover, rounded
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView


class Seeds(Panel):
    """The trials of the front, trained in full with several seeds: mean, 95 % interval, and who dropped out."""

    title: ClassVar[str] = "Seeds"
    order: ClassVar[int] = 25
    help: ClassVar[str] = (
        "Every trial of the front was trained in full with several seeds, and dropped out once its interval was "
        "dominated by another's. Intervals hold the mean over all seeds with 95 % confidence; scores are on the "
        "validation split."
    )
    empty: ClassVar[str] = (
        "The front was not raced. Set `winner.seeds` to 3 or more to train it with several seeds before the winner "
        "is chosen."
    )
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        race = (view.winner or {}).get("race") or {}
        names = [objective.metric for objective in view.objectives]
        shares = {name for name in names if column(name, units=view.units).kind == "share"}
        return [_row(racer, names, shares, winner=race.get("winner")) for racer in race.get("racers", ())]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        metrics = [
            column(o.metric, units=view.units, low=f"{o.metric}_low", high=f"{o.metric}_high") for o in view.objectives
        ]
        return [
            Column(key="trial", label="trial", kind="trial"),
            Column(key="outcome", label="outcome"),
            Column(key="seeds", label="seeds", kind="integer"),
            *metrics,
        ]

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        metric = next((o.metric for o in view.objectives if rows and rows[0][f"{o.metric}_low"] is not None), None)
        if metric is None:
            return None
        shown = [row for row in rows if row[f"{metric}_high"] is not None]
        points = {
            "type": "scatter",
            "mode": "markers",
            "x": [f"trial {row['trial']}" for row in shown],
            "y": [row[metric] for row in shown],
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [rounded(row[f"{metric}_high"] - row[metric]) for row in shown],
                "arrayminus": [rounded(row[metric] - row[f"{metric}_low"]) for row in shown],
            },
            "marker": {"size": 9, "color": BLUE},
            "hovertemplate": f"%{{x}}<br>{hover(metric, 'y', units=view.units)}<extra></extra>",
        }
        axes = {"xaxis": {"type": "category"}, "yaxis": axis(metric, units=view.units)}
        return {"data": [points], "layout": layout(height=320, **axes)}


def _row(racer: Mapping[str, Any], names: Sequence[str], shares: Collection[str], *, winner: int | None) -> Row:
    left, failed = racer["dropped_after"], racer.get("failed", ())
    outcome = "winner" if racer["trial"] == winner else "stayed" if left is None else f"dropped out after {left} seeds"
    if failed:
        outcome += f"; {len(failed)} of {racer['seeds']} trainings failed: {failed[0]['reason']}"
    row: Row = {"trial": racer["trial"], "outcome": outcome, "seeds": racer["seeds"]}
    for name in names:
        found = racer["metrics"].get(name, {})
        several = len(found.get("values", ())) > 1
        row[name] = rounded(found.get("mean"))
        ends = [found.get(end) if several else None for end in ("low", "high")]
        if name in shares:
            # Student's interval knows no limits, a share does.
            ends = [None if end is None else min(max(end, 0.0), 1.0) for end in ends]
        row[f"{name}_low"], row[f"{name}_high"] = (rounded(end) for end in ends)
    return row
