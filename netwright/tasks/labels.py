"""Labels as people store them, texts or any whole values, turned into class numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import AnyArray, Arrays


def numbered(arrays: Arrays, *, where: str) -> Arrays:
    """The same data with class numbers for texts, truth values and whole values; others stay as they are.

    Texts become the names of the classes: in the order of the given names, or else of the alphabet. So do whole values
    that do not count from 0, such as -1 and 1, unless names are given. Raises DataError
    that starts with `where` when a part has a text that is no class of the training part.
    """
    train = np.asarray(arrays.train[1])
    if train.dtype.kind not in "US":
        arrays = arrays.with_targets(_whole)
        values = _named(arrays)
        if values is None:
            return arrays
        arrays = replace(arrays.with_targets(lambda targets: targets.astype(str)), classes=values)
    names = arrays.classes or tuple(str(name) for name in np.unique(train.astype(str)))
    numbers = {name: number for number, name in enumerate(names)}

    def made(targets: AnyArray) -> AnyArray:
        texts = targets.astype(str)
        unknown = sorted(set(texts.ravel().tolist()) - set(names))
        if unknown:
            near = suggestion(unknown[0], names)
            raise DataError(f"{where}: the label {unknown[0]!r} is no class of the training samples{near}")
        found = np.array([numbers[text] for text in texts.ravel().tolist()], np.int64)
        return found.reshape(texts.shape)

    changed = arrays.with_targets(made)
    return replace(changed, classes=names)


def _named(arrays: Arrays) -> tuple[str, ...] | None:
    """The whole values of the training targets in their order, if they need names; None where they count from 0."""
    targets = arrays.train[1]
    if arrays.classes or targets.dtype.kind not in "ui" or not targets.size or targets.shape != (len(targets),):
        return None
    values = np.unique(targets)
    return None if values[0] == 0 and values[-1] == len(values) - 1 else tuple(str(value) for value in values)


def _whole(targets: AnyArray) -> AnyArray:
    kind = targets.dtype.kind
    if kind == "b" or (kind == "f" and np.isfinite(targets).all() and bool((targets == np.round(targets)).all())):
        return targets.astype(np.int64)
    return targets
