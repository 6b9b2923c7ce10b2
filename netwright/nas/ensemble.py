"""A few small networks that differ in their start, as a model of results: their mean, and how far they disagree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from netwright.nas.evidence import Key, Same, space_of
from netwright.nas.rows import Encoding, rows_of
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]
    Layers: TypeAlias = tuple[tuple[Array, Array], ...]

MEMBERS = 5
WIDTHS = (20, 20, 20)
STEPS = 200
RATE = 0.01
DECAYS = (0.9, 0.999)
"""Of Adam's two averages."""
TINY = 1e-8


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Perceptrons of equal shape; each layer holds weights (members, in, out) and biases (members, 1, out)."""

    layers: Layers

    @classmethod
    def fit(cls, rows: Array, values: Array) -> Ensemble:
        """Networks trained on the whole of rows (n, features) and values (n,) by Adam on the absolute error.

        Five networks, Adam and the absolute error are those of BANANAS (White et al., 2021); these are less deep.
        """
        rng = np.random.default_rng(len(values))
        layers = _started(rows.shape[1], rng)
        inputs = np.broadcast_to(rows, (MEMBERS, *rows.shape))
        averages = [(np.zeros_like(one), np.zeros_like(one)) for layer in layers for one in layer]
        for step in range(1, STEPS + 1):
            slopes = _slopes(layers, inputs, values)
            flat = [one for layer in layers for one in layer]
            moved = [_moved(*parts, step=step) for parts in zip(flat, slopes, averages, strict=True)]
            layers = tuple(zip(moved[::2], moved[1::2], strict=True))
        return cls(layers)

    def members(self, rows: Array) -> Array:
        """What each network expects, of shape (members, n)."""
        return _activations(self.layers, np.broadcast_to(rows, (MEMBERS, *rows.shape)))[-1][:, :, 0]

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """The mean of the networks and their standard deviation, each of shape (n,)."""
        found = self.members(rows)
        return found.mean(axis=0), np.maximum(found.std(axis=0, ddof=1), 1e-6)

    def draw(self, rows: Array, rng: np.random.Generator) -> Array:
        """What one of the networks expects, drawn evenly: one function for all rows."""
        return np.asarray(self.members(rows)[rng.integers(MEMBERS)], dtype=float)

    def believing(self, rows: Array) -> Ensemble:
        """The same: networks do not become surer of an architecture because it is being trained."""
        del rows
        return self


@lru_cache(maxsize=16)
def trained(
    space: SearchSpace | Same, keys: tuple[Key, ...], scores: tuple[float, ...], encoding: Encoding
) -> Ensemble:
    """The ensemble for these architectures and scores; kept, since a training takes longer than all else in an ask."""
    return Ensemble.fit(rows_of(space_of(space), keys, encoding=encoding), np.array(scores))


def _started(features: int, rng: np.random.Generator) -> Layers:
    sizes = (features, *WIDTHS, 1)
    return tuple(
        (rng.normal(0.0, np.sqrt(2.0 / max(before, 1)), (MEMBERS, before, after)), np.zeros((MEMBERS, 1, after)))
        for before, after in pairwise(sizes)
    )


def _activations(layers: Layers, inputs: Array) -> list[Array]:
    """The inputs and what each layer gives out; all but the last end in a ReLU."""
    found = [inputs]
    for place, (weights, biases) in enumerate(layers, start=1):
        made = found[-1] @ weights + biases
        found.append(np.maximum(made, 0.0) if place < len(layers) else made)
    return found


def _slopes(layers: Layers, inputs: Array, values: Array) -> list[Array]:
    """The gradient of the mean absolute error by each array, in the order of the layers."""
    outputs = _activations(layers, inputs)
    back = np.sign(outputs[-1] - values[None, :, None]) / len(values)
    found: list[Array] = []
    for (weights, _), before in zip(reversed(layers), reversed(outputs[:-1]), strict=True):
        found += [back.sum(axis=1, keepdims=True), before.transpose(0, 2, 1) @ back]
        back = (back @ weights.transpose(0, 2, 1)) * (before > 0)
    return found[::-1]


def _moved(array: Array, slope: Array, averages: tuple[Array, Array], *, step: int) -> Array:
    """The array after one step of Adam; its averages are changed in place."""
    mean, square = averages
    mean += (1 - DECAYS[0]) * (slope - mean)
    square += (1 - DECAYS[1]) * (slope**2 - square)
    rate = RATE * np.sqrt(1 - DECAYS[1] ** step) / (1 - DECAYS[0] ** step)
    found: Array = array - rate * mean / (np.sqrt(square) + TINY)
    return found
