"""The values a task's data is made of: arrays as given, splits, preprocessing, the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from netwright.core.errors import DataError

AnyArray = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

VALUES_AT_ONCE = 1 << 24
"""Statistics are taken of so many values at once, in float64."""

Pair = tuple[AnyArray, AnyArray]
"""Inputs and targets, one row each per sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """What `Task.load` gives: raw data, not yet checked or split.

    Inputs are images [N, channels, height, width], sequences [N, time, features] or rows [N, values]; targets are class
    numbers [N] from 0, or what the task's kind of target takes. A missing `validation` or `test` part is split off
    `train`. `classes` names the classes; left empty, they are called by their number. `reading` holds what the task's
    reader made numbers of raw inputs by, such as a vocabulary, as plain JSON. `groups` [N] tells what training samples
    belong together, such as those of one speaker: parts that are split off hold whole groups.
    """

    train: Pair
    validation: Pair | None = None
    test: Pair | None = None
    classes: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    groups: AnyArray | None = None

    @classmethod
    def of(cls, parts: Mapping[str, Pair], **others: Any) -> Arrays:
        """The parts that there are, by name, with the other fields."""
        return cls(train=parts["train"], validation=parts.get("validation"), test=parts.get("test"), **others)

    def parts(self) -> dict[str, Pair]:
        """The parts that are there, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: pair for name, pair in found.items() if pair is not None}

    def with_inputs(self, change: Callable[[AnyArray], AnyArray]) -> Arrays:
        """The same parts with changed inputs; empty ones stay, for the check of the data to refuse."""
        return self._with(lambda pair: (change(pair[0]) if np.size(pair[0]) else pair[0], pair[1]))

    def with_targets(self, change: Callable[[AnyArray], AnyArray]) -> Arrays:
        """The same parts with changed targets; empty ones stay, for the check of the data to refuse."""
        return self._with(lambda pair: (pair[0], change(pair[1]) if np.size(pair[1]) else pair[1]))

    def _with(self, change: Callable[[Pair], Pair]) -> Arrays:
        done = {name: change(pair) for name, pair in self.parts().items()}
        return replace(self, train=done["train"], validation=done.get("validation"), test=done.get("test"))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Some samples: `inputs` [N, *shape] as stored (uint8 or float32), `targets` [N] int64, or [N, *shape] as the
    task's kind of target stores them.
    """

    inputs: AnyArray
    targets: AnyArray

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: IntArray) -> Split:
        """The samples at these positions, read-only as all shared data."""
        inputs, targets = self.inputs[index], self.targets[index]
        inputs.setflags(write=False)
        targets.setflags(write=False)
        return Split(inputs, targets)


class HeldOut:
    """The test split behind a counter: measuring progress on it would spoil it, so each read is counted."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._reads = 0

    def __len__(self) -> int:
        return len(self._split)

    @property
    def reads(self) -> int:
        """How often the split was read in this process."""
        return self._reads

    def read(self) -> Split:
        """The test split; counts as one read."""
        self._reads += 1
        return self._split


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How stored inputs become the network's inputs: `(x * scale - mean) / std` in float32.

    `mean` and `std` hold one value per channel (images) or feature (sequences), found along `axis` of a
    batch: 1 for images [N, C, H, W], 2 for sequences [N, T, F].
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    axis: int = 1

    def __call__(self, inputs: AnyArray) -> FloatArray:
        """A batch of stored inputs [N, *shape] as float32 of the same shape; raises DataError on a misfit."""
        if inputs.ndim <= self.axis or inputs.shape[self.axis] != len(self.mean):
            raise DataError(
                f"a batch with {len(self.mean)} values along axis {self.axis} was expected, "
                f"came the shape {inputs.shape}; add the batch axis or check the layout"
            )
        shape = self.shape(inputs.ndim)
        result = inputs.astype(np.float32)
        result *= np.float32(self.scale)
        result -= np.asarray(self.mean, np.float32).reshape(shape)
        result /= np.asarray(self.std, np.float32).reshape(shape)
        return result

    def shape(self, ndim: int) -> tuple[int, ...]:
        """The shape in which `mean` and `std` broadcast against a batch of `ndim` axes."""
        return tuple(len(self.mean) if axis == self.axis else 1 for axis in range(ndim))

    def without(self) -> Preprocessing:
        """The same for inputs that are left as they are: their float32 values alone."""
        count = len(self.mean)
        return Preprocessing(scale=1.0, mean=(0.0,) * count, std=(1.0,) * count, axis=self.axis)

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale, "mean": list(self.mean), "std": list(self.std), "axis": self.axis}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocessing:
        return cls(
            scale=float(data["scale"]),
            mean=tuple(float(value) for value in data["mean"]),
            std=tuple(float(value) for value in data["std"]),
            axis=int(data["axis"]),
        )

    @classmethod
    def of(cls, inputs: AnyArray) -> Preprocessing:
        """Statistics of stored inputs [N, *shape]; uint8 is scaled to 0..1, a constant channel is only centred."""
        scale = 1 / 255 if inputs.dtype == np.uint8 else 1.0
        axis = 1 if inputs.ndim == 4 else inputs.ndim - 1
        rest = tuple(other for other in range(inputs.ndim) if other != axis)
        count = inputs.size // inputs.shape[axis]
        chunk = max(1, min(4096, VALUES_AT_ONCE * len(inputs) // inputs.size))
        mean = np.zeros(inputs.shape[axis])
        for start in range(0, len(inputs), chunk):
            mean += inputs[start : start + chunk].sum(axis=rest, dtype=np.float64) * scale / count
        shape = tuple(-1 if other == axis else 1 for other in range(inputs.ndim))
        variance = np.zeros_like(mean)
        for start in range(0, len(inputs), chunk):
            centred = inputs[start : start + chunk].astype(np.float64) * scale - mean.reshape(shape)
            variance += np.square(centred).sum(axis=rest) / count
        std = np.sqrt(variance)
        # A constant channel leaves rounding noise as its deviation; dividing by it would blow it up.
        std = np.where(std > np.maximum(1e-6 * np.abs(mean), np.finfo(np.float32).tiny), std, 1.0)
        return cls(scale, tuple(mean.tolist()), tuple(std.tolist()), axis)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TaskData:
    """A task's data, checked and split.

    `calibration` is a fixed random part of `train`, `preprocessing` holds statistics of `train` only,
    `classes` the names of the classes in the order of their numbers, `answers` what must be known to read outputs
    (plain JSON), `reading` what raw inputs were made numbers by, `fingerprint` the SHA-256 of all arrays, `repeated`
    how many validation and test inputs are among the training inputs too.
    """

    train: Split
    validation: Split
    test: HeldOut
    calibration: Split
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    fingerprint: str
    answers: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    repeated: int = 0


def repeated_in(train: Split, *others: Split) -> int:
    """How many inputs of other splits are among those of `train`, value by value."""
    known = {hash(one.tobytes()) for one in train.inputs}
    return sum(hash(one.tobytes()) in known for other in others for one in other.inputs)


def too_close(values: AnyArray) -> bool:
    """Whether rounding to float32 moves any column of [N, ...] by more than a hundredth of its deviation."""
    with np.errstate(over="ignore", invalid="ignore"):
        exact = values.astype(np.float64)
        moved = np.square(exact.astype(np.float32) - exact).mean(axis=0)
        return bool(((moved > (0.01 * exact.std(axis=0)) ** 2) & (np.ptp(exact, axis=0) > 0)).any())


def fingerprint_of(splits: Iterable[Split], classes: tuple[str, ...]) -> str:
    """SHA-256 over the types, shapes and bytes of all arrays, and the names of the classes."""
    digest = hashlib.sha256(repr(classes).encode())
    for split in splits:
        for array in (split.inputs, split.targets):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
