"""Where the bytes of each stage are: as floats, on disk, under gzip, entropy-coded, and what a code could reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from netwright.analysis.tradeoff import number, outcome
from netwright.dashboards.figures import BLUE, GREEN, GREY, ORANGE, layout
from netwright.dashboards.labels import Column, plain
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView

COUNTS = {
    "dense_bytes": ("dense floats", GREY),
    "file_bytes": ("file on disk", BLUE),
    "gzip_bytes": ("file gzipped", ORANGE),
    "coded_bytes": ("coded archive", GREEN),
}
PARTS = {
    "weights": "weights",
    "indices": "indices",
    "positions": "positions",
    "codebooks": "code books",
    "skeleton": "graph",
    "rest": "other",
}
"""What an archive consists of, by the name on record."""
BOUND = "entropy_bound_bytes"


class Bytes(Panel):
    """Every way to count a stage's bytes, each with how many times fewer it is than the first stage's file."""

    title: ClassVar[str] = "Bytes"
    order: ClassVar[int] = 46
    help: ClassVar[str] = (
        "Dense floats are 4 bytes per parameter. The file on disk is what is deployed; the archive gives it back "
        "exactly. Gzip of the same file is the control: a coder that does not beat it is not worth its decoder. The "
        "entropy bound is what a code could reach that only knows how often each symbol occurs. Ratios are to the "
        "first stage's file on disk."
    )
    empty: ClassVar[str] = "No stage has its bytes counted yet. They come with the first stage of a `compress` recipe."
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        rows = [_row(stage, view.stages[0]) for stage in view.stages]
        return rows if any(row["coded_bytes"] is not None for row in rows) else []

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        counted = [name for name in (*COUNTS, BOUND) if any(row[name] is not None for row in rows)]
        labels = {**{name: label for name, (label, _) in COUNTS.items()}, BOUND: "entropy bound"}
        shown = [
            Column(key=n, label=labels[n], kind="bytes", unit="bytes", factor=f"{n}_factor", better="smaller")
            for n in counted
        ]
        parts = [Column(key="parts", label="archive, bytes by part")] if any(row["parts"] for row in rows) else []
        return [Column(key="stage", label="stage"), *shown, *parts]

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        names = [plain(row["stage"]) for row in rows]
        data: list[dict[str, Any]] = [
            {
                "type": "bar",
                "name": label,
                "x": names,
                "y": [None if row[name] is None else row[name] / 1000 for row in rows],
                "marker": {"color": colour},
                "hovertemplate": f"%{{x}}<br>{label} %{{y:,.4~g}} kB<extra></extra>",
            }
            for name, (label, colour) in COUNTS.items()
            if any(row[name] is not None for row in rows)
        ]
        if any(row[BOUND] is not None for row in rows):
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": "entropy bound",
                    "x": names,
                    "y": [None if row[BOUND] is None else row[BOUND] / 1000 for row in rows],
                    "marker": {"symbol": "line-ew-open", "size": 22, "color": "#444444", "line": {"width": 3}},
                    "hovertemplate": "%{x}<br>entropy bound %{y:,.4~g} kB<extra></extra>",
                }
            )
        return {
            "data": data,
            "layout": layout(
                height=380,
                barmode="group",
                xaxis={"type": "category", "automargin": True},
                yaxis={"title": {"text": "kB"}, "rangemode": "tozero"},
            ),
        }


def _row(stage: Mapping[str, Any], first: Mapping[str, Any]) -> Row:
    row: Row = {"stage": str(stage.get("stage", "")) + ("" if stage.get("kept", True) else f" ({outcome(stage)})")}
    whole = _file_bytes(first)
    for name in (*COUNTS, BOUND):
        value = _file_bytes(stage) if name == "file_bytes" else number(stage.get(name))
        row[name] = value
        row[f"{name}_factor"] = whole / value if whole and value else None
    parts = stage.get("bytes")
    known = parts if isinstance(parts, Mapping) else {}
    sizes = {name: size for name in PARTS if isinstance(size := known.get(name), int)}
    row |= {f"{name}_bytes": sizes.get(name) for name in PARTS}
    row["parts"] = ", ".join(f"{PARTS[name]} {size:,}" for name, size in sizes.items() if size)
    return row


def _file_bytes(stage: Mapping[str, Any]) -> float | int | None:
    """The size of the ONNX file; where an archive is handed over, `size_bytes` is the archive's."""
    return number(stage.get("file_bytes", stage.get("size_bytes")))
