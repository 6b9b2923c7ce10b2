"""Where the cost of the chosen architecture lies: parameters and MACs, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from netwright.dashboards.details import graph_of
from netwright.dashboards.figures import BLUE, ORANGE, layout
from netwright.dashboards.labels import Column, column, plain
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView


class Layers(Panel):
    """Parameters and multiply-accumulates of each layer, at batch 1, before compression."""

    title: ClassVar[str] = "Cost by layer"
    order: ClassVar[int] = 35
    help: ClassVar[str] = (
        "Where compression can gain: parameters make the file, MACs make the time. Counted before compression."
    )
    empty: ClassVar[str] = (
        "No layer graph is recorded for the chosen trial. It comes with the first finished trial within the bounds; "
        "a run that began from a model of your own has none."
    )

    def rows(self, view: RunView) -> list[Row]:
        graph = None if (number := view.chosen()) is None else graph_of(view, number)
        if graph is None:
            return []
        from netwright.search_spaces.cost import layer_costs

        return [
            {
                "layer": cost.name,
                "operation": cost.label,
                "shape": " × ".join(map(str, cost.shape)),
                "params": cost.params,
                "macs": cost.macs,
            }
            for cost in layer_costs(graph)
            if cost.params or cost.macs
        ]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [
            Column(key="layer", label="layer", kind="code"),
            Column(key="operation", label="operation"),
            Column(key="shape", label="output shape"),
            column("params"),
            column("macs"),
        ]

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        totals = {key: sum(row[key] for row in rows) or 1 for key in ("params", "macs")}
        names = [plain(row["layer"]) for row in rows]
        data = [
            {
                "type": "bar",
                "orientation": "h",
                "name": label,
                "y": list(range(len(rows))),
                "x": [round(row[key] / totals[key], 5) for row in rows],
                "customdata": [row[key] for row in rows],
                "marker": {"color": colour},
                "text": names,
                "textposition": "none",
                "hovertemplate": f"%{{text}}<br>%{{customdata:,}} {label}, %{{x:.1%}} of all<extra></extra>",
            }
            for key, label, colour in (("params", "parameters", BLUE), ("macs", "MACs", ORANGE))
        ]
        up = {
            "autorange": "reversed",
            "tickmode": "array",
            "tickvals": list(range(len(rows))),
            "ticktext": [name if len(name) <= 28 else f"…{name[-27:]}" for name in names],
            "automargin": True,
        }
        across = {"title": {"text": "share of the network"}, "tickformat": ".0%"}
        return {
            "data": data,
            "layout": layout(height=130 + 30 * len(rows), xaxis=across, yaxis=up, barmode="group", bargap=0.3),
        }
