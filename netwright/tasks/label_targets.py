"""Targets that are labels of parts of a sample: of every pixel of an image, or of every step of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.core.errors import DataError
from netwright.core.records import Direction, Objective
from netwright.core.shapes import Shape
from netwright.tasks.answers import masks as mask_answers
from netwright.tasks.answers import several as several_answers
from netwright.tasks.answers import steps as step_answers
from netwright.tasks.data import AnyArray, Preprocessing, Split
from netwright.tasks.targets import Facts, Targets, class_names, class_numbers, divergence, log_shares

if TYPE_CHECKING:
    from torch import Tensor

ENDED = -1
"""The target of a step after the end of its sequence."""


@dataclass(frozen=True, slots=True)
class Masks(Targets):
    """A class number for every pixel, [N, height, width]; pixels of the label `ignored` do not count.

    `values` are the numbers or colours that stood for the classes in the masks as given, for who scores those.
    """

    ignored: int | None = None
    values: tuple[int | tuple[int, int, int], ...] = ()

    input_axes: ClassVar[tuple[int, ...]] = (4,)
    inputs_wanted: ClassVar[str] = "images [N, channels, height, width]"
    answers: ClassVar[ModuleType] = mask_answers
    primary: ClassVar[Objective] = Objective(metric="mean_iou", direction="maximize")
    aligned: ClassVar[bool] = True

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        size = inputs.shape[2:]
        if targets.ndim == 4 and 1 in (targets.shape[1], targets.shape[3]):
            targets = targets[:, 0] if targets.shape[1] == 1 else targets[..., 0]
        if targets.shape[1:] != size:
            raise DataError(
                f"{part} has masks of shape {targets.shape} for images of {size[0]}x{size[1]} pixels; "
                "give one class number per pixel, [N, height, width]"
            )
        targets = targets.astype(np.uint8) if targets.dtype == bool else targets
        if set(np.unique(targets[:1])) == {0, 255} and self.ignored != 255:
            raise DataError(f"{part} has masks of 0 and 255; set `mask_values: [0, 255]`, or divide them by 255")
        numbers = class_numbers(targets, part, ignored=self.ignored)
        return numbers.astype(np.uint8) if numbers.min() >= 0 and numbers.max() <= 255 else numbers

    def names(self, splits: Mapping[str, Split], given: tuple[str, ...], where: str) -> tuple[str, ...]:
        masks = {part: split.targets for part, split in splits.items()}
        return class_names(masks, given, where, ignored=self.ignored)

    def output(self, targets: AnyArray, names: tuple[str, ...]) -> int | Shape:
        return (len(names), *(int(size) for size in targets.shape[1:]))

    def settings(self, train: Split, preprocessing: Preprocessing, names: tuple[str, ...]) -> dict[str, Any]:
        return {"ignore": self.ignored, **({"values": list(self.values)} if self.values else {})}

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        shares = log_shares(train.targets, split.targets, ignored=self.ignored)
        outputs = np.broadcast_to(shares[:, None, None], (len(split), len(shares), *split.targets.shape[1:]))
        return "answering the most frequent class everywhere", outputs

    def gives(self, output: int | Shape) -> str:
        return f"tells {output[0] if isinstance(output, tuple) else output} classes of every pixel"

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        from torch.nn import functional as F

        ignored = -100 if self.ignored is None else self.ignored
        wanted = targets.long()
        total = F.cross_entropy(outputs, wanted, ignore_index=ignored, label_smoothing=label_smoothing, reduction="sum")
        # A batch whose pixels are all ignored has nothing to learn from, and no mean.
        return total / (wanted != ignored).sum().clamp_min(1)

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        student, taught = (x.movedim(1, -1).reshape(-1, x.shape[1]) for x in (outputs, teacher))
        return divergence(student, taught, temperature=temperature)


@dataclass(frozen=True, slots=True)
class StepClasses(Targets):
    """A class number for every step, [N, time]; -1 after the end of a sequence."""

    input_axes: ClassVar[tuple[int, ...]] = (3,)
    inputs_wanted: ClassVar[str] = "sequences [N, time, features]"
    answers: ClassVar[ModuleType] = step_answers
    primary: ClassVar[Objective] = Objective(metric="step_accuracy", direction="maximize")
    others: ClassVar[Mapping[str, Direction]] = {"step_error": "minimize", "nll": "minimize"}
    aligned: ClassVar[bool] = True

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        if targets.ndim == 3 and targets.shape[2] == 1:
            targets = targets[..., 0]
        if targets.ndim != 2:
            raise DataError(
                f"{part} has targets of shape {targets.shape}; give one class number per step, [N, time] "
                "(for several labels at once set `several: true`)"
            )
        _require_steps(targets, inputs, part)
        return class_numbers(targets, part, ignored=ENDED)

    def names(self, splits: Mapping[str, Split], given: tuple[str, ...], where: str) -> tuple[str, ...]:
        return class_names({part: s.targets for part, s in splits.items()}, given, where, ignored=ENDED)

    def output(self, targets: AnyArray, names: tuple[str, ...]) -> int | Shape:
        return (int(targets.shape[1]), len(names))

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        shares = log_shares(train.targets, split.targets, ignored=ENDED)
        outputs = np.broadcast_to(shares, (*split.targets.shape, len(shares)))
        return "answering the most frequent class at every step, as likely as it was in training", outputs

    def gives(self, output: int | Shape) -> str:
        return f"tells {output[1] if isinstance(output, tuple) else output} classes of every step"

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        from torch.nn import functional as F

        total = F.cross_entropy(
            outputs.movedim(2, 1), targets, ignore_index=ENDED, label_smoothing=label_smoothing, reduction="sum"
        )
        return total / (targets != ENDED).sum().clamp_min(1)

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        student, taught = (x.reshape(-1, x.shape[2]) for x in (outputs, teacher))
        return divergence(student, taught, temperature=temperature)


@dataclass(frozen=True, slots=True)
class StepLabels(Targets):
    """Any number of labels for every step, [N, time, labels] of 0 and 1; -1 after the end of a sequence."""

    input_axes: ClassVar[tuple[int, ...]] = (3,)
    inputs_wanted: ClassVar[str] = "sequences [N, time, features]"
    answers: ClassVar[ModuleType] = several_answers
    primary: ClassVar[Objective] = Objective(metric="nll", direction="minimize")
    others: ClassVar[Mapping[str, Direction]] = {"step_f1": "maximize"}
    aligned: ClassVar[bool] = True

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        if targets.ndim != 3:
            raise DataError(f"{part} has targets of shape {targets.shape}; give [N, time, labels] of 0 and 1")
        _require_steps(targets, inputs, part)
        if targets.dtype.kind not in "buif" or not np.isin(targets, (0, 1, ENDED)).all():
            raise DataError(f"{part} has targets that are neither 0 nor 1 (nor {ENDED} after the end of a sequence)")
        return targets.astype(np.int8)

    def names(self, splits: Mapping[str, Split], given: tuple[str, ...], where: str) -> tuple[str, ...]:
        count = splits["train"].targets.shape[2]
        if given and len(given) != count:
            raise DataError(f"{where}: {len(given)} class names are given for {count} labels; name every one")
        return given or tuple(str(number) for number in range(count))

    def output(self, targets: AnyArray, names: tuple[str, ...]) -> int | Shape:
        return (int(targets.shape[1]), int(targets.shape[2]))

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        known = train.targets[(train.targets >= 0).all(axis=2)]
        share = (known.sum(axis=0) + 0.5) / (len(known) + 1)
        outputs = np.broadcast_to(np.log(share / (1 - share)).astype(np.float32), split.targets.shape)
        return "giving every step each label's share in training", outputs

    def gives(self, output: int | Shape) -> str:
        return f"tells which of {output[1] if isinstance(output, tuple) else output} labels every step has"

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        from torch.nn import functional as F

        known = (targets >= 0).all(dim=2)
        each = F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype), reduction="none")
        return (each.sum(dim=2) * known).sum() / known.sum().clamp_min(1)

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        from torch.nn import functional as F

        taught = (teacher / temperature).sigmoid()
        each = F.binary_cross_entropy_with_logits(outputs / temperature, taught, reduction="none")
        return each.sum(dim=2).mean() * temperature * temperature


def _require_steps(targets: AnyArray, inputs: AnyArray, part: str) -> None:
    if targets.shape[1] != inputs.shape[1]:
        raise DataError(
            f"{part} has targets of {targets.shape[1]} steps for inputs of {inputs.shape[1]} steps; "
            "give a target for every step"
        )
