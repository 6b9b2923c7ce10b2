"""The table of all trials: what was tried, how it ended and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from netwright.analysis.frames import metrics_of
from netwright.dashboards.labels import Column, cause, column, rounded, shortened, worded
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView


class Trials(Panel):
    """Every trial with its state, measurements, the reason of a failure and where it came from."""

    title: ClassVar[str] = "Trials"
    order: ClassVar[int] = 70
    help: ClassVar[str] = "Sort by a heading, filter by any text; a trial's number opens its details."
    empty: ClassVar[str] = "No trial has been recorded yet. Start the search, or wait for its first trial to begin."

    def rows(self, view: RunView) -> list[Row]:
        metrics, fidelity = metrics_of(view.trials, view.objectives), _fidelity(view)
        return [
            {
                "number": trial.number,
                "state": str(trial.state),
                **{metric: rounded(trial.value(metric)) for metric in metrics},
                fidelity.key: trial.fidelity or (fidelity.key == "epochs" and len(trial.curve)) or None,
                "seconds": rounded(trial.seconds, 4) or None,
                "origin": trial.origin,
                "reason": worded(trial.reason),
                "identity": trial.identity[:12],
            }
            for trial in sorted(view.trials, key=lambda t: t.number)
        ]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        metrics = metrics_of(view.trials, view.objectives)
        return [
            column("number"),
            Column(key="state", label="state", kind="state", remark="reason"),
            *(column(metric, units=view.units) for metric in metrics),
            _fidelity(view),
            column("seconds"),
            Column(key="origin", label="proposed by"),
            Column(key="identity", label="architecture", kind="code"),
        ]

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        counts = Counter(row["state"] for row in rows)
        told = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
        failed = Counter(cause(row["reason"]) for row in rows if row["state"] == "failed")
        worst = "".join(
            f" Failed {count:,} {'time' if count == 1 else 'times'}: {shortened(reason)}."
            for reason, count in failed.most_common(3)
        )
        return f"{len(rows):,} {'trial' if len(rows) == 1 else 'trials'}: {told}.{worst}"


def _fidelity(view: RunView) -> Column:
    """How far a trial was trained: along the axis that the search declares, epochs by default."""
    declared = (view.specification.get("search") or {}).get("fidelity") or {}
    axis = str(declared.get("axis", "epochs"))
    if axis == "epochs":
        return Column(key="epochs", label="epochs", kind="number")
    return Column(key=f"{axis}_share", label=f"{axis} used", kind="share")
