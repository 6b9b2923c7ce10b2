"""Where the bytes went: the file size after each kept stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from netwright.analysis.tradeoff import number
from netwright.dashboards.figures import BLUE, GREEN, GREY, VERMILLION, layout
from netwright.dashboards.labels import Column, column, plain
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView


class Size(Panel):
    """The file size as a waterfall: the winner, what each kept stage took away, what is left at the end."""

    title: ClassVar[str] = "File size"
    order: ClassVar[int] = 45
    help: ClassVar[str] = "Sizes of the whole exported file on disk; stages that were rolled back are left out."
    empty: ClassVar[str] = (
        "No compressed file has been measured yet. The picture appears with the first stage of a `compress` recipe."
    )

    def rows(self, view: RunView) -> list[Row]:
        sizes = [
            (str(stage.get("stage", "")), size)
            for stage in view.stages
            if stage.get("kept", True) and (size := number(stage.get("size_bytes"))) is not None
        ]
        return [
            {
                "stage": name,
                "size_bytes": size,
                "change": None if place == 0 else size - sizes[place - 1][1],
                "factor": sizes[0][1] / size if place and size else None,
            }
            for place, (name, size) in enumerate(sizes)
        ]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [
            Column(key="stage", label="stage"),
            column("size_bytes", factor="factor", better="smaller"),
            Column(key="change", label="change", kind="bytes"),
        ]

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        if len(rows) < 2:
            return None
        names = [plain(row["stage"]) for row in rows]
        steps = [rows[0]["size_bytes"], *(row["change"] for row in rows[1:]), 0]
        trace = {
            "type": "waterfall",
            "x": [*names, "final"],
            "measure": ["absolute", *("relative" for _ in rows[1:]), "total"],
            "y": [step / 1000 for step in steps],
            "text": [_label(row) for row in rows] + [_kilobytes(rows[-1]["size_bytes"])],
            "customdata": [_kilobytes(row["size_bytes"]) for row in [*rows, rows[-1]]],
            "textposition": "outside",
            "increasing": {"marker": {"color": VERMILLION}},
            "decreasing": {"marker": {"color": GREEN}},
            "totals": {"marker": {"color": BLUE}},
            "connector": {"line": {"color": GREY, "width": 1}},
            "hovertemplate": "%{x}: %{customdata} after it<extra></extra>",
            "cliponaxis": False,
        }
        return {
            "data": [trace],
            "layout": layout(
                height=360,
                showlegend=False,
                xaxis={"type": "category", "automargin": True},
                yaxis={"title": {"text": "file size (kB)"}, "rangemode": "tozero"},
                margin={"l": 64, "r": 16, "t": 32, "b": 56},
            ),
        }


def _label(row: Row) -> str:
    """What a stage took away; the first one shows what there was."""
    if row["change"] is None:
        return _kilobytes(row["size_bytes"])
    sign = "−" if row["change"] <= 0 else "+"
    return sign + _kilobytes(abs(row["change"]))


def _kilobytes(size: float) -> str:
    return f"{size / 1000:.3g} kB" if size < 1_000_000 else f"{size / 1e6:.3g} MB"
