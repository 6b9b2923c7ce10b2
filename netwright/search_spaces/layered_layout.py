"""Places for the nodes of a small directed graph: layers from top to bottom, few crossings.

After Sugiyama, Tagawa & Toda, 1981: layers by longest path, edges over several layers bent at
in-between points, order by barycentres, then places as near to the neighbours as room allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 8
BEND_WIDTH = 26.0

Edge = tuple[str, str]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The centre of every node, the points that each edge passes, and the size of it all."""

    centres: Mapping[str, Point]
    bends: Mapping[Edge, tuple[Point, ...]]
    width: float
    height: float


def layout(
    sizes: Mapping[str, tuple[float, float]],
    edges: Sequence[Edge],
    *,
    gap: float = 24.0,
    layer_gap: float = 34.0,
) -> Layout:
    """Places for nodes of the given (width, height), listed in an order in which edges go forward."""
    layer_of = _layers(list(sizes), edges)
    chains = {edge: _chain(edge, layer_of) for edge in dict.fromkeys(edges)}
    rows, links = _rows(layer_of, chains)
    _order(rows, links)
    widths = {name: sizes[name][0] if name in sizes else BEND_WIDTH for row in rows for name in row}
    across = _across(rows, links, widths, gap)
    heights = [max((sizes[n][1] for n in row if n in sizes), default=0.0) for row in rows]
    down = [sum(heights[:index]) + layer_gap * index + heights[index] / 2 for index in range(len(rows))]
    left = min(across[n] - widths[n] / 2 for n in widths)
    place = {n: (across[n] - left, down[index]) for index, row in enumerate(rows) for n in row}
    return Layout(
        centres={name: place[name] for name in sizes},
        bends={edge: tuple(place[name] for name in chain[1:-1]) for edge, chain in chains.items()},
        width=max(place[n][0] + widths[n] / 2 for n in widths),
        height=sum(heights) + layer_gap * (len(rows) - 1),
    )


def _layers(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The length of the longest way to each node."""
    layer = dict.fromkeys(names, 0)
    for name in names:
        layer[name] = max((layer[source] + 1 for source, target in edges if target == name), default=0)
    return layer


def _chain(edge: Edge, layer_of: Mapping[str, int]) -> tuple[str, ...]:
    """An edge as the names it passes: its ends, and one bend for each layer between."""
    source, target = edge
    between = range(layer_of[source] + 1, layer_of[target])
    return (source, *(f"{source}>{target}@{index}" for index in between), target)


def _rows(layer_of: Mapping[str, int], chains: Mapping[Edge, tuple[str, ...]]) -> tuple[list[list[str]], list[Edge]]:
    rows: list[list[str]] = [[] for _ in range(max(layer_of.values()) + 1)]
    for name, index in layer_of.items():
        rows[index].append(name)
    links: list[Edge] = []
    for (source, _), chain in chains.items():
        for place, name in enumerate(chain[1:-1], start=layer_of[source] + 1):
            rows[place].append(name)
        links += pairwise(chain)
    return rows, links


def _order(rows: list[list[str]], links: Sequence[Edge]) -> None:
    """Sort each row by the mean place of its neighbours above, then below, a few times over."""
    above, below = _neighbours(links)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for index in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            fixed = rows[index - 1] if down else rows[index + 1]
            place = {name: float(position) for position, name in enumerate(fixed)}
            near = above if down else below
            wanted = {
                name: _mean([place[other] for other in near.get(name, [])], position)
                for position, name in enumerate(rows[index])
            }
            rows[index].sort(key=wanted.__getitem__)


def _across(
    rows: Sequence[Sequence[str]], links: Sequence[Edge], widths: Mapping[str, float], gap: float
) -> dict[str, float]:
    above, below = _neighbours(links)
    across: dict[str, float] = {}
    for row in rows:
        across.update(_packed(row, [0.0] * len(row), widths, gap))
    for sweep in range(3 * SWEEPS):
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [_mean([across[m] for m in near.get(name, [])], across[name]) for name in row]
            across.update(_packed(row, wanted, widths, gap))
    return across


def _packed(row: Sequence[str], wanted: Sequence[float], widths: Mapping[str, float], gap: float) -> dict[str, float]:
    """Places in order and without overlap, as near to the wanted ones as a common shift of groups allows."""
    groups: list[tuple[list[str], list[float], float]] = []  # names, offsets from the first, place of the first
    for name, place in zip(row, wanted, strict=True):
        names, offsets, first = [name], [0.0], place
        while groups:
            last_names, last_offsets, last_first = groups[-1]
            room = (widths[last_names[-1]] + widths[names[0]]) / 2 + gap
            if last_first + last_offsets[-1] + room <= first:
                break
            groups.pop()
            shift = last_offsets[-1] + room
            share = len(names) / (len(names) + len(last_names))
            first = last_first * (1 - share) + (first - shift) * share
            names = last_names + names
            offsets = last_offsets + [shift + offset for offset in offsets]
        groups.append((names, offsets, first))
    return {n: first + o for names, offsets, first in groups for n, o in zip(names, offsets, strict=True)}


def _neighbours(links: Sequence[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for source, target in links:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    return above, below


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
