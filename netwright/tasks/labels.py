"""Labels as people store them, texts or any whole values, turned into class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import AnyArray, Arrays


def numbered(arrays: Arrays, *, where: str, blank: int | None = None) -> Arrays:
    """The same data with class numbers for texts, truth values and whole values; others stay as they are.

    Texts become the names of the classes: in the order of the given names, or else of the alphabet. So do whole values
    that do not count from 0, such as -1 and 1, unless names are given. Blanks around texts do not count. An empty text
    becomes the number `blank`. Raises DataError that starts with `where` when there is none, or a text is no class of
    the training part.
    """
    train = np.asarray(arrays.train[1])
    if train.dtype.kind not in "US":
        arrays = arrays.with_targets(_whole)
        values = _named(arrays)
        if values is None:
            return arrays
        arrays = replace(arrays.with_targets(lambda targets: targets.astype(str)), classes=values)
    found = arrays.classes or [name for name in np.unique(np.char.strip(train.astype(str))) if name or blank is None]
    names = tuple(str(name).strip() for name in found)
    numbers = {name: number for number, name in enumerate(names)} | ({} if blank is None else {"": blank})

    def made(targets: AnyArray) -> AnyArray:
        texts = np.char.strip(targets.astype(str))
        if blank is None and (empty := int((texts == "").sum())):
            raise DataError(
                f"{where}: {empty} of {texts.size} labels are empty; remove those samples, or give them a class"
            )
        unknown = sorted(set(texts.ravel().tolist()) - set(numbers))
        if unknown:
            near = suggestion(unknown[0], names)
            raise DataError(f"{where}: the label {unknown[0]!r} is no class of the training samples{near}")
        found = np.array([numbers[text] for text in texts.ravel().tolist()], np.int64)
        return found.reshape(texts.shape)

    changed = arrays.with_targets(made)
    return replace(changed, classes=names)


def alike(names: Sequence[str]) -> tuple[str, ...]:
    """A line for whoever brought the data, where names of classes differ by case alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.casefold(), []).append(repr(name))
    found = ", ".join(" and ".join(group) for group in groups.values() if len(group) > 1)
    return (f"classes whose names differ by case alone: {found}; write them alike if they are one",) if found else ()


def _named(arrays: Arrays) -> tuple[str, ...] | None:
    """The whole values of the training targets in their order, if they need names; None where they count from 0."""
    targets = arrays.train[1]
    if arrays.classes or targets.dtype.kind not in "ui" or not targets.size or targets.ndim != 1:
        return None
    values = np.unique(targets)
    return None if values[0] == 0 and values[-1] == len(values) - 1 else tuple(str(value) for value in values)


def _whole(targets: AnyArray) -> AnyArray:
    kind = targets.dtype.kind
    if kind == "b" or (kind == "f" and np.isfinite(targets).all() and bool((targets == np.round(targets)).all())):
        return targets.astype(np.int64)
    return targets
