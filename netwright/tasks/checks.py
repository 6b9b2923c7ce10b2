"""Is this data fit to train on? Each thing that can be wrong gets one sentence that says what to do."""

from __future__ import annotations

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, IntArray, Pair, Split

RENUMBER = "renumber them from 0, for example with numpy.unique(targets, return_inverse=True)[1]"


def checked(arrays: Arrays, *, where: str) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The parts as splits, and the names of the classes; raises DataError that starts with `where`."""
    splits = {name: _split(pair, f"{where}: the {name} part") for name, pair in arrays.parts().items()}
    _check_same_shape(splits, where)
    return splits, _classes(splits, arrays.classes, where)


def _split(pair: Pair, part: str) -> Split:
    inputs, targets = np.asarray(pair[0]), np.asarray(pair[1])
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) == 0 or len(targets) == 0:
        raise DataError(f"{part} is empty; at least one input and one target are needed")
    if len(inputs) != len(targets):
        raise DataError(f"{part} has {len(inputs)} inputs and {len(targets)} targets; give one target per input")
    return Split(_inputs(inputs, part), _targets(targets, part))


def _inputs(inputs: AnyArray, part: str) -> AnyArray:
    if inputs.ndim not in (3, 4):
        raise DataError(
            f"{part} has inputs of shape {inputs.shape}; "
            "give images [N, channels, height, width] or sequences [N, time, features]"
        )
    if inputs.size == 0:
        raise DataError(f"{part} has inputs of shape {inputs.shape}, which hold no value; every axis needs one")
    if inputs.dtype.kind not in "buif":
        raise DataError(f"{part} has inputs of the type {inputs.dtype}; give numbers, best uint8 or float32")
    if inputs.dtype == np.uint8:
        return _frozen(inputs)
    with np.errstate(over="ignore"):
        result = inputs.astype(np.float32)
    bad = int(result.size - np.count_nonzero(np.isfinite(result)))
    if bad:
        raise DataError(
            f"{part} has {bad} of {result.size} input values that are nan, infinite or too large for float32; "
            "remove or fill them"
        )
    return _frozen(result)


def _targets(targets: AnyArray, part: str) -> IntArray:
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1:
        raise DataError(
            f"{part} has targets of shape {targets.shape}; give one class number per sample "
            "(for one-hot targets: targets.argmax(1))"
        )
    if targets.dtype.kind not in "ui":
        raise DataError(
            f"{part} has targets of the type {targets.dtype}; whole numbers from 0 are expected: {RENUMBER}"
        )
    if targets.min() < 0:
        raise DataError(f"{part} has the negative label {targets.min()}; {RENUMBER}")
    if targets.max() >= np.iinfo(np.int32).max:
        raise DataError(f"{part} has the label {targets.max()}, which is out of range; {RENUMBER}")
    return _frozen(targets.astype(np.int64))


def _frozen(array: AnyArray) -> AnyArray:
    """The same values, read-only: the data is shared by all users in the process."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


def _check_same_shape(splits: dict[str, Split], where: str) -> None:
    train = splits["train"].inputs
    for name, split in splits.items():
        if split.inputs.shape[1:] != train.shape[1:]:
            raise DataError(
                f"{where}: a {name} input has the shape {split.inputs.shape[1:]}, a train input {train.shape[1:]}; "
                "all parts must agree"
            )
        if split.inputs.dtype != train.dtype:
            raise DataError(
                f"{where}: the {name} inputs are {split.inputs.dtype}, the train inputs {train.dtype}; "
                "store all parts in one type"
            )


def _classes(splits: dict[str, Split], names: tuple[str, ...], where: str) -> tuple[str, ...]:
    present = np.unique(splits["train"].targets)
    count = len(names) or int(present[-1]) + 1
    for part, split in splits.items():
        highest = int(split.targets.max())
        if highest >= count:
            raise DataError(
                f"{where}: the {part} part has the label {highest}, out of range for {count} classes "
                f"(0 to {count - 1}); {'name every class' if names else 'every class needs training samples'}"
            )
    if len(present) == 1:
        raise DataError(f"{where}: all training samples are of one class; at least two classes are needed")
    if len(present) < count:
        gap = int(np.flatnonzero(~np.isin(np.arange(min(count, len(present) + 1)), present))[0])
        if names:
            raise DataError(f"{where}: class {names[gap]!r} has no training sample; add some or leave it out")
        raise DataError(f"{where}: the labels are not contiguous: no training sample has the label {gap}; {RENUMBER}")
    return tuple(str(name) for name in names) or tuple(str(number) for number in range(count))
