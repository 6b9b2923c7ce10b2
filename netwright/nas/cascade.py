"""A model of one fidelity on top of a model of the one below it: what cheap trainings tell of long ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from netwright.nas.kernel import Kernel, kernels_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

LENGTHS = (0.3, 0.6, 1.2, 2.5)
SIGNALS = (0.1, 0.3, 1.0, 2.0)
NOISES = (1e-3, 1e-2, 1e-1)
JITTER = 1e-8
TREND = np.array([0.0, 0.7])
TREND_VARIANCE = np.array([4.0, 0.5])
"""Believed of the line from the lower fidelity's scores before anything was measured: a height, and a slope."""
TUNED = 60


class Model(Protocol):
    """What a fidelity is modelled by."""

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Means and standard deviations, each of shape (n,)."""

    def draw(self, rows: Array, rng: np.random.Generator) -> Array:
        """One function drawn, at rows."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Scores at a fidelity as a line over the scores below, plus a Gaussian process of what that leaves.

    As Kennedy and O'Hagan (2000), one fidelity after another. Where the lower fidelity tells nothing the line becomes
    flat and the process does all the work. What is not known of the score below adds to the spread.
    """

    below: Model
    rows: Array
    rest: Array
    basis: Array
    settings: tuple[Kernel, float, float]
    """Of the process: its kernel, signal and noise."""
    factor: Array

    @classmethod
    def fit(cls, rows: Array, scores: Array, *, below: Model) -> Cascade:
        """Kernel, strength and noise of the process are the likeliest of a few for the youngest results."""
        basis = _basis(below.predict(rows)[0])
        rest = scores - basis @ TREND
        return cls._of(below, rows, rest, basis, _likeliest(rows[-TUNED:], rest[-TUNED:], basis[-TUNED:]))

    @classmethod
    def _of(
        cls, below: Model, rows: Array, rest: Array, basis: Array, settings: tuple[Kernel, float, float]
    ) -> Cascade:
        alike, signal, noise = settings
        kernel = signal * alike.between(rows, rows) + (basis * TREND_VARIANCE) @ basis.T
        factor = np.asarray(np.linalg.cholesky(kernel + (noise + JITTER) * np.eye(len(rows))), dtype=float)
        return cls(below, rows, rest, basis, settings, factor)

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Means and standard deviations, each of shape (n,)."""
        under, spread = self.below.predict(rows)
        mean, half, prior = self._conditioned(rows, _basis(under))
        variance = prior - (half**2).sum(axis=0) + (self.slope * spread) ** 2
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def draw(self, rows: Array, rng: np.random.Generator) -> Array:
        """The scores at rows of one function drawn from the model below and one from this."""
        basis = _basis(self.below.draw(rows, rng))
        mean, half, _ = self._conditioned(rows, basis)
        alike, signal, _ = self.settings
        prior = signal * alike.between(rows, rows) + (basis * TREND_VARIANCE) @ basis.T
        values, vectors = np.linalg.eigh(prior - half.T @ half)
        found: Array = mean + vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(rows)))
        return found

    def believing(self, rows: Array) -> Cascade:
        """The model as if these rows had been measured just as it expects."""
        basis = _basis(self.below.predict(rows)[0])
        rest = self._conditioned(rows, basis)[0] - basis @ TREND
        wider = np.concatenate([self.rows, rows]), np.concatenate([self.rest, rest])
        return self._of(self.below, *wider, np.concatenate([self.basis, basis]), self.settings)

    @property
    def slope(self) -> float:
        """How much a unit of score below is expected to be worth here."""
        return float(TREND[1] + TREND_VARIANCE[1] * (self.basis[:, 1] @ self._weights()))

    def _weights(self) -> Array:
        from scipy.linalg import cho_solve

        found: Array = cho_solve((self.factor, True), self.rest, check_finite=False)
        return found

    def _conditioned(self, rows: Array, basis: Array) -> tuple[Array, Array, Array]:
        """The mean at rows, the part of the covariance that the results explain (as a factor), the variance before."""
        from scipy.linalg import solve_triangular

        alike, signal, _ = self.settings
        across = signal * alike.between(rows, self.rows)
        across += (basis * TREND_VARIANCE) @ self.basis.T
        half = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        mean: Array = basis @ TREND + across @ self._weights()
        return mean, half, signal * alike.of(rows) + (basis**2 * TREND_VARIANCE).sum(axis=1)


def _basis(scores: Array) -> Array:
    return np.stack([np.ones(len(scores)), scores], axis=1)


def _likeliest(rows: Array, rest: Array, basis: Array) -> tuple[Kernel, float, float]:
    """Kernel, signal and noise under which the results are most likely."""
    kinds = kernels_for(rows, LENGTHS)
    grid = [(kind, signal, noise) for kind in kinds for signal in SIGNALS for noise in NOISES]
    trend, shapes = (basis * TREND_VARIANCE) @ basis.T, {kind: kind.between(rows, rows) for kind in kinds}
    kernels = np.stack([s * shapes[kind] + trend + (n + JITTER) * np.eye(len(rows)) for kind, s, n in grid])
    factors = np.linalg.cholesky(kernels)
    solved = np.linalg.solve(factors, np.broadcast_to(rest[:, None], (len(grid), len(rest), 1)))[:, :, 0]
    logs = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return grid[int(np.argmax(-0.5 * (solved**2).sum(axis=1) - logs))]
