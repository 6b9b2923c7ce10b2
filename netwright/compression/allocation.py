"""How many channels each coupling gives up, for a wanted ratio; pure numbers, no network.

Floors, caps and rounding hold in every case: no layer falls below `min_channels`, none loses more than
`max_ratio` of its channels, and widths stay multiples of a number that suits the layer's size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Scope = Literal["local", "global", "isomorphic"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A coupling as numbers: per slot the units from least to most important, and each step's importance.

    `steps[i]` is the mean importance, over the slots, of the i-th least important unit. `share` is how many channels
    of a layer go with one unit of every slot; `start` the width, per slot, before the first step; `family` is equal
    for couplings of equal structure.
    """

    name: str
    order: Sequence[Sequence[int]]
    steps: Sequence[float]
    start: int
    share: int = 1
    family: str = ""

    @property
    def size(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class Limits:
    """What no layer may be cut beyond."""

    round_to: int
    min_channels: int
    max_ratio: float


def allocate(
    couplings: Sequence[Ranked], *, ratio: float, scope: Scope, limits: Limits
) -> Mapping[str, tuple[int, ...]]:
    """The channels each coupling loses, in its own numbering; couplings that lose none are left out.

    `ratio` is the share of the widths at the start that shall be gone afterwards, earlier steps included.
    `local` takes the same share from each; `global` ranks all channels of all couplings together, so that
    the least important go first wherever they are; `isomorphic` does so within each family, as scores of unlike
    structures cannot be compared (Fang et al., Isomorphic pruning for vision models, ECCV 2024).
    """
    wanted = _wanted(couplings, ratio=ratio, scope=scope)
    result = {}
    for coupling in couplings:
        wide = wanted[coupling.name]
        keep = kept(coupling.size, wide, limits, share=coupling.share, start=coupling.start)
        removed = coupling.size - keep
        if removed:
            result[coupling.name] = tuple(
                slot * coupling.size + unit
                for slot, units in enumerate(coupling.order)
                for unit in sorted(units[:removed])
            )
    return result


def kept(size: int, wanted: float, limits: Limits, *, share: int = 1, start: int = 0) -> int:
    """The width a layer keeps when `wanted` is asked for: the nearest one within the limits."""
    start = max(start, size)
    unit = rounding(start, max(1, limits.round_to // share))
    least = math.ceil(start * (1 - limits.max_ratio) - 1e-9)
    floor = min(size, max(1, math.ceil(limits.min_channels / share), least))
    nearest = math.floor(wanted / unit + 0.5) * unit
    while nearest < floor:
        nearest += unit
    return min(size, nearest)


def rounding(size: int, round_to: int) -> int:
    """The multiple that widths of a layer of this size are rounded to: a small layer gets a finer one.

    >>> [rounding(size, 8) for size in (4, 8, 16, 24, 32, 64)]
    [1, 2, 4, 4, 8, 8]
    """
    unit = round_to
    while unit > 1 and size < 4 * unit:
        unit //= 2
    return max(1, unit)


def _wanted(couplings: Sequence[Ranked], *, ratio: float, scope: Scope) -> dict[str, float]:
    if scope == "local":
        return {coupling.name: min(coupling.size, coupling.start * (1 - ratio)) for coupling in couplings}
    if scope == "isomorphic":
        families: dict[str, list[Ranked]] = {}
        for coupling in couplings:
            families.setdefault(coupling.family, []).append(coupling)
        alone = [_wanted(family, ratio=ratio, scope="global") for family in families.values()]
        return {name: width for wanted in alone for name, width in wanted.items()}
    steps = sorted((value, coupling.name, len(coupling.order)) for coupling in couplings for value in coupling.steps)
    left = (1 - ratio) * sum(coupling.start * len(coupling.order) for coupling in couplings)
    budget = sum(coupling.size * len(coupling.order) for coupling in couplings) - left
    wanted = {coupling.name: float(coupling.size) for coupling in couplings}
    for _, name, cost in steps:
        budget -= cost
        if budget < 0:
            break
        wanted[name] -= 1
    return wanted
