"""How each latency was measured: a number without its protocol says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from netwright.analysis.tradeoff import number
from netwright.core.records import Measurement
from netwright.dashboards.details import protocol_text
from netwright.dashboards.labels import Column, rounded
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView

OWN_COLUMNS = ("threads", "batch", "cpu", "statistic", "load_before", "load_after", "resolution")


class MeasurementPanel(Panel):
    """Latency of every stage with its quantiles, samples, threads, CPU, noise and the rest of the protocol."""

    title: ClassVar[str] = "How measured"
    order: ClassVar[int] = 80
    help: ClassVar[str] = (
        "Models are run in turns with the uncompressed one, so that a busy machine slows all of them alike. "
        "The resolution is the difference that two runs of the same model showed: smaller ones mean nothing."
    )
    empty: ClassVar[str] = (
        "No latency has been measured in this run. Add the objective `latency_ms`, or a `compress` recipe."
    )
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        searched = next((m for t in view.trials if (m := t.measurements.get("latency_ms")) and m.protocol), None)
        rows = [_searched(searched)] if searched else []
        for stage in view.stages:
            if isinstance(stage.get("latency"), Mapping):
                rows.append(_row(str(stage.get("stage", "")), stage["latency"], stage.get("protocol") or {}))
        return rows

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [
            Column(key="model", label="model", remark="cpu"),
            Column(key="median", label="median", kind="ms", unit="ms", spread="iqr"),
            Column(key="p10", label="10 %", kind="ms", unit="ms"),
            Column(key="p90", label="90 %", kind="ms", unit="ms"),
            Column(key="n", label="samples", kind="integer"),
            Column(key="noise", label="noise"),
            Column(key="resolution", label="resolution", kind="share"),
            Column(key="threads", label="threads", kind="integer"),
            Column(key="batch", label="batch", kind="integer"),
            Column(key="statistic", label="time"),
            Column(key="load", label="load before → after"),
            Column(key="protocol", label="rest of the protocol"),
        ]


def _searched(measurement: Measurement) -> Row:
    figures = {"iqr_ms": measurement.spread, "n": measurement.protocol.get("pairs")}
    return _row("every trial of the search", figures, measurement.protocol)


def _row(model: str, figures: Mapping[str, Any], protocol: Mapping[str, Any]) -> Row:
    noisy = figures.get("noisy")
    load = [protocol.get("load_before"), protocol.get("load_after")]
    return {
        "model": model,
        "median": rounded(number(figures.get("median_ms")), 4),
        "iqr": rounded(number(figures.get("iqr_ms")), 2),
        "p10": rounded(number(figures.get("p10_ms")), 4),
        "p90": rounded(number(figures.get("p90_ms")), 4),
        "n": figures.get("n"),
        "noise": "" if noisy is None else str(figures.get("reason") or "NOISY") if noisy else "steady",
        "resolution": rounded(number(figures.get("resolution")), 3),
        "threads": protocol.get("threads"),
        "batch": protocol.get("batch"),
        "statistic": str(protocol.get("statistic") or ""),
        "load": " → ".join(f"{value:g}" for value in load if isinstance(value, (int, float))),
        "cpu": str(protocol.get("cpu") or ""),
        "protocol": protocol_text({k: v for k, v in protocol.items() if k not in OWN_COLUMNS}),
    }
