"""Is this data fit to train on? Each thing that can be wrong gets one sentence that says what to do."""

from __future__ import annotations

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Pair, Split, too_close
from netwright.tasks.targets import Targets


def checked(arrays: Arrays, targets: Targets, *, where: str) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The parts as splits, and the names of the classes; raises DataError that starts with `where`."""
    splits = {name: _split(pair, targets, f"{where}: the {name} part") for name, pair in arrays.parts().items()}
    _check_same_shape(splits, where)
    values = np.asarray(arrays.train[1])
    if values.ndim <= 2 and splits["train"].targets.dtype == np.float32 and too_close(values):
        raise DataError(
            f"{where}: training targets differ too little for 32-bit floats, such as {values.max()!s}; subtract what "
            "they have in common"
        )
    return splits, targets.names(splits, arrays.classes, where)


def _split(pair: Pair, kind: Targets, part: str) -> Split:
    inputs, targets = np.asarray(pair[0]), np.asarray(pair[1])
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) == 0 or len(targets) == 0:
        raise DataError(f"{part} is empty; at least one input and one target are needed")
    if len(inputs) != len(targets):
        raise DataError(f"{part} has {len(inputs)} inputs and {len(targets)} targets; give one target per input")
    inputs = _inputs(inputs, kind, part)
    return Split(inputs, frozen(kind.checked(targets, inputs, part)))


def _inputs(inputs: AnyArray, kind: Targets, part: str) -> AnyArray:
    if inputs.ndim not in kind.input_axes:
        raise DataError(f"{part} has inputs of shape {inputs.shape}; give {kind.inputs_wanted}")
    if inputs.size == 0:
        raise DataError(f"{part} has inputs of shape {inputs.shape}, which hold no value; every axis needs one")
    if inputs.dtype.kind not in "buif":
        raise DataError(f"{part} has inputs of the type {inputs.dtype}; give numbers, best uint8 or float32")
    if inputs.dtype == np.uint8:
        return frozen(inputs)
    with np.errstate(over="ignore"):
        result = inputs.astype(np.float32, copy=False)
    bad = int(result.size - np.count_nonzero(np.isfinite(result)))
    if bad:
        raise DataError(
            f"{part} has {bad} of {result.size} input values that are nan, infinite or too large for float32; "
            "remove or fill them"
        )
    return frozen(result)


def frozen(array: AnyArray) -> AnyArray:
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
        if split.targets.shape[1:] != splits["train"].targets.shape[1:]:
            raise DataError(
                f"{where}: a {name} target has the shape {split.targets.shape[1:]}, a train target "
                f"{splits['train'].targets.shape[1:]}; all parts must agree"
            )
        if split.inputs.dtype != train.dtype:
            raise DataError(
                f"{where}: the {name} inputs are {split.inputs.dtype}, the train inputs {train.dtype}; "
                "store all parts in one type"
            )
