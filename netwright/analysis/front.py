"""The Pareto front of a set of trials: who is on it, how much it covers, which point to take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from netwright.core.errors import UnknownNameError
from netwright.core.records import Objective, Trial, TrialState

MARGIN = 0.1
"""The reference point lies this share of the seen range beyond the worst value, so that the ends count."""


def candidates(trials: Iterable[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The trials that may be on the front: done, every objective measured, every bound kept.

    Of several trials of one architecture only the first is kept.
    """
    seen: dict[str, Trial] = {}
    for trial in trials:
        if trial.state is TrialState.DONE and trial.feasible(objectives):
            seen.setdefault(trial.identity, trial)
    return list(seen.values())


def losses_of(trials: Sequence[Trial], objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """The objectives as an array [trials, objectives] in which smaller is better.

    The trials must have all of them measured, as those of `candidates` do.
    """
    found = [trial.losses(objectives) for trial in trials]
    return np.array(found, dtype=np.float64).reshape(len(trials), len(objectives))


def pareto_front(trials: Iterable[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The candidates that no other candidate beats, best value of the first objective first.

    One trial beats another when it is no worse in every objective and better in at least one. Different
    architectures with equal values all stay.
    """
    possible = candidates(trials, objectives)
    if not possible or not objectives:
        return []
    losses = losses_of(possible, objectives)
    kept = np.flatnonzero(moocore.is_nondominated(losses, keep_weakly=True))
    order = sorted(kept, key=lambda row: (*losses[row], possible[row].number))
    return [possible[row] for row in order]


def reference_point(trials: Iterable[Trial], objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """The point up to which the hypervolume is measured, as values of the objectives; None without candidates.

    In an objective with a bound it is the bound; otherwise the worst value among all candidates, plus a
    tenth of the range seen. More trials can only move it outwards.
    """
    possible = candidates(trials, objectives)
    if not possible or not objectives:
        return None
    losses = losses_of(possible, objectives)
    worst = losses.max(axis=0)
    outside = worst + MARGIN * (worst - losses.min(axis=0))
    return tuple(
        float(o.bound if o.bound is not None else o.loss(value)) for o, value in zip(objectives, outside, strict=True)
    )


def hypervolume(
    trials: Iterable[Trial], objectives: Sequence[Objective], reference: Sequence[float] | None = None
) -> float:
    """The volume between the front and a reference point, in the product of the objectives' units.

    The reference is given as values of the objectives; by default it is `reference_point`. Two
    hypervolumes may be compared only when their reference is the same. Zero without candidates.
    """
    trials = list(trials)
    point = reference_point(trials, objectives) if reference is None else tuple(reference)
    front = pareto_front(trials, objectives)
    if not front or point is None:
        return 0.0
    return volume(losses_of(front, objectives), as_losses(point, objectives))


def volume(losses: NDArray[np.float64], reference: ArrayLike) -> float:
    """The hypervolume of points where smaller is better; points beyond the reference add nothing."""
    corner = np.asarray(reference)
    inside = losses[(losses < corner).all(axis=1)]
    if not len(inside):
        return 0.0
    # from six objectives on dominated points would cost more than all others
    return float(moocore.hypervolume(inside[moocore.is_nondominated(inside)], ref=corner))


def as_losses(values: Sequence[float], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Values of the objectives with their signs turned so that smaller is better."""
    return tuple(o.loss(value) for o, value in zip(objectives, values, strict=True))


def knee(trials: Iterable[Trial], objectives: Sequence[Objective]) -> Trial | None:
    """The balanced point of the front: nearest to the best of every objective; None on an empty front.

    Each objective is scaled to 0 (the best on the front) .. 1 (the worst on it) before distances are taken.
    """
    front = pareto_front(trials, objectives)
    if not front:
        return None
    losses = losses_of(front, objectives)
    low = losses.min(axis=0)
    spread = losses.max(axis=0) - low
    scaled = (losses - low) / np.where(spread > 0, spread, 1.0)
    return front[int(np.argmin(np.linalg.norm(scaled, axis=1)))]


def best_within_bounds(
    trials: Iterable[Trial], objectives: Sequence[Objective], metric: str | None = None
) -> Trial | None:
    """The trial with the best value of one objective among those that keep every bound; None without any.

    `metric` is the first objective by default. Ties go to the better value of the other objectives in
    their order, then to the earlier trial. Raises UnknownNameError when no objective is called `metric`.
    """
    names = [objective.metric for objective in objectives]
    wanted = names[0] if metric is None and names else metric or ""
    if wanted not in names:
        raise UnknownNameError("objective", wanted, names)
    first = names.index(wanted)
    ordered = [objectives[first], *objectives[:first], *objectives[first + 1 :]]
    front = pareto_front(trials, ordered)
    return front[0] if front else None
