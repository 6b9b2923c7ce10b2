"""Samples that belong together, such as those of one speaker or patient, go into one part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, IntArray

DRAWINGS = 200
"""Of so many random choices of groups the one is taken in which classes keep their shares best."""


def group_numbers(groups: AnyArray, *, samples: int, parts: int, where: str) -> IntArray:
    """The number of each sample's group [N]; raises DataError when there are too few, or not one per sample."""
    if groups.shape != (samples,):
        raise DataError(f"{where} has {len(groups)} groups for {samples} training samples; give one group per sample")
    if groups.dtype.kind == "f" and np.isnan(groups).any():
        raise DataError(f"{where}: {int(np.isnan(groups).sum())} groups are nan; give one group per sample")
    names, numbers = np.unique(groups, return_inverse=True)
    if len(names) < parts:
        raise DataError(f"{where}: {len(names)} groups are too few to split into {parts} parts; add some")
    return numbers.astype(np.int64)


def taken_groups(
    groups: IntArray, strata: IntArray, fraction: float, *, seed: int, names: Sequence[str], where: str
) -> npt.NDArray[np.bool_]:
    """Whether each sample [N] is taken: whole groups, together about `fraction` of every stratum.

    Raises DataError when a stratum, of classes one class, would have no sample left.
    """
    numbers, group = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(numbers), int(strata.max()) + 1))
    np.add.at(counts, (group, strata), 1)
    wanted, rng = fraction * counts.sum(axis=0), np.random.default_rng(seed)
    best, chosen = np.inf, np.empty(0, np.int64)
    for _ in range(DRAWINGS):
        order = rng.permutation(len(numbers))[:-1]
        sums = counts[order].cumsum(axis=0)
        whole = (sums < counts.sum(axis=0)).all(axis=1)
        error = np.where(whole, np.abs(sums - wanted).sum(axis=1), np.inf)
        if error.min(initial=np.inf) < best:
            best, chosen = error.min(), order[: int(error.argmin()) + 1]
    if not len(chosen):
        rare = int((counts > 0).sum(axis=0).argmin())
        label = names[rare] if names else str(rare)
        raise DataError(f"{where}: class {label!r} is in so few groups that none is left to train on; add groups")
    return np.isin(group, chosen)
