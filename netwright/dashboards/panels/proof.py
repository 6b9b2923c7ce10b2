"""What the exported models are worth: the test split, read once, and the proof that they compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from netwright.analysis.intervals import wilson
from netwright.analysis.tradeoff import number
from netwright.dashboards.labels import Column, column, rounded
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView

_PARITY: Mapping[str, tuple[str, str]] = {
    "max_difference": ("largest difference of an output", "number"),
    "mean_difference": ("mean difference of the outputs", "number"),
    "scale": ("largest output, for comparison", "number"),
    "agreement": ("samples with the same answer", "share"),
    "accuracy_original": ("accuracy of the original", "share"),
    "accuracy_exported": ("accuracy of the exported file", "share"),
}


class Proof(Panel):
    """Test figures with their sample size and interval, and the parity of every exported file."""

    title: ClassVar[str] = "Test and parity"
    order: ClassVar[int] = 50
    help: ClassVar[str] = (
        "The test split was read once, at the end: nothing was chosen by it. Intervals hold the true accuracy with "
        "95 % confidence. Parity compares the exported file in its runtime with the trained network."
    )
    empty: ClassVar[str] = (
        "No model has been exported yet, so nothing is proven. Export the winner, or let the whole run finish."
    )
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        return [*_test_rows(view), *_parity_rows(view.parity)]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [
            Column(key="model", label="model"),
            Column(key="what", label="figure"),
            Column(key="value", label="value", kind="mixed", low="low", high="high"),
            Column(key="n", label="samples", kind="integer"),
            Column(key="how", label="how"),
        ]


@dataclass(frozen=True, slots=True)
class Tested:
    """A model's figures on the test split; `stage` is the place of its file among the stages, if it is one of them."""

    name: str
    figures: Mapping[str, Any]
    n: int | None
    stage: int | None


def tested_models(view: RunView) -> list[Tested]:
    """The models that were tested, in the order of the stages they came from, told by the hash of their file."""
    places = {stage["sha256"]: place for place, stage in enumerate(view.stages) if stage.get("sha256")}
    found = []
    for name, entry in (view.test or {}).items():
        if isinstance(entry, Mapping):
            n = entry.get("n")
            sample = n if isinstance(n, int) and n > 0 else None
            found.append(Tested(str(name), entry, sample, places.get(entry.get("sha256"))))
    return sorted(found, key=lambda tested: len(places) if tested.stage is None else tested.stage)


def _test_rows(view: RunView) -> list[Row]:
    rows = []
    for tested in tested_models(view):
        model, n = tested.name, tested.n
        for key, value in tested.figures.items():
            shown = column(key)
            if key == "n" or number(value) is None:
                continue
            share = key == "accuracy" and n and 0 <= value <= 1
            low, high = wilson(value, n=n) if share and n else (None, None)
            rows.append(
                _row(
                    model,
                    f"test {shown.label}",
                    value,
                    shown.kind,
                    unit=shown.unit,
                    low=low,
                    high=high,
                    n=n,
                    how="test split, read once",
                )
            )
    return rows


def _parity_rows(parity: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows = []
    for entry in parity:
        model = str(entry.get("model") or entry.get("file") or entry.get("name") or "exported model")
        sizes = entry.get("batch_sizes") or ()
        how = f"batch sizes {', '.join(map(str, sizes))}" if sizes else ""
        if number(entry.get("tolerance")) is not None:
            how += f"{'; ' if how else ''}tolerance {entry['tolerance']:g}"
        for key, (what, kind) in _PARITY.items():
            if number(entry.get(key)) is not None:
                rows.append(_row(model, what, entry[key], kind, n=entry.get("n"), how=how))
        for key, whose in (("score_original", "the original"), ("score_exported", "the exported file")):
            if number(entry.get(key)) is not None:
                shown = column(str(entry.get("score")))
                what = f"{shown.label} of {whose}"
                rows.append(_row(model, what, entry[key], shown.kind, unit=shown.unit, n=entry.get("n"), how=how))
    return rows


def _row(
    model: str, what: str, value: float, kind: str, *, unit: str = "", low: float | None = None,
    high: float | None = None, n: int | None, how: str,
) -> Row:  # fmt: skip
    return {
        "model": model,
        "what": what,
        "value": rounded(value, 5),
        "kind": kind,
        "unit": unit,
        "low": rounded(low, 5),
        "high": rounded(high, 5),
        "n": n,
        "how": how,
    }
