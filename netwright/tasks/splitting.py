"""Splits fixed by a seed: every class keeps its share in each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from netwright.core.seeds import derive_seed
from netwright.tasks.checks import checked, frozen
from netwright.tasks.data import AnyArray, Arrays, HeldOut, IntArray, Preprocessing, Split, TaskData, fingerprint_of
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
    splits = with_all_parts(splits, targets, names=classes, fractions=fractions, seed=seed, where=where)
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
    )


def with_all_parts(
    splits: Mapping[str, Split],
    targets: Targets,
    *,
    names: tuple[str, ...],
    fractions: Mapping[str, float],
    seed: int,
    where: str,
) -> dict[str, Split]:
    """The splits with those that are missing taken off the training part; raises DataError when it is too small.

    A task that learns from the training part while it loads, such as a vocabulary, calls this itself.
    """
    found, given = dict(splits), len(splits["train"])
    targets.check_enough(splits["train"], names, parts=4 - len(splits), where=where)
    for part in ("test", "validation"):
        if part in splits:
            continue
        # Both fractions are of all given samples, so the second one is larger in what is left.
        train = found["train"]
        share = fractions[part] * given / len(train)
        groups = targets.strata(train.targets)
        found["train"], found[part] = _parted(train, groups, share, seed=derive_seed("split", part, seed))
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


def _parted(split: Split, groups: IntArray, fraction: float, *, seed: int) -> tuple[Split, Split]:
    """What stays and what is taken: of each group `fraction`, at least one and never the last one."""
    rng = np.random.default_rng(seed)
    taken = np.zeros(len(split), dtype=bool)
    for label in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        taken[members[:count]] = True
    return split.take(np.flatnonzero(~taken)), split.take(np.flatnonzero(taken))
