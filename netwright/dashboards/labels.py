"""What a number is called on screen, its unit, and how it is written: one place for tables, axes and cards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from netwright.core.records import Objective

Kind = Literal["text", "code", "trial", "state", "number", "integer", "share", "bytes", "ms", "seconds", "factor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: the key of its values in the rows, its heading and how the values are written.

    Beside the value a cell may show further keys of its row: `spread` (±), `low` and `high` (an interval),
    `factor` (times smaller, or the word in `better`), `change` (difference to the first row),
    `remark` (a text below), `absent` (a word in place of a value that is not there).
    """

    key: str
    label: str
    kind: Kind = "text"
    unit: str = ""
    spread: str = ""
    low: str = ""
    high: str = ""
    factor: str = ""
    better: str = ""
    change: str = ""
    remark: str = ""
    absent: str = ""

    def to_json(self) -> dict[str, str]:
        """The fields that are set."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value}


_KNOWN: Mapping[str, tuple[str, Kind, str]] = {
    "accuracy": ("accuracy", "share", "%"),
    "latency_ms": ("latency", "ms", "ms"),
    "params": ("parameters", "integer", ""),
    "macs": ("MACs", "integer", ""),
    "size_bytes": ("file size", "bytes", "bytes"),
    "peak_activation_bytes": ("peak memory", "bytes", "bytes"),
    "mean_iou": ("mean IoU", "share", "%"),
    "dice": ("Dice", "share", "%"),
    "step_f1": ("F1 of the labels", "share", "%"),
    "label_f1": ("F1 of the labels", "share", "%"),
    "roc_auc": ("ROC AUC", "number", ""),
    "rmse": ("RMSE", "number", ""),
    "nmse_db": ("NMSE", "number", "dB"),
    "standardised_mse": ("standardised MSE", "number", ""),
    "step_error": ("wrong steps", "number", ""),
    "mae": ("MAE", "number", ""),
    "r2": ("R²", "number", ""),
    "psnr": ("PSNR", "number", "dB"),
    "nll": ("NLL per step", "number", ""),
    "validation_loss": ("validation loss", "number", ""),
    "validation_accuracy": ("validation accuracy", "share", "%"),
    "train_loss": ("training loss", "number", ""),
    "hypervolume": ("hypervolume", "number", ""),
    "front_size": ("trials on the front", "integer", ""),
    "p95_ms": ("p95", "ms", "ms"),
    "loss": ("loss", "number", ""),
    "number": ("trial", "trial", ""),
    "epoch": ("epoch", "integer", ""),
    "seconds": ("time", "seconds", "s"),
}


def column(key: str, *, units: Mapping[str, str] | None = None, **more: Any) -> Column:
    """The column of a metric or fact; an unknown name is shown as it is, with its unit from `units`."""
    unit = (units or {}).get(key, "")
    if key in _KNOWN:
        label, kind, known_unit = _KNOWN[key]
        return Column(key=key, label=label, kind=kind, unit=known_unit, **more)
    for prefix, word in (("best_", "best"), ("validation_", "validation"), ("predicted_", "predicted")):
        if key.startswith(prefix):
            inner = column(key.removeprefix(prefix), units=units)
            return replace(inner, key=key, label=f"{word} {inner.label}", **more)
    score, of, what = key.partition(" of ")
    if of and score in _KNOWN:  # of one label among several, such as `roc_auc of dot`
        return replace(column(score), key=key, label=f"{_KNOWN[score][0]} of {what}", **more)
    label = key.replace("_", " ")
    for ending, kind in (("_ms", "ms"), ("_bytes", "bytes")):
        if key.endswith(ending):
            return Column(
                key=key, label=label.removesuffix(ending.replace("_", " ")), kind=kind, unit=ending[1:], **more
            )
    share = key.endswith("accuracy") or unit == "%"
    return Column(key=key, label=label, kind="share" if share else "number", unit=unit, **more)


def axis(key: str, *, units: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The layout of a plotly axis for a metric: its title with the unit, and how ticks are written."""
    shown = column(key, units=units)
    title = shown.label if shown.unit in ("", "%") else f"{shown.label} ({shown.unit})"
    found: dict[str, Any] = {"title": {"text": plain(title)}}
    if shown.kind == "share":
        found["tickformat"] = ".4~%"
    elif shown.kind in ("bytes", "integer"):
        found["tickformat"] = "~s" if shown.kind == "bytes" or key.removeprefix("best_") in ("params", "macs") else "~d"
    return found


def hover(key: str, place: str, *, units: Mapping[str, str] | None = None) -> str:
    """A line of a plotly hover text for a metric whose value stands at `place`, such as `x`."""
    shown = column(key, units=units)
    formats = {"share": ".2%", "ms": ".4~g", "bytes": ",.0f", "integer": ",.0f", "trial": "d"}
    unit = f" {shown.unit}" if shown.unit not in ("", "%") else ""
    return f"{plain(shown.label)} %{{{place}:{formats.get(shown.kind, '.5~g')}}}{plain(unit)}"


def bounds_text(objectives: Sequence[Objective], *, units: Mapping[str, str] | None = None) -> str:
    """The bounds of the objectives in words, such as `latency at most 0.9 ms`; empty without any."""
    return ", ".join(
        f"{value_text(o.metric, o.bound, units=units, word='at least' if o.direction == 'maximize' else 'at most')}"
        for o in objectives
        if o.bound is not None
    )


def value_text(key: str, value: float, *, units: Mapping[str, str] | None = None, word: str = "") -> str:
    """A metric and its value in words, with its unit."""
    shown = column(key, units=units)
    number = f"{100 * value:.4g}" if shown.kind == "share" else f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"
    return " ".join(part for part in (shown.label, word, number, shown.unit) if part)


def worded(text: str) -> str:
    """A sentence of the record with the names of metrics as a person calls them: `latency (ms) at most 0.5`.

    The unit stays away where it follows the number, as in `latency 0.57 ms is above the bound`.
    """
    for key, (label, _, unit) in _KNOWN.items():
        if key not in ("accuracy", "loss", "number", "epoch", "seconds", "hypervolume"):
            if unit not in ("", "%"):
                text = re.sub(rf"\b{key}\b(?! \S+ {unit}\b)", f"{label} ({unit})", text)
            text = re.sub(rf"\b{key}\b", label, text)
    return text


def cause(reason: str) -> str:
    """The reason of a failure without the log file of the one trial, so that equal ones are counted together."""
    return re.sub(r" \(see logs/[^)]*\)", "", reason)


def shortened(text: str, most: int = 200) -> str:
    """The text, cut where it is too long for a sentence; without the full stop that the sentence has itself."""
    return text.removesuffix(".") if len(text) <= most else f"{text[: most - 1]}…"


def plain(text: object) -> str:
    """Text for a plotly figure, in which tags stand for themselves."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def rounded(value: float | int | None, digits: int = 6) -> float | int | None:
    """The value with so many significant digits: what a screen can use, in fewer characters."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{digits}g}")
