"""Where the parts of a drawing go: lanes for lines that run side by side, shelves for boxes."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[float, float]
Point = tuple[float, float]
ASPECT = 0.75
"""How wide a picture may be for its height before it is broken into more rows: a page scrolls down, not across."""


def buses(edges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Edges that may share a line: those from one place or to one place, the largest groups first."""
    left = list(edges)
    found: list[list[tuple[int, int]]] = []
    while left:
        ends = [(side, edge[side]) for edge in left for side in (0, 1)]
        side, place = max(ends, key=lambda end: (ends.count(end), -end[0], -end[1]))
        found.append([edge for edge in left if edge[side] == place])
        left = [edge for edge in left if edge[side] != place]
    return found


def lanes(spans: Sequence[Span]) -> list[int]:
    """A lane for every span, 0 the innermost: shorter ones lie inside, and none overlaps another of its lane."""
    taken: list[list[Span]] = []
    found = [0] * len(spans)
    for index in sorted(range(len(spans)), key=lambda i: (spans[i][1] - spans[i][0], spans[i])):
        start, end = spans[index]
        lane = 0
        while lane < len(taken) and any(start < other[1] and other[0] < end for other in taken[lane]):
            lane += 1
        if lane == len(taken):
            taken.append([])
        taken[lane].append((start, end))
        found[index] = lane
    return found


def shelves(sizes: Sequence[Point], *, beside: Point, gap: Point) -> tuple[list[Point], Point]:
    """Corners for boxes of (width, height) in rows at the right of a box `beside`, and the size of it all.

    The order stays; of all numbers of rows that one is taken whose picture fits best into a page.
    """
    best: tuple[list[Point], Point] = ([], beside)
    least = float("inf")
    widths = sorted({sum(w for w, _ in sizes[a:b]) + gap[0] * (b - a) for a in range(len(sizes))
                     for b in range(a + 1, len(sizes) + 1)})  # fmt: skip
    for room in widths:
        corners, (width, height) = _rows(sizes, room, gap)
        whole = (beside[0] + gap[0] + width, max(beside[1], height))
        badness = max(whole[0] / ASPECT, whole[1])
        if badness < least:
            least = badness
            best = [(beside[0] + gap[0] + x, y) for x, y in corners], whole
    return best


def _rows(sizes: Sequence[Point], room: float, gap: Point) -> tuple[list[Point], Point]:
    """Boxes one after another, a new row wherever the room is used up."""
    corners: list[Point] = []
    x = y = row = widest = 0.0
    for width, height in sizes:
        if x and x + width > room:
            x, y, row = 0.0, y + row + gap[1], 0.0
        corners.append((x, y))
        x += width + gap[0]
        row = max(row, height)
        widest = max(widest, x - gap[0])
    return corners, (widest, y + row)
