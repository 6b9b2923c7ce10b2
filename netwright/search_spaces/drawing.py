"""A drawing of a layer graph: its blocks from top to bottom, and beside them each branching block once in detail."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from netwright.search_spaces import drawn_marks as marks
from netwright.search_spaces import svg
from netwright.search_spaces.blocks import Block, Residual, Step, blocks_of, chain_of, residual_of
from netwright.search_spaces.drawn_detail import detail
from netwright.search_spaces.graph import INPUT, LayerGraph
from netwright.search_spaces.layered_layout import Point
from netwright.search_spaces.operation import Family
from netwright.search_spaces.packing import buses, lanes, shelves

MARGIN = 16.0
LINE = 19.0
GAP = 36.0
HEAD = 26.0
LANE = 20.0
Level = Literal["both", "macro", "cell"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a box: an operation's family, what it is, and a fainter remark."""

    family: Family
    label: str
    remark: str


@dataclass(frozen=True, slots=True)
class Box:
    """Equal blocks in a row, drawn once; `merge_row` is the line that a way around leads to."""

    blocks: tuple[Block, ...]
    rows: tuple[Row, ...]
    residual: Residual | None
    merge_row: int
    repeats: tuple[Block, ...] = ()
    """The blocks that it stands for where several boxes in a row come again and again."""

    @property
    def head(self) -> str:
        """`stage1 · cell 1-3`, or the name of a single block."""
        first = self.blocks[0].name.replace("/", " · ")
        return first if len(self.blocks) == 1 else f"{first} – {self.blocks[-1].name.rpartition('/')[2]}"

    @property
    def counts(self) -> str:
        """How often, and how many parameters each time; from least to most where equal layers read different sizes."""
        times = f"{len(self.blocks)} × " if len(self.blocks) > 1 else ""
        counts = [block.params for block in self.blocks]
        least, most = marks.thousands(min(counts)), marks.thousands(max(counts))
        return f"{times}{least if least == most else f'{least} to {most}'} params"

    @property
    def height(self) -> float:
        return HEAD + LINE * len(self.rows) + 6

    @property
    def width(self) -> float:
        lines = [marks.width(f"{row.label}  {row.remark}") + 26 for row in self.rows]
        return max([marks.width(self.head, bold=True) + marks.width(self.counts) + 34, *lines]) + 12


def draw_svg(graph: LayerGraph, *, title: str = "", level: Level = "both") -> str:
    """The network as an SVG text that needs nothing else and follows the colours around it.

    Blocks run from top to bottom with the shape of what flows between them; equal blocks in a row are
    drawn once with their number. A block with branches is drawn once in detail, at the right. `level` leaves
    out one of the two: `macro` the details, `cell` the column (when there is any detail).
    """
    blocks = blocks_of(graph)
    details = _details(blocks)
    marker = "arrow-" + hashlib.blake2b(repr(graph).encode(), digest_size=4).hexdigest()
    parts: list[str] = []
    width, height = 0.0, 0.0
    if level != "cell" or not details:
        parts, width, height = _macro(graph, _folded(_boxes(blocks, graph.output, details)), marker)
    if level != "macro" and details:
        sizes = [detail(letter, members, graph, (0.0, 0.0), marker)[1:] for letter, members in details.items()]
        corners, (width, height) = shelves(sizes, beside=(width, height), gap=(36.0, 28.0))
        for (letter, members), (x, y) in zip(details.items(), corners, strict=True):
            parts += detail(letter, members, graph, (x, y + MARGIN), marker)[0]
        height += MARGIN
    legend, legend_width = _legend(blocks, height + 26)
    params = marks.thousands(sum(block.params for block in blocks))
    name = title or f"A network of {len(blocks)} blocks with {params} parameters"
    return svg.document(
        [*parts, *legend],
        width=max(width, legend_width) + MARGIN,
        height=height + 40,
        title=name,
        marker=marker,
    )


def _details(blocks: Sequence[Block]) -> dict[str, list[Block]]:
    """The blocks that branch, by letter: one letter for those alike but for numbers of filters."""
    alike: dict[str, list[Block]] = {}
    for block in blocks:
        if not chain_of(block) and residual_of(block) is None:
            alike.setdefault(block.signature(sizes=False), []).append(block)
    return {_letter(index): members for index, members in enumerate(alike.values())}


def _letter(index: int) -> str:
    return LETTERS[index] if index < len(LETTERS) else f"{LETTERS[index % 26]}{index // 26}"


def _boxes(blocks: Sequence[Block], output: str, details: dict[str, list[Block]]) -> list[Box]:
    reach = _reach(blocks)
    farthest: Counter[str] = Counter()
    for block in blocks:
        for name, distance in zip(block.inputs, reach[block.name], strict=True):
            farthest[name] = max(farthest[name], distance)
    groups: list[list[Block]] = []
    for block in blocks:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and reach[block.name] == reach[last.name]
            and last.output.name in block.inputs
            and farthest[last.output.name] <= max(reach[block.name])
            and last.signature(sizes=True) == block.signature(sizes=True)
            and last.output.shape[1:] == block.output.shape[1:]
            and last.name.rpartition("/")[0] == block.name.rpartition("/")[0]
            and last.output.name != output
        ):
            groups[-1].append(block)
        else:
            groups.append([block])
    letters = {member.name: letter for letter, members in details.items() for member in members}
    return [_box(tuple(group), letters.get(group[0].name, ""), reach[group[0].name]) for group in groups]


def _reach(blocks: Sequence[Block]) -> dict[str, tuple[int, ...]]:
    """How many blocks back each block's inputs come from: (1,) for a chain, (2, 1) for cells that read two."""
    made = {INPUT: -1} | {block.output.name: index for index, block in enumerate(blocks)}
    inner = {step.name: index for index, block in enumerate(blocks) for step in block.steps}
    places = {**inner, **made}
    return {block.name: tuple(index - places[name] for name in block.inputs) for index, block in enumerate(blocks)}


def _box(blocks: tuple[Block, ...], letter: str, reach: Sequence[int]) -> Box:
    block = blocks[0]
    if letter:
        main = [o for step in block.steps if not step.merges for o in step.main if not o.is_zero()]
        family: Family = Counter(o.family for o in main).most_common(1)[0][0] if main else "wiring"
        count = f"{len(main)} operation{'' if len(main) == 1 else 's'}"
        rows = [Row(family, count, f"wired as in {letter}")]
        if len(blocks) > 1 and max(reach) > 1:
            rows.append(Row("wiring", f"each reads the {max(reach)} before it", ""))
        return Box(blocks, tuple(rows), None, 0)
    residual = None if chain_of(block) else residual_of(block)
    if residual is None:
        return Box(blocks, tuple(_row(step) for step in block.steps), None, 0)
    steps = [*residual.body, residual.merge, *residual.tail]
    return Box(blocks, tuple(_row(step) for step in steps), residual, len(residual.body))


def _row(step: Step) -> Row:
    return Row(step.main[0].family, "add" if step.merges and step.label == "+" else step.label, step.remark)


def _folded(boxes: Sequence[Box]) -> list[Box]:
    """The boxes with runs of several that come again and again, such as attention and MLP, kept once."""
    found: list[Box] = []
    index = 0
    while index < len(boxes):
        period, times = next(((p, t) for p in (2, 3, 4) if (t := _times(boxes, index, p)) > 1), (1, 1))
        for place in range(index, index + period):
            again = tuple(boxes[place + period * turn].blocks[0] for turn in range(1, times))
            found.append(replace(boxes[place], repeats=again))
        index += period * times
    return found


def _times(boxes: Sequence[Box], start: int, period: int) -> int:
    """How often the boxes from `start` come in a row, each read by the next alone."""

    def look(place: int) -> tuple[object, ...]:
        box = boxes[place]
        kind = re.sub(r"\d+", "#", box.blocks[0].name)
        near = place > 0 and set(box.blocks[0].inputs) <= {step.name for step in boxes[place - 1].blocks[-1].steps}
        return (kind, box.rows, len(box.blocks), box.blocks[0].params, box.blocks[0].output.shape, near, near or place)

    pattern = [look(start + offset) for offset in range(period)] if start + period <= len(boxes) else []
    times = 1
    while pattern and start + (times + 1) * period <= len(boxes):
        if [look(start + times * period + offset) for offset in range(period)] != pattern:
            break
        times += 1
    return times


def _macro(graph: LayerGraph, boxes: Sequence[Box], marker: str) -> tuple[list[str], float, float]:
    """The column of blocks: its parts, its width with the ways around, and its height."""
    ways = buses(_far_edges(boxes))
    lane = lanes([(min(source for source, _ in way) + 0.6, max(target for _, target in way) + 0.0) for way in ways])
    left = MARGIN + LANE * (max(lane, default=-1) + 1)
    width = max([box.width for box in boxes] + [150.0])
    centre = left + width / 2
    words = f"input {marks.shape(graph.input_shape)}"
    parts = marks.pill((centre, MARGIN + 12), words)
    y = MARGIN + 24
    tops: list[float] = []
    reach = 0.0
    for index, box in enumerate(boxes):
        read = _next_to(boxes, index) if index else None
        if read or (not index and INPUT in box.blocks[0].inputs):
            parts.append(svg.curve([(centre, y), (centre, y + GAP)], marker=marker))
        if read:
            at = (centre - 8, y + GAP / 2 + 4)
            parts.append(svg.text(at, marks.shape(read.shape), size=11, anchor="end", faint=True))
        y += GAP
        tops.append(y)
        parts += _box_parts(box, (left, y), width)
        if box.residual is not None:
            way, way_reach = _way_around(box, (left, y), width, marker)
            parts += way
            reach = max(reach, way_reach)
        y += box.height
    frames, reach = _frames(boxes, tops, (left, left + width), reach)
    parts += frames
    sides = (left, centre - marks.pill_width(words) / 2)
    parts += _far_parts({e: at for way, at in zip(ways, lane, strict=True) for e in way}, boxes, tops, sides, marker)
    parts += [svg.curve([(centre, y), (centre, y + GAP)], marker=marker)]
    parts += marks.pill((centre, y + GAP + 12), f"output {marks.shape(graph.shape_of(graph.output))}")
    return parts, left + width + reach, y + GAP + 24


def _frames(
    boxes: Sequence[Box], tops: Sequence[float], sides: tuple[float, float], reach: float
) -> tuple[list[str], float]:
    """A frame around boxes that come several times, with how often; and the room at the right with it."""
    parts: list[str] = []
    room = reach
    start = 0
    while start < len(boxes):
        times = len(boxes[start].repeats) + 1
        if times == 1:
            start += 1
            continue
        # the boxes of one frame come before the first repetition of the first of them
        end = start
        while end + 1 < len(boxes) and boxes[end + 1].repeats:
            end += 1
            if _joined(boxes[end], boxes[start]):
                break
        top, bottom = tops[start] - GAP + 12, tops[end] + boxes[end].height + 7
        parts.append(svg.frame((sides[0] - 6, top), (sides[1] - sides[0] + reach + 8, bottom - top)))
        words = f"{times} ×"
        parts.append(svg.text((sides[1] + reach + 10, (top + bottom) / 2 + 5), words, size=15, bold=True))
        room = max(room, reach + 14 + marks.width(words, size=15, bold=True))
        start = end + 1
    return parts, room


def _joined(last: Box, first: Box) -> bool:
    """Whether what comes again after `last` is `first`."""
    made = {step.name for step in last.blocks[-1].steps}
    return bool(made & set(first.repeats[0].inputs))


def _next_to(boxes: Sequence[Box], index: int) -> Step | None:
    """What a box reads of the one right before it, if anything."""
    before = boxes[index - 1]
    made = {step.name: step for block in (before.blocks[-1], *before.repeats[-1:]) for step in block.steps}
    return next((made[name] for name in reversed(boxes[index].blocks[0].inputs) if name in made), None)


def _far_edges(boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """Pairs of boxes joined by an edge that jumps over others; -1 is the network's input."""
    place = {INPUT: -1}
    for index, box in enumerate(boxes):
        place |= {step.name: index for block in (*box.blocks, *box.repeats) for step in block.steps}
    pairs = {(place[name], index) for index, box in enumerate(boxes) for name in box.blocks[0].inputs}
    return sorted(pair for pair in pairs if pair[1] - pair[0] > 1)


def _far_parts(
    ways: Mapping[tuple[int, int], int], boxes: Sequence[Box], tops: Sequence[float], sides: Point, marker: str
) -> list[str]:
    """The lines that jump over boxes; `sides` are the left ends of the boxes and of the input."""
    left, left_of_input = sides
    parts = []
    drawn: set[tuple[int, int]] = set()
    for (source, target), lane in sorted(ways.items(), key=lambda way: way[0][0] - way[0][1]):
        start = tops[source] + boxes[source].height - 10 if source >= 0 else MARGIN + 12
        end, x = tops[target] + 12, left - LANE * (lane + 1)
        begin = left if source >= 0 else left_of_input
        data = f"C{x:.1f},{end:.1f} {x:.1f},{end:.1f} {left:.1f},{end:.1f}"
        if (source, lane) in drawn:  # it leaves the line of a longer way from the same place
            data = f"M{x:.1f},{end - 22:.1f} {data}"
        else:
            down = f"M{begin:.1f},{start:.1f} C{x:.1f},{start:.1f} {x:.1f},{start:.1f} {x:.1f},{start + 22:.1f}"
            data = f"{down} V{end - 22:.1f} {data}"
        drawn.add((source, lane))
        parts.append(svg.path(data, marker=marker))
    return parts


def _box_parts(box: Box, corner: Point, width: float) -> list[str]:
    x, y = corner
    heaviest = max(box.blocks[0].steps, key=lambda step: step.params)
    family = box.rows[0].family if len(box.rows) == 1 else heaviest.main[0].family
    parts = [
        svg.box(corner, (width, box.height), family),
        svg.text((x + 12, y + 18), box.head, bold=True),
        svg.text((x + width - 12, y + 18), box.counts, anchor="end", size=11, faint=True),
    ]
    for index, row in enumerate(box.rows):
        base = y + HEAD + LINE * index + 13
        parts += [svg.dot((x + 18, base - 4), row.family), svg.text((x + 28, base), row.label)]
        if row.remark:
            at = (x + width - 12, base)
            parts.append(svg.text(at, row.remark, size=11, anchor="end", faint=True))
    return parts


def _way_around(box: Box, corner: Point, width: float, marker: str) -> tuple[list[str], float]:
    """The arc of a skip connection, from above the box to the line that adds it, and the room it takes."""
    assert box.residual is not None
    x, y = corner
    right, start = x + width, y - GAP / 2 - 2
    end = y + HEAD + LINE * box.merge_row + 9
    data = f"M{x + width / 2:.1f},{start:.1f} H{right + 12:.1f} q14,0 14,14 V{end - 14:.1f} q0,14 -14,14 H{right:.1f}"
    words = [step.label for step in box.residual.way] or ["skip"]
    middle = (start + end) / 2 + 4 - 14 * (len(words) - 1) / 2
    labels = [
        svg.text((right + 34, middle + 14 * index), word, size=11, faint=True) for index, word in enumerate(words)
    ]
    return [svg.path(data, marker=marker), *labels], 40 + max(marks.width(word, size=11) for word in words)


def _legend(blocks: Sequence[Block], top: float) -> tuple[list[str], float]:
    present = {operation.family for block in blocks for step in block.steps for operation in step.main}
    parts, x = [], MARGIN
    for family in svg.COLOURS:
        if family in present:
            parts += [svg.dot((x + 4, top - 4), family), svg.text((x + 13, top), family, size=11, faint=True)]
            x += marks.width(family, size=11) + 32
    return parts, x
