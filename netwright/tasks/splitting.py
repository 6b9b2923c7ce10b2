"""Splits fixed by a seed: every class keeps its share in each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from netwright.core.seeds import derive_seed
from netwright.tasks.checks import checked, frozen
from netwright.tasks.data import (
    AnyArray,
    Arrays,
    HeldOut,
    IntArray,
    Preprocessing,
    Split,
    TaskData,
    fingerprint_of,
    repeated_in,
)
from netwright.tasks.grouping import group_numbers, taken_groups
from netwright.tasks.targets import ClassNumbers, Targets

CLASS_NUMBERS = ClassNumbers()


def unchanged(split: Split) -> Split:
    """The samples as they are."""
    return split


def prepared(  # one place turns arrays into data; its arguments are the base's fields
    arrays: Arrays,
    *,
    where: str,
    validation_fraction: float,
    test_fraction: float,
    calibration_samples: int,
    seed: int,
    targets: Targets = CLASS_NUMBERS,
    cut: Callable[[Split], Split] = unchanged,
    preprocess: Callable[[AnyArray], Preprocessing] = Preprocessing.of,
) -> TaskData:
    """Check the arrays and split them; raises DataError that starts with `where`.

    `cut` makes a split's samples into others after the splitting, so that pieces of one sample stay together.
    `preprocess` makes the preprocessing from the training inputs.
    """
    splits, classes = checked(arrays, targets, where=where)
    fractions = {"test": test_fraction, "validation": validation_fraction}
    splits = with_all_parts(
        splits, targets, names=classes, fractions=fractions, seed=seed, where=where, groups=arrays.groups
    )
    parts = [_shared(cut(splits[name])) for name in ("train", "validation", "test")]
    train = parts[0]
    order = stratified_order(targets.strata(train.targets), seed=derive_seed("calibration", seed))
    preprocessing = preprocess(train.inputs)
    return TaskData(
        train=train,
        validation=parts[1],
        test=HeldOut(parts[2]),
        calibration=train.take(np.sort(order[:calibration_samples])),
        preprocessing=preprocessing,
        classes=classes,
        answers=targets.settings(train, preprocessing, classes),
        reading=arrays.reading,
        fingerprint=fingerprint_of(parts, classes),
        repeated=repeated_in(*parts),
    )


def with_all_parts(
    splits: Mapping[str, Split],
    targets: Targets,
    *,
    names: tuple[str, ...],
    fractions: Mapping[str, float],
    seed: int,
    where: str,
    groups: AnyArray | None = None,
) -> dict[str, Split]:
    """The splits with those that are missing taken off the training part; raises DataError when it is too small.

    With `groups` [N] of the training samples each part has whole groups.
    A task that learns from the training part while it loads, such as a vocabulary, calls this itself.
    """
    found, given = dict(splits), len(splits["train"])
    parts = 4 - len(splits)
    targets.check_enough(splits["train"], names, parts=parts, where=where)
    group = None if groups is None or parts < 2 else group_numbers(groups, samples=given, parts=parts, where=where)
    for part in ("test", "validation"):
        if part in splits:
            continue
        # Both fractions are of all given samples, so the second one is larger in what is left.
        train = found["train"]
        share = fractions[part] * given / len(train)
        strata, part_seed = targets.strata(train.targets), derive_seed("split", part, seed)
        if group is None:
            taken = _taken(strata, share, seed=part_seed)
        else:
            taken = taken_groups(group, strata, share, seed=part_seed, names=names, where=where)
            group = group[~taken]
        found["train"], found[part] = train.take(np.flatnonzero(~taken)), train.take(np.flatnonzero(taken))
    return found


def _shared(split: Split) -> Split:
    return Split(frozen(split.inputs), frozen(split.targets))


def stratified_order(groups: IntArray, *, seed: int) -> IntArray:
    """A random order of all samples in which every beginning holds each group in about its share."""
    rng = np.random.default_rng(seed)
    position = np.empty(len(groups))
    for label in np.unique(groups):
        members = np.flatnonzero(groups == label)
        ranks = rng.permutation(len(members)) + rng.random()
        position[members] = ranks / len(members)
    return np.argsort(position, kind="stable").astype(np.int64)


def _taken(groups: IntArray, fraction: float, *, seed: int) -> npt.NDArray[np.bool_]:
    """Whether each sample is taken: of each group `fraction`, at least one and never the last one."""
    rng = np.random.default_rng(seed)
    taken = np.zeros(len(groups), dtype=bool)
    for label in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        taken[members[:count]] = True
    return taken
