"""The trade-off table of the compression: what every stage gave and took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from netwright.analysis.tradeoff import COSTS, number, outcome, tradeoff
from netwright.dashboards.figures import CYCLE, VERMILLION, layout, room
from netwright.dashboards.labels import Column, axis, column, hover, plain, rounded, worded
from netwright.dashboards.panel import Figure, Panel, Row
from netwright.runs.view import RunView

ORDER = ("latency_ms", "macs", "params", "size_bytes", "peak_activation_bytes")
"""The costs as they are shown: MACs stand beside the latency, for one says little about the other."""
assert set(ORDER) == set(COSTS)


class Compression(Panel):
    """Every stage beside the uncompressed winner: accuracy with its interval (or what else the task judges by), and
    every cost with its ratio.
    """

    title: ClassVar[str] = "Compression"
    order: ClassVar[int] = 40
    help: ClassVar[str] = (
        "All figures are of the exported file, run by the runtime it will be deployed on. Scores are on "
        "the validation split, accuracy with its 95 % interval; ± is the inter-quartile range; speed-ups are taken "
        "pair by pair. "
        "Fewer multiply-accumulates (MACs) do not promise a faster model: read both columns. "
        "A stage that broke a bound, or gained nothing, was rolled back: the next one starts without it."
    )
    empty: ClassVar[str] = (
        "Nothing has been compressed yet. Give the run a `compress` recipe, or compress its winner afterwards; "
        "`netwright compress --help` says how."
    )
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        return [
            {
                **{key: rounded(value) if isinstance(value, float) else value for key, value in row.items()},
                "latency_ms_note": row["latency_ms_note"].removeprefix("NOISY: "),
                "latency_ms_absent": noisy_text(stage) if row["latency_ms_noisy"] else "",
                "p95_ms": None if row["latency_ms_noisy"] else rounded(_p95(stage), 4),
                "latency_ms_remark": _remark(row, stage),
                "reason": worded(row["reason"]),
                "label": _label(row),
                "verdict": outcome(row),
            }
            for row, stage in zip(tradeoff(view.stages, score=view.score.metric), view.stages, strict=True)
        ]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        score = view.score.metric
        # A speed-up taken pair by pair is the better figure: the ratio of two medians stands in where there is none.
        paired = any(row["speedup"] or row["latency_ms_note"] for row in rows)
        ratio: dict[str, Any] = {} if paired else {"factor": "latency_ms_factor", "better": "faster"}
        latency = column("latency_ms", spread="latency_ms_spread", remark="latency_ms_remark", **ratio)
        latency = replace(latency, label="latency (p50)", absent="latency_ms_absent")
        others = [column(c, factor=f"{c}_factor", better="smaller") for c in ORDER if c != "latency_ms"]
        return [
            Column(key="stage", label="stage", remark="reason"),
            Column(key="verdict", label="verdict", kind="state"),
            column(score, units=view.units, low=f"{score}_low", high=f"{score}_high", change=f"{score}_change"),
            latency,
            Column(key="speedup", label="speed-up", kind="factor", low="speedup_low", high="speedup_high"),
            *others,
        ]

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        names, score = [plain(row["label"]) for row in rows], view.score.metric
        bars = [_bars(rows, names, cost, colour) for cost, colour in zip(ORDER, CYCLE, strict=False)]
        return {
            "data": [_scores(rows, names, score, view), *(bar for bar in bars if bar is not None)],
            "layout": layout(
                height=520,
                barmode="group",
                bargap=0.25,
                xaxis={"anchor": "y2", "type": "category", "automargin": True},
                yaxis={
                    "domain": [0.72, 1],
                    **axis(score, units=view.units),
                    "nticks": 5,
                    **room(r[score] for r in rows),
                },
                yaxis2={
                    "domain": [0, 0.64],
                    "title": {"text": "share of the uncompressed cost"},
                    "tickformat": ".0%",
                    "rangemode": "tozero",
                },
            ),
        }


def _p95(stage: Mapping[str, Any]) -> float | int | None:
    return number((stage.get("latency") or {}).get("p95_ms"))


def noisy_text(stage: Mapping[str, Any]) -> str:
    """What stands in place of a latency that is no result."""
    median = number((stage.get("latency") or {}).get("median_ms"))
    return "noisy" if median is None else f"noisy, about {median:.2g} ms"


def _remark(row: Mapping[str, Any], stage: Mapping[str, Any]) -> str:
    """What stands below a latency: its 95th percentile, and why there is no speed-up."""
    p95 = None if row["latency_ms_noisy"] else _p95(stage)
    told = [f"p95 {p95:.3g} ms"] if p95 is not None else []
    return "; ".join([*told, row["latency_ms_note"].removeprefix("NOISY: ")] if row["latency_ms_note"] else told)


def _label(row: dict[str, Any]) -> str:
    return row["stage"] if row["kept"] else f"{row['stage']} ({outcome(row)})"


def _scores(rows: Sequence[Row], names: Sequence[str], score: str, view: RunView) -> dict[str, Any]:
    """What the stages are judged by, with its interval where one is known."""
    known = [(name, row) for name, row in zip(names, rows, strict=True) if row[score] is not None]
    low, high = f"{score}_low", f"{score}_high"
    interval = " (95 % interval)" if any(row[low] is not None for _, row in known) else ""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{plain(column(score, units=view.units).label)}{interval}",
        "x": [name for name, _ in known],
        "y": [row[score] for _, row in known],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [row[high] - row[score] if row[high] is not None else 0 for _, row in known],
            "arrayminus": [row[score] - row[low] if row[low] is not None else 0 for _, row in known],
            "thickness": 1.5,
        },
        "marker": {
            "size": 10,
            "color": VERMILLION,
            "symbol": ["circle" if row["kept"] else "circle-open" for _, row in known],
        },
        "hovertemplate": f"%{{x}}<br>{hover(score, 'y', units=view.units)}<extra></extra>",
    }


def _bars(rows: Sequence[Row], names: Sequence[str], cost: str, colour: str) -> dict[str, Any] | None:
    known = [
        (name, row, 1 / row[f"{cost}_factor"] if row[f"{cost}_factor"] else 0)
        for name, row in zip(names, rows, strict=True)
        if row[f"{cost}_factor"] or (cost == "latency_ms" and row["latency_ms_noisy"])
    ]
    if not known:
        return None
    label = column(cost).label
    return {
        "type": "bar",
        "name": label,
        "yaxis": "y2",
        "x": [name for name, _, _ in known],
        "y": [rounded(share, 4) for _, _, share in known],
        "marker": {"color": colour, "pattern": {"shape": ["" if row["kept"] else "/" for _, row, _ in known]}},
        "text": ["" if share else "noisy" for _, _, share in known],
        "textangle": -90,
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": f"%{{x}}<br>{label} %{{y:.1%}} of the uncompressed<extra></extra>",
    }
