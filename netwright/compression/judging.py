"""What a compressed network must keep, and why a pass's result is rolled back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from netwright.compression.compression_pass import SCORE
from netwright.core.config import Settings
from netwright.core.records import ACCURACY, Objective

StageRow = Mapping[str, Any]
"""Keys: stage, accuracy, latency_ms, params, macs, size_bytes, peak_activation_bytes; None where not known.
A task that is judged by another score than accuracy has that score beside it, under its own name. Others, such as
spreads, the protocol of the latency and `coded_bytes`, are carried along."""

RELATIVE = ("accuracy_drop", "max_drop", "slowdown")
LATENCY_GAIN = 0.98


class Bounds(Settings):
    """What the compressed network must keep; all are optional."""

    accuracy_drop: float | None = Field(
        default=None, ge=0, le=1, description="accuracy that may be lost against the input, checked after each pass"
    )
    max_drop: float | None = Field(
        default=None,
        ge=0,
        description="how much worse the score that the task judges by may get, in its own unit, such as dB of psnr",
    )
    slowdown: float | None = Field(
        default=None, ge=0, description="share by which a pass may raise the latency of what it was given"
    )
    latency_ms: float | None = Field(default=None, gt=0, description="goal for the result: at most this")
    size_bytes: int | None = Field(default=None, gt=0, description="goal for the result: at most this")
    coded_bytes: int | None = Field(default=None, gt=0, description="goal for the result: at most this, entropy-coded")
    params: int | None = Field(default=None, gt=0, description="goal for the result: at most this")
    macs: int | None = Field(default=None, gt=0, description="goal for the result: at most this")
    peak_activation_bytes: int | None = Field(default=None, gt=0, description="goal for the result: at most this")

    def goals(self) -> dict[str, float]:
        """The figures of the result that are bounded from above, with their bounds."""
        return {name: value for name, value in self if name not in RELATIVE and value is not None}

    def least_loss(self, score: Objective, first: StageRow) -> float | None:
        """The worst value of the task's score that the drops allow, or None when none is bounded or known."""
        start = first.get(score.metric)
        drops = [self.max_drop, self.accuracy_drop if score.metric == ACCURACY.metric else None]
        allowed = [drop for drop in drops if drop is not None]
        if start is None or not allowed:
            return None
        return float(start - min(allowed) if score.direction == "maximize" else start + min(allowed))


@dataclass(frozen=True, slots=True)
class Goal:
    """A maximum asked for the result, what it came to, and whether it was met."""

    metric: str
    bound: float
    value: float | None
    met: bool


def judge(
    row: StageRow,
    *,
    before: StageRow,
    first: StageRow,
    bounds: Bounds,
    gains: Sequence[str],
    score: Objective = ACCURACY,
) -> str:
    """Why a stage is rolled back, in one sentence, or nothing when it is kept.

    `before` is the row of the last kept model, `first` that of the input, `score` what the task judges models by.
    """
    return broken_bound(row, before=before, first=first, bounds=bounds, score=score) or gained_nothing(
        row, before=before, gains=gains, score=score
    )


def broken_bound(
    row: StageRow, *, before: StageRow, first: StageRow, bounds: Bounds, score: Objective = ACCURACY
) -> str:
    """Which bound a stage breaks, in one sentence, or nothing."""
    for objective, allowed in ((ACCURACY, bounds.accuracy_drop), (score, bounds.max_drop)):
        if allowed is not None and (why := _dropped(row, first, objective, allowed=allowed)):
            return why
    return "" if bounds.slowdown is None else _slower(row, before, allowed=bounds.slowdown)


def gained_nothing(row: StageRow, *, before: StageRow, gains: Sequence[str], score: Objective = ACCURACY) -> str:
    """That none of the figures in `gains` got better, in one sentence, or nothing."""
    names = [score.metric if name == SCORE else name for name in gains]
    known = [name for name in names if row.get(name) is not None and before.get(name) is not None]
    if known and not any(_gained(name, row[name], before[name], score) for name in known):
        figures = ", ".join(f"{name} {before[name]:g} → {row[name]:g}" for name in known)
        return f"it gained nothing: {figures}"
    return ""


def goals_of(bounds: Bounds, row: StageRow) -> tuple[Goal, ...]:
    """Every bounded figure of the result, and whether it is met."""
    found = {name: (bound, figure_of(row, name)) for name, bound in bounds.goals().items()}
    return tuple(
        Goal(name, bound, value, value is not None and value <= bound) for name, (bound, value) in found.items()
    )


def figure_of(row: StageRow, name: str) -> Any:
    """What a stage's figure counts as against a goal: a latency too noisy to be a result counts as its p95."""
    latency = row.get("latency") or {}
    if name == "latency_ms" and row.get(name) is None and latency.get("noisy"):
        return latency.get("p95_ms")
    return row.get(name)


def _dropped(row: StageRow, first: StageRow, score: Objective, *, allowed: float) -> str:
    """Why a score got worse than allowed against the input, or nothing."""
    name, value, start = score.metric, row.get(score.metric), first.get(score.metric)
    if value is None or start is None:
        return f"its {name} is not known, so the bound on the {name} drop cannot be checked"
    worse = score.loss(value) - score.loss(start)
    if worse <= allowed + 1e-9:
        return ""
    fell, change = ("fell", "drop") if score.direction == "maximize" else ("rose", "rise")
    return f"{name} {fell} from {start:.4f} to {value:.4f}, a {change} of {worse:.4f}; at most {allowed:g} is allowed"


def _slower(row: StageRow, before: StageRow, *, allowed: float) -> str:
    """That a stage is slower than allowed, or nothing; a paired comparison must say so with its whole interval.

    A row without `change` has but its latency to be judged by.
    """
    latency, was, paired = row.get("latency_ms"), before.get("latency_ms"), row.get("change")
    most = f"at most {allowed:.0%} is allowed"
    if paired:
        speedup, low, high = (paired[end] for end in ("speedup", "speedup_low", "speedup_high"))
        told_apart = not paired["noisy"] and abs(speedup - 1) > (paired["resolution"] or 0)
        if not told_apart or high * (1 + allowed) >= 1:
            return ""
        return f"it made the network slower: {speedup:.3g}x as fast ({low:.3g} to {high:.3g}) side by side; {most}"
    if latency is None or was is None or latency <= was * (1 + allowed):
        return ""
    return f"it made the network slower: {was:.4g} → {latency:.4g} ms; {most}"


def _gained(name: str, value: float, before: float, score: Objective) -> bool:
    for objective in (score, ACCURACY):
        if name == objective.metric:
            return objective.loss(value) < objective.loss(before)
    return value < before * (LATENCY_GAIN if name == "latency_ms" else 1)
