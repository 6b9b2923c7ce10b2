"""Architectures as rows of numbers for predictors: one-hot decisions, adjacency, paths; and their neighbours."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions
from netwright.search_spaces.blocks import Block, blocks_of
from netwright.search_spaces.chooser import RejectedDecisionsError
from netwright.search_spaces.choosers import NearestChooser
from netwright.search_spaces.domain import Categorical, Domain, Integer, Real, Subset, Value
from netwright.search_spaces.graph import INPUT, LayerGraph
from netwright.search_spaces.space import SearchSpace

FEW = 64
"""An integer with more values takes one place that holds its share of the range."""
MOST_PATHS = 20_000


@dataclass(frozen=True, slots=True)
class OneHot:
    """Decisions of one space as rows of one length; make it by `OneHot.of(space)`.

    Each name that may be asked for has its places: one for every option (for a subset, for every member), or
    one that says whether it was asked and one with the share of the range, for numbers of many values. A
    decision that is not active leaves its places at 0; so does an option that never came up while collecting.
    """

    places: tuple[tuple[str, Value], ...]
    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, space: SearchSpace, *, samples: int = 500, rng: random.Random | None = None) -> OneHot:
        """The encoding for a space; names and options are collected from so many random architectures."""
        rng = rng or random.Random(0)
        options: dict[str, dict[str, Value]] = {}
        ranges: dict[str, tuple[float, float]] = {}
        for _ in range(samples):
            for name, domain in space.trace(space.sample(rng)).domains.items():
                if _many(domain):
                    low, high = ranges.get(name, (domain.low, domain.high))
                    ranges[name] = (min(low, domain.low), max(high, domain.high))
                known = options.setdefault(name, {})
                known.update((repr(option), option) for option in _listed(domain))
        places = tuple((name, option) for name in options for option in options[name].values())
        return cls(places, ranges)

    def __len__(self) -> int:
        return len(self.places) + 2 * len(self.ranges)

    @property
    def columns(self) -> list[str]:
        """What each place of a row says."""
        shares = [words for name in self.ranges for words in (f"{name} is asked", f"{name} in its range")]
        return [f"{name}={option}" for name, option in self.places] + shares

    def row(self, decisions: Decisions) -> list[float]:
        """The decisions as numbers from 0 to 1, `len(self)` of them."""
        row = [float(_has(decisions.get(name), option)) for name, option in self.places]
        for name, (low, high) in self.ranges.items():
            value = decisions.get(name)
            asked = isinstance(value, (int, float))
            row += [float(asked), (float(value) - low) / (high - low) if isinstance(value, (int, float)) else 0.0]
        return row


@dataclass(frozen=True, slots=True)
class Adjacency:
    """A graph as a matrix: `matrix[i][j]` says whether node j reads node i; node 0 is the input.

    `operations[i]` is the label of node i; nodes are in an order in which they can run, so that all edges lie
    above the diagonal.
    """

    matrix: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]


def adjacency(graph: LayerGraph) -> Adjacency:
    """The layers of a graph and how they are wired."""
    places = {INPUT: 0} | {node.name: index for index, node in enumerate(graph.nodes, start=1)}
    matrix = [[0] * len(places) for _ in places]
    for node in graph.nodes:
        for name in node.inputs:
            matrix[places[name]][places[node.name]] += 1
    labels = ("input", *(node.operation.label() for node in graph.nodes))
    return Adjacency(tuple(map(tuple, matrix)), labels)


def block_of(graph: LayerGraph, name: str) -> Block:
    """The block of a graph that was added under a scope, such as `stage1/cell1`.

    Raises SpaceError that lists the blocks when there is none of that name.
    """
    blocks = blocks_of(graph)
    for block in blocks:
        if block.name == name:
            return block
    raise SpaceError(f"the network has no block {name!r}; it has {', '.join(block.name for block in blocks)}")


def paths_of(block: Block) -> frozenset[str]:
    """Every way through a block, as the operations on it: `conv 3×3 > conv 1×1`; the empty one is a skip.

    Sums and concatenations are where ways meet and are no part of them; normalisation and activation go with
    their operation. Raises SpaceError for a block with more than 20,000 ways.
    """
    ways: dict[str, set[tuple[str, ...]]] = {name: {()} for name in block.inputs}
    for step in block.steps:
        own = () if step.merges else (step.label.split(",")[0],)
        ways[step.name] = {way + own for name in step.inputs for way in ways[name]}
        if len(ways[step.name]) > MOST_PATHS:
            raise SpaceError(
                f"the block {block.name!r} has more than {MOST_PATHS:,} ways through; encode a smaller one"
            )
    return frozenset(" > ".join(way) for way in ways[block.output.name])


@dataclass(frozen=True, slots=True)
class PathEncoding:
    """Cells as the set of ways through them (White et al., BANANAS, 2021): 1 where a cell has a way.

    Make it by `PathEncoding.of(blocks)`; ways that were not among those blocks' have no place.
    """

    paths: tuple[str, ...]

    @classmethod
    def of(cls, blocks: Sequence[Block], *, most: int | None = None) -> PathEncoding:
        """An encoding with a place for every way through some blocks; `most` keeps those that most blocks have."""
        counts = Counter(path for block in blocks for path in paths_of(block))
        ordered = sorted(counts, key=lambda path: (-counts[path], len(path), path))
        return cls(tuple(ordered[:most]))

    def __len__(self) -> int:
        return len(self.paths)

    def row(self, block: Block) -> list[float]:
        """The block as zeros and ones, `len(self)` of them."""
        found = paths_of(block)
        return [float(path in found) for path in self.paths]


def neighbours(space: SearchSpace, decisions: Decisions, *, of: str | None = None) -> Iterator[dict[str, Value]]:
    """Every set of decisions that gives one decision another value and keeps all others as far as it allows.

    `of` names the decision to change; by default each is changed in turn.

    What the new value makes impossible or brings up takes the first option, so the answer is always the same.
    A number of many values moves a tenth of its range down and up, a subset of many gains or loses one member.
    Raises SpaceError for decisions that are not of the space.
    """
    traced = space.trace(decisions)
    for name, domain in traced.domains.items() if of is None else [(of, traced.domains[of])]:
        for value in _others(domain, traced.decisions[name]):
            chooser = NearestChooser({**traced.decisions, name: value})
            try:
                space.decide(chooser)
            except RejectedDecisionsError:
                continue
            yield dict(chooser.decisions)


def _others(domain: Domain, current: Value) -> list[Value]:
    if isinstance(domain, Real):
        low, high, step = domain.low, domain.high, (domain.high - domain.low) / 10
        assert isinstance(current, (int, float))
        moved = [max(low, current - step), min(high, current + step)]
        return [value for value in moved if value != current]
    if isinstance(domain, Integer) and domain.size > FEW:
        assert isinstance(current, int)
        step = max(domain.step, round((domain.high - domain.low) / 10 / domain.step) * domain.step)
        return [value for value in (current - step, current + step) if domain.holds(value)]
    if isinstance(domain, Subset) and domain.size > FEW:
        assert isinstance(current, tuple)
        toggled = [tuple(o for o in domain.options if (o in current) != (o == other)) for other in domain.options]
        return [value for value in toggled if domain.holds(value)]
    return [value for value in domain.values() if repr(value) != repr(current)]


def _many(domain: Domain) -> TypeGuard[Real | Integer]:
    return isinstance(domain, Real) or (isinstance(domain, Integer) and domain.size > FEW)


def _listed(domain: Domain) -> Sequence[Value]:
    """The options that get a place each; none for a number of many values."""
    if isinstance(domain, (Categorical, Subset)):
        return domain.options
    return [] if _many(domain) else domain.values()


def _has(value: object, option: Value) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_has(member, option) for member in value)
    return type(value) is type(option) and value == option
