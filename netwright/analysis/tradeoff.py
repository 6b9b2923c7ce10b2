"""What compression gave and took: every stage beside the first one, with differences and ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netwright.analysis.intervals import wilson

COSTS = ("latency_ms", "params", "macs", "size_bytes", "peak_activation_bytes")
"""The costs of a stage: smaller is better in all of them."""


def tradeoff(
    stages: Sequence[Mapping[str, Any]], *, n: int | None = None, score: str = "accuracy"
) -> list[dict[str, Any]]:
    """The stage table with its comparisons; the first row is what all are compared with.

    Every row has `stage`, `kept`, `reason`, `accuracy` (with `accuracy_change`, `accuracy_low` and
    `accuracy_high`: 95 % Wilson interval), the latency's spread, paired speed-up
    and `latency_ms_note` (why there is none), and every cost with
    `<cost>_change` and `<cost>_factor` (first / this: above 1 is smaller or faster). What was not measured is None.
    `n` is the number of samples behind the accuracy, unless a stage states its own under `n`. What the task judges
    by instead of accuracy, `score`, has the same columns; no interval is known for it.
    """
    rows: list[dict[str, Any]] = []
    for position, stage in enumerate(stages):
        first = stages[0]
        row: dict[str, Any] = {
            "stage": str(stage.get("stage", position)),
            "kept": bool(stage.get("kept", True)),
            "reason": str(stage.get("reason") or ""),
            "accuracy": number(stage.get("accuracy")),
            "accuracy_change": _change(stage, first, "accuracy"),
        }
        samples = stage.get("n") or n
        row["samples"] = samples
        row["accuracy_low"], row["accuracy_high"] = _interval(row["accuracy"], samples)
        if score != "accuracy":
            row |= {score: number(stage.get(score)), f"{score}_change": _change(stage, first, score)}
            row |= {f"{score}_low": None, f"{score}_high": None}
        for cost in COSTS:
            row[cost] = number(stage.get(cost))
            row[f"{cost}_change"] = _change(stage, first, cost)
            row[f"{cost}_factor"] = _factor(stage, first, cost)
        row |= _latency(stage)
        rows.append(row)
    return rows


def final_stage(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The last stage that was kept: the model that leaves; None without stages."""
    return next((row for row in reversed(rows) if row.get("kept", True)), None)


def outcome(stage: Mapping[str, Any]) -> str:
    """What became of a pass: its result was kept, or measured and rolled back, or there was none to measure."""
    if stage.get("kept", True):
        return "kept"
    return "could not be done" if stage.get("size_bytes") is None else "rolled back"


def number(value: object) -> float | int | None:
    """The value when it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if value - value == 0 else None


def _latency(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Spread and paired speed-up of the latency; a speed-up that does not stand out of the noise is left out."""
    figures = stage.get("latency")
    figures = figures if isinstance(figures, Mapping) else {}
    speedup, low, high = (
        number(stage.get("speedup")),
        number(figures.get("speedup_low")),
        number(figures.get("speedup_high")),
    )
    noisy = bool(figures.get("noisy", False))
    note = str(figures.get("reason") or "NOISY") if noisy else ""
    if speedup is not None and not noisy and not _stands_out(speedup, low, high, number(figures.get("resolution"))):
        note = "speed-up not resolved: smaller than the noise of the measurement"
    if note:
        speedup = low = high = None
    return {
        "latency_ms_spread": None if noisy else number(figures.get("iqr_ms")),
        "latency_ms_noisy": noisy,
        "latency_ms_note": note,
        "speedup": speedup,
        "speedup_low": low,
        "speedup_high": high,
    }


def _stands_out(speedup: float, low: float | None, high: float | None, resolution: float | None) -> bool:
    """Whether a speed-up's interval leaves out 1 and it is larger than what two runs of one model differ by."""
    if low is not None and high is not None and low <= 1 <= high:
        return False
    return resolution is None or abs(speedup - 1) > resolution


def _interval(share: float | None, samples: object) -> tuple[float | None, float | None]:
    if share is None or not isinstance(samples, int) or samples < 1 or not 0 <= share <= 1:
        return None, None
    return wilson(share, n=samples)


def _change(stage: Mapping[str, Any], first: Mapping[str, Any], key: str) -> float | None:
    before, now = number(first.get(key)), number(stage.get(key))
    return None if before is None or now is None else now - before


def _factor(stage: Mapping[str, Any], first: Mapping[str, Any], key: str) -> float | None:
    before, now = number(first.get(key)), number(stage.get(key))
    return None if before is None or not now else before / now
