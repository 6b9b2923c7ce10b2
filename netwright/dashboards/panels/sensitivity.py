"""What each layer group bears: the score lost when that group alone is compressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from netwright.analysis.intervals import wilson
from netwright.analysis.tradeoff import number
from netwright.dashboards.figures import layout, stacked
from netwright.dashboards.labels import Column, column, plain, rounded
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView

SCALE = [[0, "#f7f7f7"], [0.5, "#E69F00"], [1, "#D55E00"]]
WHOLE = "whole network"


class Sensitivity(Panel):
    """The score after compressing one layer group alone, without training, at several strengths."""

    title: ClassVar[str] = "Sensitivity"
    order: ClassVar[int] = 43
    help: ClassVar[str] = (
        "Each group is compressed alone, all others left as they are, and nothing is trained afterwards: what is lost "
        "here may come back in fine-tuning. Layers that only work together are one group, named by its first layer. "
        "Loss is the share of the network's own score."
    )
    empty: ClassVar[str] = (
        "Sensitivities have not been measured. `netwright compress RUN --sensitivity` does it, and so does a recipe "
        "with `solve`."
    )

    def rows(self, view: RunView) -> list[Row]:
        if not view.sensitivity:
            return []
        score = str(view.sensitivity["score"])
        return [_row(one, score) for one in view.sensitivity["rows"]]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        score = str((view.sensitivity or {}).get("score", ""))
        return [
            Column(key="stage", label="pass"),
            Column(key="group", label="group", kind="code", remark="reason"),
            Column(key="field", label="setting", kind="code"),
            Column(key="strength", label="value", kind="number"),
            column(score, units=view.units, low="low", high="high"),
            Column(key="loss", label="loss", kind="share"),
            column("params"),
            Column(key="n", label="samples", kind="integer"),
        ]

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        stages = [
            s
            for s in dict.fromkeys(r["stage"] for r in rows)
            if any(r["stage"] == s and r["loss"] is not None for r in rows)
        ]
        if not stages:
            return None
        height = 130 + 100 * len(stages) + 22 * len({(row["stage"], row["group"]) for row in rows})
        figure: Figure = {"data": [], "layout": layout(showlegend=False)}
        for place, (stage, domain) in enumerate(
            zip(stages, stacked(len(stages), gap=66 / height), strict=True), start=1
        ):
            chosen = [row for row in rows if row["stage"] == stage]
            groups = list(dict.fromkeys(row["group"] for row in chosen))
            strengths = sorted({row["strength"] for row in chosen if row["strength"] is not None}) or [None]
            end = "" if place == 1 else str(place)
            field = chosen[0]["field"]
            figure["data"].append(
                _heat(chosen, groups, strengths, axes=(f"x{end}", f"y{end}"), stage=stage, bar=place == 1)
            )
            title = plain(f"{stage}: {field}" if field else stage)
            figure["layout"][f"xaxis{end}"] = {"type": "category", "title": {"text": title}, "anchor": f"y{end}"}
            figure["layout"][f"yaxis{end}"] = {
                "type": "category", "domain": domain, "autorange": "reversed", "automargin": True, "anchor": f"x{end}",
            }  # fmt: skip
        figure["layout"]["height"] = height
        return figure


def _row(one: dict[str, Any], score: str) -> Row:
    value, n = number(one["score"]), one["n"]
    low, high = (None, None)
    if score == "accuracy" and value is not None and n and 0 <= value <= 1:
        low, high = (rounded(end) for end in wilson(value, n=n))
    return {
        "stage": one["stage"],
        "group": one["group"] or WHOLE,
        "field": one["field"],
        "strength": rounded(number(one["strength"])),
        score: rounded(value),
        "low": low,
        "high": high,
        "loss": rounded(number(one["loss"])),
        "params": one["params"],
        "n": n,
        "reason": one["reason"],
    }


def _heat(
    rows: Sequence[Row],
    groups: Sequence[str],
    strengths: Sequence[Any],
    *,
    axes: tuple[str, str],
    stage: str,
    bar: bool,
) -> dict[str, Any]:
    """One pass as a map of loss, a line per group and a column per strength."""
    loss = {(row["group"], row["strength"]): row["loss"] for row in rows}
    names = ["as set" if one is None else f"{one:g}" for one in strengths]
    table = [[loss.get((group, strength)) for strength in strengths] for group in groups]
    return {
        "type": "heatmap",
        "x": names,
        "y": [plain(group) for group in groups],
        "z": table,
        "text": [["" if value is None else f"{value:.1%}" for value in line] for line in table],
        "texttemplate": "%{text}",
        "textfont": {"color": "#222222"},
        "zmin": 0,
        "zmax": 1,
        "colorscale": SCALE,
        "showscale": bar,
        "colorbar": {"title": {"text": "loss"}, "tickformat": ".0%", "thickness": 12},
        "xaxis": axes[0],
        "yaxis": axes[1],
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": f"{plain(stage)}, %{{y}} at %{{x}}<br>loses %{{z:.1%}} of the score<extra></extra>",
    }
