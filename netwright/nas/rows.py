"""Architectures as rows of numbers, in one of two encodings, for models of their results."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from netwright.core.errors import SpaceError
from netwright.core.plugins import name_of
from netwright.core.shapes import Shapes
from netwright.nas.evidence import Key, Same, memo_key, space_of
from netwright.search_spaces.domain import Integer, Real
from netwright.search_spaces.encoding import OneHot
from netwright.search_spaces.outline import Call, Layer, Outline
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

Encoding = Literal["one_hot", "path"]

SAMPLES = 300
FEW = 8
"""An integer with more values is a number of many."""
STEPS = 30
"""Places for a number of many values."""
MOST_WAYS = 500
"""So many ways have a place: those that most of the sampled architectures have (White et al., 2021, keep few too)."""
TOO_MANY = 20_000
KEPT = "ways"


def rows_of(space: SearchSpace, keys: Sequence[Key], *, encoding: Encoding = "one_hot") -> Array:
    """A row for each architecture, of numbers from 0 to 1, all of one length.

    `one_hot`: decisions one-hot; numbers of more than eight values as a row of places that fills from the left, so
    that values are the further apart the more they differ, and the ends of the range as far as two options are.
    `path`: for every way through the network's blocks the share of blocks that have it, relative to the way that most
    have (for cells of one kind that is 1 or 0: White et al., BANANAS, 2021). Paths do not tell widths. Raises
    SpaceError for a block with more than 20,000 ways.
    """
    key = memo_key(space)
    row = _row if encoding == "one_hot" else _path_row
    return np.array([row(key, one) for one in keys])


def distances(left: Array, right: Array) -> Array:
    """Half the squared distance of rows, which for one-hot rows is the number of decisions that differ."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :]
    found: Array = np.maximum(squares - 2 * left @ right.T, 0.0) / 2
    return found


def ways_of(outline: Outline) -> Counter[str]:
    """Every way through the blocks of a network as written, as the operations on it, and how many blocks have it.

    A network without blocks counts as one. Ways that a zero is on are none.
    """
    calls = [item for item in outline.items if isinstance(item, Call)]
    counts: Counter[str] = Counter()
    for block, times in [(call.block, call.times) for call in calls] or [(outline, 1)]:
        for way in frozenset().union(*_ways(block)):
            counts[" > ".join(way)] += times
    return counts


def _ways(outline: Outline) -> tuple[frozenset[tuple[str, ...]], ...]:
    """The ways from each input of a block to its output; kept with the block."""
    if KEPT not in outline.notes:
        arity = range(len(outline.input_shapes))
        nothing: frozenset[tuple[str, ...]] = frozenset()
        ways = [tuple(frozenset({()}) if here == start else nothing for start in arity) for here in arity]
        for item in outline.items:
            pairs = list(zip(item.inputs, _steps(item), strict=True))
            own = [
                frozenset(way + step for number, steps in pairs for way in ways[number][start] for step in steps)
                for start in arity
            ]
            ways.append(tuple(own))
            if sum(map(len, own)) > TOO_MANY:
                raise SpaceError(f"a block has more than {TOO_MANY:,} ways through; take the encoding one_hot")
        outline.notes[KEPT] = ways[outline.output]
    found: tuple[frozenset[tuple[str, ...]], ...] = outline.notes[KEPT]
    return found


def _steps(item: Layer | Call) -> tuple[frozenset[tuple[str, ...]], ...]:
    """What an item adds to a way that comes by each of its inputs.

    Nothing where tensors meet or an activation accompanies, no way at all for a zero.
    """
    if isinstance(item, Call):
        return _ways(item.block)
    operation = item.operation
    if operation.is_zero():
        return (frozenset(),) * len(item.inputs)
    silent = operation.inputs is None or operation.accompanies
    return (frozenset({() if silent else (operation.label().split(",")[0],)}),) * len(item.inputs)


@dataclass(frozen=True, slots=True)
class _Range:
    """The range of a number of many values; `log` when its logarithm is what counts."""

    low: float
    high: float
    log: bool

    def row(self, value: object) -> list[float]:
        """Whether it was asked for, then the places that fill."""
        if not isinstance(value, (int, float)):
            return [0.0] * (STEPS + 1)
        low, high, at = (math.log(one) if self.log else float(one) for one in (self.low, self.high, value))
        filled = STEPS * (at - low) / (high - low)
        return [1.0, *(min(max(filled - step, 0.0), 1.0) * math.sqrt(2 / STEPS) for step in range(STEPS))]


@lru_cache(maxsize=16)
def _encoding(space: SearchSpace | Same) -> tuple[OneHot, Mapping[str, _Range]]:
    """One-hot places for all decisions but numbers of many values, and the ranges of these."""
    found, rng = space_of(space), random.Random(0)
    ranges: dict[str, _Range] = {}
    for _ in range(SAMPLES):
        for name, domain in found.trace(found.sample(rng)).domains.items():
            if isinstance(domain, Real) or (isinstance(domain, Integer) and domain.size > FEW):
                log = isinstance(domain, Real) and domain.log
                known = ranges.get(name, _Range(domain.low, domain.high, log))
                ranges[name] = _Range(min(known.low, domain.low), max(known.high, domain.high), log)
    places = OneHot.of(found, samples=SAMPLES).places
    return OneHot(tuple(place for place in places if place[0] not in ranges), {}), ranges


@lru_cache(maxsize=65536)
def _row(space: SearchSpace | Same, key: Key) -> Array:
    options, ranges = _encoding(space)
    decisions = dict(key)
    filled = [place for name, allowed in ranges.items() for place in allowed.row(decisions.get(name))]
    return np.array(options.row(decisions) + filled)


@lru_cache(maxsize=16)
def _places(space: SearchSpace | Same) -> tuple[Shapes, tuple[str, ...]]:
    """The shapes a space is lowered for, and the ways that have a place in its rows."""
    found, rng = space_of(space), random.Random(0)
    examples = found.examples()
    if not examples:
        raise SpaceError(f"the space {name_of(found)!r} serves none of its example inputs; take the encoding one_hot")
    counts: Counter[str] = Counter()
    for _ in range(SAMPLES):
        counts.update(ways_of(found.outline(found.sample(rng), examples[0])).keys())
    ordered = sorted(counts, key=lambda way: (-counts[way], len(way), way))
    return examples[0], tuple(ordered[:MOST_WAYS])


@lru_cache(maxsize=65536)
def _path_row(space: SearchSpace | Same, key: Key) -> Array:
    shapes, places = _places(space)
    counts = ways_of(space_of(space).outline(dict(key), shapes))
    most = max(counts.values(), default=1)
    return np.array([counts[way] / most for way in places])
