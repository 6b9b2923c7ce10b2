"""What each pass did to every layer, and which layers it left alone and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from netwright.analysis.tradeoff import outcome
from netwright.dashboards.labels import Column
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView

WHOLE = "whole network"
LEFT = ("left alone", "refused")


class Notes(Panel):
    """One line per pass and layer: pruned, factorized, quantized, or left alone with the reason."""

    title: ClassVar[str] = "Passes"
    order: ClassVar[int] = 48
    help: ClassVar[str] = (
        "Taken from the passes themselves. Of each pass the whole network comes first, then the layers it left alone "
        "with the reason, then the others."
    )
    empty: ClassVar[str] = "No pass has been run yet, or none had anything to say about single layers."

    def rows(self, view: RunView) -> list[Row]:
        rows = [
            {
                "stage": str(stage.get("stage", "")),
                "kept": outcome(stage),
                "layer": str(note.get("layer") or WHOLE),
                "verdict": str(note.get("verdict", "")),
                "reason": str(note.get("reason", "")),
            }
            for stage in view.stages
            for note in stage.get("notes") or ()
        ]
        places = {stage: place for place, stage in enumerate(dict.fromkeys(row["stage"] for row in rows))}
        return sorted(rows, key=lambda row: (places[row["stage"]], row["layer"] != WHOLE, row["verdict"] not in LEFT))

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [
            Column(key="stage", label="stage"),
            Column(key="kept", label="verdict", kind="state"),
            Column(key="layer", label="layer", kind="code"),
            Column(key="verdict", label="what was done"),
            Column(key="reason", label="how, or why not"),
        ]

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        alone = sum(row["verdict"] in LEFT for row in rows)
        if not alone:
            return "No layer was left alone or refused."
        return f"{alone} {'layer was' if alone == 1 else 'layers were'} left alone or refused; the reasons are below."
