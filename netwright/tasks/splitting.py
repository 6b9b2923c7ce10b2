"""Splits fixed by a seed: every class keeps its share in each of them."""

from __future__ import annotations

import numpy as np

from netwright.core.errors import DataError
from netwright.core.seeds import derive_seed
from netwright.tasks.checks import checked
from netwright.tasks.data import Arrays, HeldOut, IntArray, Preprocessing, Split, TaskData, fingerprint_of


def prepared(  # one place turns arrays into data; its arguments are the base's fields
    arrays: Arrays,
    *,
    where: str,
    validation_fraction: float,
    test_fraction: float,
    calibration_samples: int,
    seed: int,
) -> TaskData:
    """Check the arrays and split them; raises DataError that starts with `where`."""
    splits, classes = checked(arrays, where=where)
    train = splits["train"]
    missing = [part for part in ("test", "validation") if part not in splits]
    _check_enough(train, classes, parts=1 + len(missing), where=where)
    for part in missing:
        # Both fractions are of all given samples, so the second one is larger in what is left.
        fraction = test_fraction if part == "test" else validation_fraction
        share = fraction * len(splits["train"]) / len(train)
        train, splits[part] = _parted(train, share, seed=derive_seed("split", part, seed))
    order = stratified_order(train.targets, seed=derive_seed("calibration", seed))
    parts = (train, splits["validation"], splits["test"])
    return TaskData(
        train=train,
        validation=splits["validation"],
        test=HeldOut(splits["test"]),
        calibration=train.take(np.sort(order[:calibration_samples])),
        preprocessing=Preprocessing.of(train.inputs),
        classes=classes,
        fingerprint=fingerprint_of(parts, classes),
    )


def stratified_order(targets: IntArray, *, seed: int) -> IntArray:
    """A random order of all samples in which every beginning holds each class in about its share."""
    rng = np.random.default_rng(seed)
    position = np.empty(len(targets))
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        ranks = rng.permutation(len(members)) + rng.random()
        position[members] = ranks / len(members)
    return np.argsort(position, kind="stable").astype(np.int64)


def _parted(split: Split, fraction: float, *, seed: int) -> tuple[Split, Split]:
    """What stays and what is taken: of each class `fraction`, at least one and never the last one."""
    rng = np.random.default_rng(seed)
    taken = np.zeros(len(split), dtype=bool)
    for label in np.unique(split.targets):
        members = rng.permutation(np.flatnonzero(split.targets == label))
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        taken[members[:count]] = True
    return split.take(np.flatnonzero(~taken)), split.take(np.flatnonzero(taken))


def _check_enough(train: Split, classes: tuple[str, ...], *, parts: int, where: str) -> None:
    counts = np.bincount(train.targets, minlength=len(classes))
    rarest = int(counts.argmin())
    if counts[rarest] < parts:
        raise DataError(
            f"{where}: class {classes[rarest]!r} has {counts[rarest]} training sample(s), too few to split into "
            f"{parts} parts; add samples or leave the class out"
        )
