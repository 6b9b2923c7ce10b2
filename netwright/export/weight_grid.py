"""Integers that stand for weights: steps of a grid per output channel, or per block along another axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_FEW = 16
_TOLERANCE = 2e-4
"""Of the step: folding a batch norm into weights on a grid moves them by float32 rounding."""


def exact_steps(weights: npt.NDArray[Any], *, levels: int) -> Floats:
    """The step of each row's grid [rows], for rows whose values are all whole multiples of one, or 0.

    `weights` is [rows, values], `levels` the largest multiple allowed. Rounded, ternary and binary weights have
    such a grid, also after every row was multiplied by a number of its own.
    """
    wide = np.abs(np.asarray(weights, np.float64))
    largest = wide.max(axis=1)
    scale = np.where(largest > 0, largest, 1.0)
    found = np.zeros(len(wide))
    for count in range(1, levels + 1):
        # a few values rule nearly all rows out, so that only few are looked at as a whole
        waiting = np.flatnonzero(found == 0)
        waiting = waiting[_whole(wide[waiting, :_FEW], scale[waiting], count)]
        waiting = waiting[_whole(wide[waiting], scale[waiting], count)]
        found[waiting] = scale[waiting] / count
    return found.astype(np.float32)


def _whole(values: npt.NDArray[Any], largest: npt.NDArray[Any], count: int) -> npt.NDArray[np.bool_]:
    """Which rows hold whole multiples of their largest value over `count`."""
    steps = values * (count / largest)[:, None]
    off = np.abs(steps - np.rint(steps)).max(axis=1, initial=0.0)
    return np.asarray(off <= _TOLERANCE * max(1.0, count / 4), np.bool_)


def steps_of(weights: npt.NDArray[Any], *, bits: int) -> Floats:
    """The step of each row [rows] for signed integers of so many bits: its own grid's, else the one of least error.

    `weights` is [rows, values]. With 4 bits or fewer the step of least squared error is looked for between the one
    that reaches the largest value and 0.4 of it; with 8 the former is the best but for little.
    """
    levels = 2 ** (bits - 1) - 1
    wide = np.asarray(weights, np.float64)
    largest = np.abs(wide).max(axis=1)
    best = np.where(largest > 0, largest, 1.0) / levels
    if bits <= 4:
        error = np.full(len(wide), np.inf)
        start = best.copy()
        for share in np.linspace(1.0, 0.4, 25):
            step = start * share
            missed = ((wide - _rounded(wide, step, levels)) ** 2).sum(axis=1)
            best, error = np.where(missed < error, step, best), np.minimum(missed, error)
    exact = exact_steps(weights, levels=levels)
    return np.where(exact > 0, exact, best).astype(np.float32)


def integers(weights: npt.NDArray[Any], steps: npt.NDArray[Any], *, bits: int) -> npt.NDArray[np.int8]:
    """The whole multiples of each row's step nearest to its values: [rows, values] of signed integers."""
    levels = 2 ** (bits - 1) - 1
    scaled = np.asarray(weights, np.float64) / np.asarray(steps, np.float64)[:, None]
    return np.clip(np.rint(scaled), -levels, levels).astype(np.int8)


def _rounded(wide: npt.NDArray[Any], step: npt.NDArray[Any], levels: int) -> npt.NDArray[np.float64]:
    return np.asarray(np.clip(np.rint(wide / step[:, None]), -levels, levels) * step[:, None], np.float64)
