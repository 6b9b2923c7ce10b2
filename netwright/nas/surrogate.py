"""What an untried architecture will measure and how sure that is: Gaussian processes, or ensembles of networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from netwright.nas.cascade import Cascade
from netwright.nas.ensemble import Ensemble, trained
from netwright.nas.evidence import Evidence, Key, Same, key_of, memo_key, space_of
from netwright.nas.kernel import Kernel, kernels_for
from netwright.nas.ranking import best_and_youngest
from netwright.nas.rows import Encoding, rows_of
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

Kind = Literal["gp", "ensemble"]

LENGTHS = (0.25, 0.4, 0.6, 1.0, 1.6, 2.5)
NOISES = (1e-4, 1e-2, 1e-1)
JITTER = 1e-8
FAR = 20.0
"""So many units of score beyond the measured ones a scale goes on."""
MOST = 300
"""So many trials are modelled: the best half and the youngest; more take long and hardly help."""
TUNED = 150
EVERY, TWENTIETH = 10, 20
"""Length and noise are chosen anew, from the youngest `TUNED`, and networks are trained anew, after `EVERY` results;
in a record of 400 and more after as many tens as make a twentieth of it."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Models fitted to a record, one for each objective; small values are good.

    `values` has a row for every modelled trial and a column for every objective. The kernel of a Gaussian process
    falls with the distance of two rows, one-hot the number of decisions that differ; how fast, and the noise, are the
    likeliest of a few. Both are chosen anew, and an ensemble is trained anew, after every ten results, from 400
    results on after every twenty, from 600 on after every thirty, and so on.
    """

    space: SearchSpace
    values: Array
    losses: Array
    keeping: NDArray[np.bool_]
    """Which of the trials keep every bound."""
    models: tuple[_Gaussian | Ensemble | Cascade | None, ...]
    encoding: Encoding = "one_hot"

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        evidence: Sequence[Evidence],
        *,
        lower: Sequence[Sequence[Evidence]] = (),
        pending: Sequence[Key] = (),
        known: Sequence[int] = (),
        kind: Kind = "gp",
        encoding: Encoding = "one_hot",
    ) -> Surrogate:
        """A model of trials that were measured; those that are pending count as measured as expected.

        The objectives at the places in `known` need no model. `lower` is what was measured at lower fidelities, the
        lowest first: every fidelity then is modelled on top of the one below.
        """
        if lower:
            there = {key_of(item.trial.decisions) for item in lower[-1]}
            first = [key for key in pending if key not in there]
            below = cls.fit(
                space, lower[-1], lower=lower[:-1], pending=first, known=known, kind=kind, encoding=encoding
            )
            return cls._on_top(below, evidence, pending=[key for key in pending if key in there])
        every = EVERY * max(1, len(evidence) // (EVERY * TWENTIETH))
        tuned = evidence[: max(len(evidence) // every * every, min(len(evidence), EVERY))]
        tuned = tuned[-TUNED:] if kind == "gp" else best_and_youngest(tuned, most=MOST)
        keys = tuple(key_of(item.trial.decisions) for item in tuned)
        scored = [tuple(axis.tolist()) for axis in _scores(_graded(tuned))]
        chosen = best_and_youngest(evidence, most=MOST)
        rows = rows_of(space, [key_of(item.trial.decisions) for item in chosen], encoding=encoding)
        losses = _graded(chosen)
        columns = _scores(losses)
        models: list[_Gaussian | Ensemble | None] = []
        for place, (values, scores) in enumerate(zip(columns, scored, strict=True)):
            if place in known:
                models.append(None)
                continue
            model: _Gaussian | Ensemble
            if kind == "ensemble":
                model = trained(memo_key(space), keys, scores, encoding)
            else:
                model = _Gaussian.fit(rows, values, *_likeliest(memo_key(space), keys, scores, encoding))
            models.append(model.believing(rows_of(space, pending, encoding=encoding)) if pending else model)
        keeping = np.array([item.violation == 0 for item in chosen])
        return cls(space, np.stack(columns, axis=1), np.array(losses).T, keeping, tuple(models), encoding)

    @classmethod
    def _on_top(cls, below: Surrogate, evidence: Sequence[Evidence], *, pending: Sequence[Key]) -> Surrogate:
        """A model of what was measured at a fidelity, given that of the fidelity below."""
        chosen = best_and_youngest(evidence, most=MOST)
        rows = rows_of(below.space, [key_of(item.trial.decisions) for item in chosen], encoding=below.encoding)
        losses = _graded(chosen)
        columns = _scores(losses)
        models: list[Cascade | None] = []
        for under, scores in zip(below.models, columns, strict=True):
            model = None if under is None else Cascade.fit(rows, scores, below=under)
            if model is not None and pending:
                model = model.believing(rows_of(below.space, pending, encoding=below.encoding))
            models.append(model)
        keeping = np.array([item.violation == 0 for item in chosen])
        values = np.stack(columns, axis=1)
        return cls(below.space, values, np.array(losses).T, keeping, tuple(models), below.encoding)

    def predict(
        self, keys: Sequence[Key], *, known: Mapping[int, Sequence[float]] | None = None
    ) -> tuple[Array, Array]:
        """Means and standard deviations, a row for every architecture and a column for every objective.

        `known` has the losses of these architectures for each objective without a model, which have no spread.
        """
        rows = rows_of(self.space, keys, encoding=self.encoding)
        means, spreads = [], []
        for place, model in enumerate(self.models):
            if model is None:
                assert known is not None
                mean, spread = self.scale(place).score(np.array(known[place])), np.zeros(len(keys))
            else:
                mean, spread = model.predict(rows)
            means.append(mean)
            spreads.append(spread)
        return np.stack(means, axis=1), np.stack(spreads, axis=1)

    def draw(
        self, keys: Sequence[Key], rng: np.random.Generator, *, known: Mapping[int, Sequence[float]] | None = None
    ) -> Array:
        """What one function drawn from each model says of these architectures (Thompson sampling).

        A row for every architecture and a column for every objective; `known` as for `predict`.
        """
        rows, drawn = rows_of(self.space, keys, encoding=self.encoding), []
        for place, model in enumerate(self.models):
            if model is None:
                assert known is not None
                drawn.append(self.scale(place).score(np.array(known[place])))
            else:
                drawn.append(model.draw(rows, rng))
        return np.stack(drawn, axis=1)

    def slopes(self, place: int) -> list[float]:
        """For each fidelity above the first, what a unit of one objective's score is worth there, in order."""
        found: list[float] = []
        model: object = self.models[place]
        while isinstance(model, Cascade):
            found.append(model.slope)
            model = model.below
        return found[::-1]

    def scale(self, place: int) -> Scale:
        """How losses of one objective and their scores hang together."""
        return Scale.of(self.losses[:, place], self.values[:, place])


@dataclass(frozen=True, slots=True)
class Scale:
    """Losses and the scores that stand for them, both ascending; straight lines between and beyond them."""

    losses: Array
    scores: Array

    @classmethod
    def of(cls, losses: Array, scores: Array) -> Scale:
        """The scale of measured losses; of equal ones there is nothing to tell, so that scores count alone."""
        ascending, first = np.unique(losses, return_index=True)
        matching = scores[first]
        if len(ascending) == 1:
            return cls(np.array([ascending[0], ascending[0] + 1.0]), np.array([matching[0], matching[0] + 1.0]))
        low, high = _slope(ascending, matching), _slope(-ascending[::-1], -matching[::-1])
        return cls(
            np.concatenate([[ascending[0] - FAR * low], ascending, [ascending[-1] + FAR * high]]),
            np.concatenate([[matching[0] - FAR], matching, [matching[-1] + FAR]]),
        )

    def score(self, losses: Array) -> Array:
        """The scores of losses."""
        return np.interp(losses, self.losses, self.scores)

    def loss(self, scores: Array) -> Array:
        """The losses that scores stand for."""
        return np.interp(scores, self.scores, self.losses)


def _slope(losses: Array, scores: Array) -> float:
    """How much loss a unit of score is worth at the lower end, from the best tenth."""
    place = max(1, len(losses) // 10)
    return float((losses[place] - losses[0]) / max(scores[place] - scores[0], 1e-9))


def normal_scores(values: Sequence[float]) -> Array:
    """Values replaced by the quantiles of a normal distribution that their ranks stand for; ties share one.

    A model of these is not led astray by the few that failed to learn.
    """
    from scipy.special import ndtri

    array = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    found: Array = ndtri(middle[inverse] / len(array))
    return found


def _scores(axes: Sequence[Sequence[float]]) -> list[Array]:
    """What is modelled of each objective: the normal score of one; of several the mean with the standardised value.

    Ranks alone do not tell how much area a step along the front is worth, values alone are all about outliers.
    """
    if len(axes) == 1:
        return [normal_scores(axes[0])]
    return [(normal_scores(axis) + _standardised(axis)) / 2 for axis in axes]


def _standardised(values: Sequence[float]) -> Array:
    array = np.asarray(values, dtype=float)
    found: Array = (array - array.mean()) / (array.std() or 1.0)
    return found


@dataclass(frozen=True, slots=True)
class _Gaussian:
    """One Gaussian process of unit variance; `factor` is the Cholesky factor of its kernel."""

    rows: Array
    values: Array
    kernel: Kernel
    noise: float
    factor: Array

    @classmethod
    def fit(cls, rows: Array, values: Array, kernel: Kernel, noise: float) -> _Gaussian:
        return cls(rows, values, kernel, noise, _factor(kernel.between(rows, rows), noise))

    def believing(self, rows: Array) -> _Gaussian:
        """The model as if these rows had been measured just as it expects."""
        mean, _ = self.predict(rows)
        wider, values = np.concatenate([self.rows, rows]), np.concatenate([self.values, mean])
        return _Gaussian.fit(wider, values, self.kernel, self.noise)

    def predict(self, rows: Array) -> tuple[Array, Array]:
        mean, half = self._conditioned(rows)
        return mean, np.sqrt(np.maximum(self.kernel.of(rows) / (1 + self.noise) - (half**2).sum(axis=0), 1e-12))

    def draw(self, rows: Array, rng: np.random.Generator) -> Array:
        """The values at rows of one function drawn from the process."""
        mean, half = self._conditioned(rows)
        covariance = self.kernel.between(rows, rows) / (1 + self.noise) - half.T @ half
        values, vectors = np.linalg.eigh(covariance)
        found: Array = mean + vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(rows)))
        return found

    def _conditioned(self, rows: Array) -> tuple[Array, Array]:
        """The mean at rows, and the part of the covariance that the record explains, as a factor."""
        from scipy.linalg import solve_triangular

        across = self.kernel.between(rows, self.rows) / (1 + self.noise)
        half = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        mean: Array = across @ _solved(self.factor, self.values)
        return mean, half


@lru_cache(maxsize=256)
def _likeliest(
    space: SearchSpace | Same, keys: tuple[Key, ...], scores: tuple[float, ...], encoding: Encoding
) -> tuple[Kernel, float]:
    """The kernel and noise under which the scores are most likely."""
    rows, values = rows_of(space_of(space), keys, encoding=encoding), np.array(scores)
    likeliest, found = -math.inf, None
    for kernel in kernels_for(rows, LENGTHS):
        alike = kernel.between(rows, rows)
        for noise in NOISES:
            factor = _factor(alike, noise)
            likelihood = -0.5 * float(values @ _solved(factor, values)) - float(np.log(np.diag(factor)).sum())
            if likelihood > likeliest:
                likeliest, found = likelihood, (kernel, noise)
    assert found is not None
    return found


def _graded(evidence: Sequence[Evidence]) -> list[list[float]]:
    """Per objective the losses; a trial that breaks a bound comes after all that keep them, by how far it does."""
    found = []
    for axis in zip(*(item.losses for item in evidence), strict=True):
        low, high = min(axis), max(axis)
        beyond = [high + (high - low + 1.0) * item.violation if item.violation else None for item in evidence]
        found.append([loss if far is None else far for loss, far in zip(axis, beyond, strict=True)])
    return found


def _factor(kernel: Array, noise: float) -> Array:
    # the sum is scaled back so that trials have unit variance, as their scores do
    return np.asarray(np.linalg.cholesky((kernel + (noise + JITTER) * np.eye(len(kernel))) / (1 + noise)), dtype=float)


def _solved(factor: Array, values: Array) -> Array:
    from scipy.linalg import cho_solve

    found: Array = cho_solve((factor, True), values, check_finite=False)
    return found
