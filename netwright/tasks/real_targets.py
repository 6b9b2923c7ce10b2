"""Targets that are real numbers: values of a sample, the next rows of a series, or whole images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from netwright.core.errors import DataError
from netwright.core.records import Direction, Objective
from netwright.core.shapes import Shape
from netwright.tasks.answers import forecasts as forecast_answers
from netwright.tasks.answers import images as image_answers
from netwright.tasks.answers import values as value_answers
from netwright.tasks.data import AnyArray, Preprocessing, Split
from netwright.tasks.targets import Facts, Targets, finite

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class RealValues(Targets):
    """One or more real values per sample, [N] or [N, values]; networks learn them standardised, unless told not to.

    `columns` names the values where a table does.
    """

    standardise: bool = True
    columns: tuple[str, ...] = ()

    input_axes: ClassVar[tuple[int, ...]] = (2, 3, 4)
    inputs_wanted: ClassVar[str] = (
        "rows of values [N, values], sequences [N, time, features] or images [N, channels, height, width]"
    )
    answers: ClassVar[ModuleType] = value_answers
    primary: ClassVar[Objective] = Objective(metric="rmse", direction="minimize")
    others: ClassVar[Mapping[str, Direction]] = {"mae": "minimize", "r2": "maximize", "nmse_db": "minimize"}

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        if targets.ndim not in (1, 2) or targets.size == 0:
            raise DataError(f"{part} has targets of shape {targets.shape}; give one value per sample, or [N, values]")
        return finite(targets.reshape(len(targets), -1), part)

    def output(self, targets: AnyArray, names: tuple[str, ...]) -> int | Shape:
        return int(targets.shape[1])

    def settings(self, train: Split, preprocessing: Preprocessing, names: tuple[str, ...]) -> dict[str, Any]:
        found = Preprocessing.of(train.targets)
        if bool((np.ptp(train.targets, axis=0) == 0).all()):
            raise DataError("all training targets are the same value; there is nothing to learn")
        if not self.standardise:
            found = found.without()
        return {"mean": list(found.mean), "std": list(found.std)}

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        mean = (train.targets.mean(axis=0) - np.asarray(settings["mean"])) / np.asarray(settings["std"])
        outputs = np.broadcast_to(mean.astype(np.float32), split.targets.shape)
        return "always answering the mean of the training targets", outputs

    def gives(self, output: int | Shape) -> str:
        return f"gives {output} value{'s' if output != 1 else ''}{self._named()}"

    def _named(self) -> str:
        return f": {', '.join(self.columns)}" if self.columns else ""

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        return (outputs - standardised(targets, settings)).square().mean()

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        return (outputs - teacher).square().mean()

    def same(self, outputs: AnyArray, others: AnyArray, settings: Facts) -> float | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts(RealValues):
    """The next `rows` rows of a series, flat: [N, rows * columns].

    `training` gives the places of the columns among the inputs, and their rows [time, columns] in the training part,
    whose deviations are the units of the loss. `relative` says that targets count from the last row seen, so that
    nothing need be added to them.
    """

    rows: int
    training: Callable[[], tuple[list[int], AnyArray]]
    relative: bool = False

    input_axes: ClassVar[tuple[int, ...]] = (3,)
    answers: ClassVar[ModuleType] = forecast_answers
    primary: ClassVar[Objective] = Objective(metric="standardised_mse", direction="minimize")
    others: ClassVar[Mapping[str, Direction]] = {"rmse": "minimize", "mae": "minimize"}

    def settings(self, train: Split, preprocessing: Preprocessing, names: tuple[str, ...]) -> dict[str, Any]:
        found = Preprocessing.of(self.training()[1])
        mean = [0.0] * len(found.mean) if self.relative else list(found.mean)
        return {"mean": mean * self.rows, "std": list(found.std) * self.rows, "rows": self.rows}

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        last = split.inputs[:, -1, self.training()[0]]
        found = np.zeros_like(split.targets) if self.relative else np.tile(last, (1, self.rows))
        outputs = (found - np.asarray(settings["mean"])) / np.asarray(settings["std"])
        return "repeating the last row", outputs.astype(np.float32)

    def gives(self, output: int | Shape) -> str:
        assert isinstance(output, int)
        columns = output // self.rows
        steps = f"the next {self.rows} rows" if self.rows > 1 else "the next row"
        return f"gives {steps} of {columns} column{'s' if columns > 1 else ''}{self._named()}"


@dataclass(frozen=True, slots=True)
class Images(Targets):
    """An image per sample, [N, channels, height, width]; of the inputs' size or of another.

    They are learnt in the units that networks get their inputs in where both have as many channels, so that a
    result may be the input plus a correction; else standardised by themselves. `peak` is the range of a pixel.
    """

    loss_kind: Literal["l1", "l2"] = "l2"
    peak: float | None = None

    input_axes: ClassVar[tuple[int, ...]] = (4,)
    inputs_wanted: ClassVar[str] = "images [N, channels, height, width]"
    answers: ClassVar[ModuleType] = image_answers
    primary: ClassVar[Objective] = Objective(metric="psnr", direction="maximize")
    aligned: ClassVar[bool] = True

    def checked(self, targets: AnyArray, inputs: AnyArray, part: str) -> AnyArray:
        if targets.ndim != 4 or targets.size == 0:
            raise DataError(f"{part} has targets of shape {targets.shape}; give images [N, channels, height, width]")
        return targets if targets.dtype == np.uint8 else finite(targets, part)

    def output(self, targets: AnyArray, names: tuple[str, ...]) -> int | Shape:
        return tuple(int(size) for size in targets.shape[1:])

    def settings(self, train: Split, preprocessing: Preprocessing, names: tuple[str, ...]) -> dict[str, Any]:
        alike = train.inputs.shape[1] == train.targets.shape[1] and train.inputs.dtype == train.targets.dtype
        found = preprocessing if alike else Preprocessing.of(train.targets)
        peak = self.peak or (255.0 if train.targets.dtype == np.uint8 else float(np.ptp(train.targets)))
        if not peak > 0:
            raise DataError("all pixels of the training targets are the same; there is nothing to learn")
        return {
            "scale": found.scale,
            "mean": list(found.mean),
            "std": list(found.std),
            "peak": peak,
            "loss": self.loss_kind,
        }

    def naive(self, train: Split, split: Split, settings: Facts) -> tuple[str, AnyArray] | None:
        if split.inputs.shape != split.targets.shape or split.inputs.dtype != split.targets.dtype:
            return None
        found = Preprocessing(settings["scale"], tuple(settings["mean"]), tuple(settings["std"]))
        return "giving the input as it is", found(split.inputs)

    def gives(self, output: int | Shape) -> str:
        return f"gives an image of shape {list(output) if isinstance(output, tuple) else output}"

    def loss(self, outputs: Tensor, targets: Tensor, settings: Facts, *, label_smoothing: float = 0.0) -> Tensor:
        error = outputs - standardised(targets, settings)
        return error.abs().mean() if self.loss_kind == "l1" else error.square().mean()

    def soft_loss(self, outputs: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
        error = outputs - teacher
        return error.abs().mean() if self.loss_kind == "l1" else error.square().mean()

    def same(self, outputs: AnyArray, others: AnyArray, settings: Facts) -> float | None:
        return None


def standardised(targets: Tensor, settings: Facts) -> Tensor:
    """Targets [N, channels, ...] in the units that networks learn: (x * scale - mean) / std."""
    shape = (1, -1, *[1] * (targets.ndim - 2))
    values = targets if targets.is_floating_point() else targets.float()
    mean, std = (values.new_tensor(settings[name]).reshape(shape) for name in ("mean", "std"))
    scale: float = settings.get("scale", 1.0)
    return (values * scale - mean) / std
