"""Targets that are any number of labels of a sample, some of them perhaps not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.core.errors import DataError
from netwright.core.records import Direction, Objective
from netwright.core.shapes import Shape
from netwright.tasks.answers import tags as tag_answers
from netwright.tasks.data import AnyArray, Preprocessing, Split
from netwright.tasks.readers.tables import MISSING
from netwright.tasks.table import row_at
from netwright.tasks.targets import ClassNumbers, Facts, Targets

if TYPE_CHECKING:
    from torch import Tensor

NOT_KNOWN = -1
"""The target of a label of which nobody knows whether a sample has it."""

CELLS = dict.fromkeys(("1", "1.0", "true", "yes"), 1) | dict.fromkeys(("0", "0.0", "false", "no"), 0)
"""What a table's cells say, in lower case."""


def labels_of(columns: Mapping[str, AnyArray], *, path: Path) -> AnyArray:
    """Columns of texts as int8 [rows, labels], -1 where a cell is empty; raises DataError naming the row at fault."""
    known = CELLS | dict.fromkeys(MISSING, NOT_KNOWN)
    for name, cells in columns.items():
        wrong = [place for place, cell in enumerate(cells.tolist()) if cell.strip().lower() not in known]
        if wrong:
            raise DataError(
                f"{row_at(path, wrong[0])}, column {name!r}: {str(cells[wrong[0]])!r} is neither 0 nor 1; give each "
                "label a column, 0 where a sample does not have it, and leave cells empty where it is not known"
            )
    found = [[known[cell.strip().lower()] for cell in cells.tolist()] for cells in columns.values()]
    return np.array(found, np.int8).T


def same_in(split: Split, names: Sequence[str]) -> list[str]:
    """The labels that all samples of a split have alike, as far as it is known."""
    return [n for n, marks in zip(names, split.targets.T, strict=True) if not {0, 1} <= set(np.unique(marks).tolist())]


@dataclass(frozen=True, slots=True)
class SampleLabels(Targets):
    """Any number of labels per sample, [N, labels] of 0 and 1; -1 where it is not known, which does not count."""

    labels: tuple[str, ...] = ()

    input_axes: ClassVar[tuple[int, ...]] = ClassNumbers.input_axes
    inputs_wanted: ClassVar[str] = ClassNumbers.inputs_wanted
    answers: ClassVar[ModuleType] = tag_answers
    primary: ClassVar[Objective] = Objective(metric="roc_auc", direction="maximize")
    others: ClassVar[Mapping[str, Direction]] = {"label_f1": "maximize"}

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        if targets.ndim != 2 or targets.dtype.kind not in "buif" or not np.isin(targets, (0, 1, NOT_KNOWN)).all():
            raise DataError(
                f"{part} has {targets.dtype} targets of shape {targets.shape}; give [N, labels] of 0 and 1, and "
                f"{NOT_KNOWN} for what is not known"
            )
        return targets.astype(np.int8)

    def names(self, splits: Mapping[str, Split], given: tuple[str, ...], where: str) -> tuple[str, ...]:
        train = splits["train"].targets
        names = given or self.labels or tuple(str(number) for number in range(train.shape[1]))
        if len(names) != train.shape[1]:
            raise DataError(f"{where}: {len(names)} names are given for {train.shape[1]} labels; name every one")
        if alike := same_in(splits["train"], names):
            raise DataError(
                f"{where}: the label {alike[0]!r} is the same in all training samples where it is known; leave it out"
            )
        return names

    def output(self, targets: AnyArray, names: tuple[str, ...]) -> int | Shape:
        return int(targets.shape[1])

    def settings(self, train: Split, preprocessing: Preprocessing, names: tuple[str, ...]) -> dict[str, Any]:
        return {"labels": list(names)}

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        known = train.targets >= 0
        share = ((train.targets * known).sum(axis=0) + 0.5) / (known.sum(axis=0) + 1)
        outputs = np.broadcast_to(np.log(share / (1 - share)).astype(np.float32), split.targets.shape)
        return "giving every sample each label's share in training", outputs

    def gives(self, output: int | Shape) -> str:
        named = f": {', '.join(self.labels)}" if self.labels else ""
        return f"tells which of {output} labels a sample has{named}"

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        from torch.nn import functional as F

        known = targets >= 0
        each = F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction="none")
        return (each * known).sum() / known.sum().clamp_min(1)

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        from torch.nn import functional as F

        taught = (teacher / temperature).sigmoid()
        found = F.binary_cross_entropy_with_logits(outputs / temperature, taught)
        return found * temperature * temperature
