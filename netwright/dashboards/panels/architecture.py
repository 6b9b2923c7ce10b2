"""The chosen architecture: its drawing and the decisions that make it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from netwright.analysis.front import best_within_bounds
from netwright.dashboards.details import draw
from netwright.dashboards.labels import Column, worded
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView


class Architecture(Panel):
    """The winner, or the best trial within the bounds so far, drawn and as decisions."""

    title: ClassVar[str] = "Architecture"
    order: ClassVar[int] = 30
    help: ClassVar[str] = "The decisions are the architecture: the same ones always build the same network."
    empty: ClassVar[str] = (
        "No trial has finished within the bounds, so there is no architecture to show. "
        "Let the search go on, or loosen the bounds of the objectives."
    )

    def rows(self, view: RunView) -> list[Row]:
        return [{"decision": str(name), "value": _text(value)} for name, value in _chosen(view)[1].items()]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [Column(key="decision", label="decision", kind="code"), Column(key="value", label="value")]

    def drawing(self, view: RunView) -> str | None:
        number = _chosen(view)[0]
        return None if number is None else draw(view, number)

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        number, _ = _chosen(view)
        if number is None:
            return ""
        if view.winner:
            rule = worded(str(view.winner.get("rule") or ""))
            return f"Trial {number} is the winner{': ' + rule if rule else ''}."
        return f"Trial {number} is the best within the bounds so far; no winner has been trained yet."


def _chosen(view: RunView) -> tuple[int | None, dict[str, Any]]:
    """Number and decisions of the winner, or of the best trial until there is one."""
    trials = {trial.number: trial for trial in view.trials}
    if view.winner:
        number = view.winner.get("trial")
        decisions = view.winner.get("decisions") or (trials[number].decisions if number in trials else {})
        return number, dict(decisions)
    if not view.objectives:
        return None, {}
    best = best_within_bounds(view.trials, view.objectives)
    return (None, {}) if best is None else (best.number, dict(best.decisions))


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
