"""How much of the network each pass reached: layers done, layers left alone, and the share that counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from netwright.analysis.tradeoff import outcome
from netwright.dashboards.labels import Column
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView

LEFT = ("left alone", "refused")


class Coverage(Panel):
    """One line per pass: what it did to how many layers, how many it left alone, and what it says of the whole."""

    title: ClassVar[str] = "Coverage"
    order: ClassVar[int] = 47
    help: ClassVar[str] = (
        "A pass that leaves most layers alone cannot gain much. The last column is the pass's own account of the whole "
        "network, such as the share of parameters that is really in 8 bits. The reasons, layer by layer, stand below."
    )
    empty: ClassVar[str] = "No pass has been run yet, or none had anything to say about single layers."
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        return [_row(stage) for stage in view.stages if stage.get("notes")]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [
            Column(key="stage", label="stage"),
            Column(key="kept", label="verdict", kind="state"),
            Column(key="done", label="layers reached", kind="integer"),
            Column(key="left", label="left alone", kind="integer"),
            Column(key="verdicts", label="what was done to how many"),
            Column(key="whole", label="of the whole network"),
        ]


def _row(stage: Mapping[str, Any]) -> Row:
    notes = [(str(n.get("layer") or ""), str(n.get("verdict", "")), str(n.get("reason", ""))) for n in stage["notes"]]
    # A layer may have several notes, such as one that it was measured; it counts once by what became of it.
    last = {layer: verdict for layer, verdict, _ in notes if layer and verdict != "measured"}
    counts = Counter(last.values())
    left = sum(counts[verdict] for verdict in LEFT)
    return {
        "stage": str(stage.get("stage", "")),
        "kept": outcome(stage),
        "done": len(last) - left,
        "left": left,
        "verdicts": ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()),
        "whole": "; ".join(reason for layer, _, reason in notes if not layer and reason),
    }
