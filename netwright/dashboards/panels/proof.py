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


class Proof(Panel):
    """One line per model: its figures on the test split with sample size and interval, and the parity of its file."""

    title: ClassVar[str] = "Proof"
    order: ClassVar[int] = 50
    help: ClassVar[str] = (
        "The test split was read once, at the end: nothing was chosen by it. Intervals hold the true accuracy with "
        "95 % confidence. Parity compares the exported file, run by its runtime, with the trained network on the "
        "validation split and at every shape named; the largest difference is to be read beside the largest output."
    )
    empty: ClassVar[str] = (
        "No model has been exported yet, so nothing is proven. Export the winner, or let the whole run finish."
    )
    table_open: ClassVar[bool] = True

    def rows(self, view: RunView) -> list[Row]:
        tested = {model.name: model for model in tested_models(view)}
        compared = {_named(entry): entry for entry in view.parity if number(entry.get("max_difference")) is not None}
        names = [*tested, *(name for name in compared if name not in tested)]
        metrics = list(dict.fromkeys(key for model in tested.values() for key in _figures(model)))
        rows = [_row(name, tested.get(name), compared.get(name, {}), metrics) for name in names]
        return [row for row in rows if any(v not in (None, "") for key, v in row.items() if key != "model")]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        known = {key for row in rows for key, value in row.items() if value is not None and value != ""}
        tests = [key for key in rows[0] if key.startswith("test_") and not key.endswith(("_low", "_high", "_samples"))]
        return [
            Column(key="model", label="model"),
            *(_tested_column(key, view) for key in tests),
            *(column for column in _fixed(view) if column.key in known),
        ]


def _tested_column(key: str, view: RunView) -> Column:
    shown = column(key.removeprefix("test_"), units=view.units)
    ends = {"low": f"{key}_low", "high": f"{key}_high"} if key == "test_accuracy" else {}
    return Column(key=key, label=f"test {shown.label}", kind=shown.kind, unit=shown.unit, **ends)


def _fixed(view: RunView) -> list[Column]:
    score = column(view.score.metric, units=view.units)
    return [
        Column(key="test_samples", label="test samples", kind="integer"),
        Column(key="agreement", label="same answers", kind="share"),
        Column(key="max_difference", label="largest difference", kind="number", remark="shapes"),
        Column(key="mean_difference", label="mean difference", kind="number"),
        Column(key="scale", label="largest output", kind="number"),
        Column(key="score_original", label=f"{score.label} of the network", kind=score.kind, unit=score.unit),
        Column(key="score_exported", label=f"{score.label} of the file", kind=score.kind, unit=score.unit),
        Column(key="parity_samples", label="samples compared", kind="integer"),
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


def _named(entry: Mapping[str, Any]) -> str:
    return str(entry.get("model") or entry.get("file") or entry.get("name") or "exported model")


def _figures(model: Tested) -> list[str]:
    return [key for key, value in model.figures.items() if key != "n" and number(value) is not None]


def _row(name: str, tested: Tested | None, parity: Mapping[str, Any], metrics: Sequence[str]) -> Row:
    row: Row = {"model": name}
    for metric in metrics:
        row[f"test_{metric}"] = rounded(number(tested.figures.get(metric)) if tested else None, 5)
    accuracy, n = row.get("test_accuracy"), tested.n if tested else None
    low, high = wilson(accuracy, n=n) if accuracy is not None and n and 0 <= accuracy <= 1 else (None, None)
    judged = "accuracy" if number(parity.get("accuracy_original")) is not None else "score"
    return row | {
        "test_accuracy_low": rounded(low, 5),
        "test_accuracy_high": rounded(high, 5),
        "test_samples": n,
        **{key: rounded(number(parity.get(key)), 5) for key in _PARITY},
        "shapes": _shapes(parity),
        "score_original": rounded(number(parity.get(f"{judged}_original")), 5),
        "score_exported": rounded(number(parity.get(f"{judged}_exported")), 5),
        "parity_samples": parity.get("n"),
    }


_PARITY = ("agreement", "max_difference", "mean_difference", "scale", "tolerance")


def _shapes(parity: Mapping[str, Any]) -> str:
    """The largest difference at each shape that was tried, or the shapes where only the whole is on record."""
    by_shape = parity.get("by_shape") or {}
    if by_shape:
        return ", ".join(f"{value:.2g} at {name}" for name, value in by_shape.items())
    batches, lengths = parity.get("batch_sizes") or (), parity.get("lengths") or ()
    told = [f"batch sizes {', '.join(map(str, batches))}"] if batches else []
    told += [f"lengths {', '.join(map(str, lengths))}"] if lengths else []
    return "; ".join(told)
