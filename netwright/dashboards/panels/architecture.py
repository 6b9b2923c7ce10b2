"""The chosen architecture: its drawing and the decisions that make it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from netwright.core.records import Decisions
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
        return [{"decision": str(name), "value": _text(value)} for name, value in _decisions(view).items()]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [Column(key="decision", label="decision", kind="code"), Column(key="value", label="value")]

    def drawing(self, view: RunView) -> str | None:
        return None if (number := view.chosen()) is None else draw(view, number)

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        number = view.chosen()
        if number is None:
            return ""
        if view.winner:
            rule = worded(str(view.winner.get("rule") or ""))
            return f"Trial {number} is the winner{': ' + rule if rule else ''}."
        return f"Trial {number} is the best within the bounds so far; no winner has been trained yet."


def _decisions(view: RunView) -> Decisions:
    """The decisions of the winner, or of the best trial until there is one."""
    number = view.chosen()
    known = (view.winner or {}).get("decisions")
    return known or next((trial.decisions for trial in view.trials if trial.number == number), {})


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
