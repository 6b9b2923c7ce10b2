"""How each latency was measured: a number without its protocol says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from netwright.analysis.tradeoff import number
from netwright.dashboards.details import protocol_said, protocol_text
from netwright.dashboards.labels import Column, rounded
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView

FIGURES = ("median_ms", "p10_ms", "p90_ms", "p95_ms", "iqr_ms", "cpu_median_ms", "resolution", "n")
SETTINGS = ("cpu", "threads", "batch", "pairs", "statistic", "isa")
SEARCHED = "every trial of the search"
RESULTS = frozenset(
    {"inner_repeats", "cpu_iqr_ms", "noisy", "load_before", "load_after", "speedup", "speedup_low", "speedup_high"}
)


class MeasurementPanel(Panel):
    """Latency of every stage with its quantiles, samples and noise, and the protocol behind them."""

    title: ClassVar[str] = "Latency"
    order: ClassVar[int] = 80
    help: ClassVar[str] = (
        "Models are run in turns with the uncompressed one, so that a busy machine slows all of them alike. "
        "The resolution is the difference that two runs of the same model showed: smaller ones mean nothing. "
        "Load is that of the machine before and after."
    )
    empty: ClassVar[str] = (
        "No latency has been measured in this run. Add the objective `latency_ms`, or a `compress` recipe."
    )
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        searched = next((m for t in view.trials if (m := t.measurements.get("latency_ms")) and m.protocol), None)
        rows = []
        if searched:
            rows.append(_row(SEARCHED, {"n": searched.protocol.get("pairs")}, searched.protocol))
        for stage in view.stages:
            if isinstance(stage.get("latency"), Mapping):
                rows.append(_row(str(stage.get("stage", "")), stage["latency"], stage.get("protocol") or {}))
        return rows

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        columns = [
            Column(key="model", label="model"),
            Column(key="median_ms", label="median (p50)", kind="ms", unit="ms", spread="iqr_ms"),
            Column(key="p10_ms", label="p10", kind="ms", unit="ms"),
            Column(key="p90_ms", label="p90", kind="ms", unit="ms"),
            Column(key="p95_ms", label="p95", kind="ms", unit="ms"),
            Column(key="cpu_median_ms", label="CPU time", kind="ms", unit="ms"),
            Column(key="n", label="samples", kind="integer"),
            Column(key="resolution", label="resolution", kind="share"),
            Column(key="load", label="load"),
            Column(key="noise", label="noise"),
        ]
        return [c for c in columns if c.key == "model" or any(row[c.key] not in (None, "") for row in rows)]

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        """The protocols, each said once."""
        said = [f"The search: {row['said']}." for row in rows if row["model"] == SEARCHED and row["said"]]
        stages = list(dict.fromkeys(row["said"] for row in rows if row["model"] != SEARCHED and row["protocol"]))
        if len(stages) == 1:
            return " ".join([f"All stages: {stages[0]}.", *said])
        return " ".join([*(f"{row['model']}: {row['said']}." for row in rows if row["said"] in stages), *said])


def _row(model: str, figures: Mapping[str, Any], protocol: Mapping[str, Any]) -> Row:
    noisy = figures.get("noisy")
    load = [protocol.get("load_before"), protocol.get("load_after")]
    found = {key: rounded(number(figures.get(key)), 4) for key in FIGURES}
    settings = {key: protocol[key] for key in SETTINGS if key in protocol}
    settings |= {k: v for k, v in protocol.items() if k not in (*SETTINGS, *FIGURES, *RESULTS)}
    return {
        "model": model,
        **found,
        "noise": ""
        if noisy is None
        else str(figures.get("reason") or "noisy").removeprefix("NOISY: ")
        if noisy
        else "steady",
        "load": " → ".join(f"{value:g}" for value in load if isinstance(value, (int, float))),
        "said": protocol_said(protocol),
        "protocol": protocol_text(settings),
    }
