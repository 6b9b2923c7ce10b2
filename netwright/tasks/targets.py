"""What a task's targets are: how they are checked, split, learnt and scored. `Task.targets` says which.

Each kind is a frozen value. `ClassNumbers` is the base's; the others are for values, masks, images and steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.core.errors import DataError
from netwright.core.records import Direction, Objective
from netwright.core.shapes import Shape
from netwright.tasks.answers import classes as class_answers
from netwright.tasks.data import AnyArray, FloatArray, IntArray, Preprocessing, Split

if TYPE_CHECKING:
    from torch import Tensor

Facts = Mapping[str, Any]
"""What `Targets.settings` found out, as plain JSON."""
RENUMBER = "renumber them from 0, for example with numpy.unique(targets, return_inverse=True)[1]"


class Targets:
    """The base of every kind of target.

    `input_axes` are the numbers of axes that a batch of inputs may have, `answers` the module that tells what
    outputs mean and how good they are, `primary` the score that a model is judged by, `others` those that a task may
    be set to be judged by, with the direction that is better. With `aligned`, targets lie
    on the input's pixels or steps, so what moves an input must move its target. `needs_settings` says whether loss
    and answers read `settings`, `one_class` whether each target is the number of one class.
    """

    input_axes: ClassVar[tuple[int, ...]] = (3, 4)
    inputs_wanted: ClassVar[str] = "images [N, channels, height, width] or sequences [N, time, features]"
    answers: ClassVar[ModuleType] = class_answers
    primary: ClassVar[Objective] = Objective(metric="accuracy", direction="maximize")
    others: ClassVar[Mapping[str, Direction]] = {}
    aligned: ClassVar[bool] = False
    needs_settings: ClassVar[bool] = True
    one_class: ClassVar[bool] = False

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        """The targets as they are stored; raises DataError that starts with `part`."""
        raise NotImplementedError

    def names(self, splits: Mapping[str, Split], given: tuple[str, ...], where: str) -> tuple[str, ...]:
        """The names of the classes, checked over all parts; empty when there are none."""
        if given:
            raise DataError(f"{where}: class names are given, but the targets are no classes; leave them out")
        return ()

    def strata(self, targets: AnyArray) -> IntArray:
        """A group for each sample; every split gets its share of each group."""
        return np.zeros(len(targets), np.int64)

    def check_enough(self, train: Split, names: tuple[str, ...], *, parts: int, where: str) -> None:
        """Raise DataError when the training part cannot be split into so many parts."""
        if len(train) < 2 * parts:
            raise DataError(
                f"{where}: {len(train)} training sample(s) are too few to split into {parts} parts; add some"
            )

    def output(self, targets: AnyArray, names: tuple[str, ...]) -> int | Shape:
        """The shape of a network's result for one sample."""
        return len(names)

    def settings(self, train: Split, preprocessing: Preprocessing, names: tuple[str, ...]) -> dict[str, Any]:
        """What `answers` needs to know, as plain JSON."""
        return {}

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        """What may be answered without a network, in words, and as outputs [N, ...] for a split; None for nothing."""
        return None

    def gives(self, output: int | Shape) -> str:
        """What a network gives, in words that end a sentence."""
        return f"tells {output} classes"

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        """The mean loss of outputs, a scalar."""
        raise NotImplementedError

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        """How far outputs are from a teacher's, a scalar that stands beside `loss`."""
        raise NotImplementedError

    def same(self, outputs: AnyArray, others: AnyArray, settings: Facts) -> float | None:
        """The share of equal answers of two networks; None where answers are not of classes."""
        return float(np.mean(self.answers.answers(outputs, settings) == self.answers.answers(others, settings)))


@dataclass(frozen=True, slots=True)
class ClassNumbers(Targets):
    """One class number [N] per sample, from 0."""

    input_axes: ClassVar[tuple[int, ...]] = (2, 3, 4)
    inputs_wanted: ClassVar[str] = (
        "rows of values [N, values], sequences [N, time, features] or images [N, channels, height, width]"
    )
    others: ClassVar[Mapping[str, Direction]] = {"balanced_accuracy": "maximize"}
    needs_settings: ClassVar[bool] = False
    one_class: ClassVar[bool] = True

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = targets[:, 0]
        if targets.ndim != 1:
            raise DataError(
                f"{part} has targets of shape {targets.shape}; give one class number per sample "
                "(for one-hot targets: targets.argmax(1); several labels are taken by `several: true`)"
            )
        return class_numbers(targets, part)

    def names(self, splits: Mapping[str, Split], given: tuple[str, ...], where: str) -> tuple[str, ...]:
        return class_names({part: split.targets for part, split in splits.items()}, given, where)

    def strata(self, targets: AnyArray) -> IntArray:
        return targets

    def check_enough(self, train: Split, names: tuple[str, ...], *, parts: int, where: str) -> None:
        counts = np.bincount(train.targets, minlength=len(names))
        rarest = int(counts.argmin())
        if counts[rarest] < parts:
            raise DataError(
                f"{where}: class {names[rarest]!r} has {counts[rarest]} training sample(s), too few to split into "
                f"{parts} parts; add samples or leave the class out"
            )

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        shares = log_shares(train.targets, split.targets)
        return "always answering the most frequent class", np.broadcast_to(shares, (len(split), len(shares)))

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        return divergence(outputs, teacher, temperature=temperature)


def divergence(outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """KL divergence of softened logits [rows, classes], times T² so that its gradients keep their size."""
    from torch.nn import functional as F

    student, target = F.log_softmax(outputs / temperature, dim=1), F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(student, target, log_target=True, reduction="batchmean") * temperature * temperature


def log_shares(train: AnyArray, other: AnyArray, *, ignored: int | None = None) -> FloatArray:
    """The logarithm of each class's share in training [classes]; a class that only `other` targets have gets little."""
    known, others = (targets if ignored is None else targets[targets != ignored] for targets in (train, other))
    counts = np.bincount(known.ravel(), minlength=int(others.max(initial=0)) + 1) + 0.5
    return np.asarray(np.log(counts / counts.sum()), np.float32)


def class_numbers(targets: AnyArray, part: str, *, ignored: int | None = None) -> IntArray:
    """Targets of any shape as int64 class numbers, `ignored` ones left as they are; raises DataError."""
    if targets.dtype.kind == "f" and (unknown := int(np.isnan(targets).sum())):
        raise DataError(
            f"{part} has {unknown} of {targets.size} labels that are nan; remove those samples, or give them a class"
        )
    if targets.dtype.kind not in "ui":
        raise DataError(
            f"{part} has targets of the type {targets.dtype}; whole numbers from 0 are expected: {RENUMBER}"
        )
    known = targets if ignored is None else targets[targets != ignored]
    if known.size and known.min() < 0:
        raise DataError(f"{part} has the negative label {known.min()}; {RENUMBER}")
    if known.size and known.max() >= np.iinfo(np.int32).max:
        raise DataError(f"{part} has the label {known.max()}, which is out of range; {RENUMBER}")
    return targets.astype(np.int64)


def class_names(
    parts: Mapping[str, AnyArray], given: tuple[str, ...], where: str, *, ignored: int | None = None
) -> tuple[str, ...]:
    """The names of the classes in targets of all parts; raises DataError when one has no training sample."""
    present = np.unique(parts["train"])
    present = present if ignored is None else present[present != ignored]
    if not len(present):
        raise DataError(f"{where}: the training targets have no label but {ignored}, which is ignored")
    count = len(given) or int(present[-1]) + 1
    for part, targets in parts.items():
        labels = targets if ignored is None else targets[targets != ignored]
        highest = int(labels.max(initial=0))
        if highest >= count:
            raise DataError(
                f"{where}: the {part} part has the label {highest}, out of range for {count} classes "
                f"(0 to {count - 1}); {'name every class' if given else 'every class needs training samples'}"
            )
    if len(present) == 1:
        raise DataError(f"{where}: all training samples are of one class; at least two classes are needed")
    if len(present) < count:
        gap = int(np.flatnonzero(~np.isin(np.arange(min(count, len(present) + 1)), present))[0])
        if given:
            raise DataError(f"{where}: class {given[gap]!r} has no training sample; add some or leave it out")
        raise DataError(f"{where}: the labels are not contiguous: no training sample has the label {gap}; {RENUMBER}")
    return tuple(str(name) for name in given) or tuple(str(number) for number in range(count))


def finite(targets: AnyArray, part: str) -> AnyArray:
    """Real targets as float32; raises DataError when they are no numbers or not finite."""
    if targets.dtype.kind not in "buif":
        raise DataError(f"{part} has targets of the type {targets.dtype}; give numbers")
    with np.errstate(over="ignore"):
        result = targets.astype(np.float32)
    bad = int(result.size - np.count_nonzero(np.isfinite(result)))
    if bad:
        raise DataError(
            f"{part} has {bad} of {result.size} target values that are nan, infinite or too large for float32; "
            "remove or fill them"
        )
    return result
