"""A drawing of a layer graph: its blocks from top to bottom, and beside them each branching block once in detail."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from netwright.core.shapes import Shape
from netwright.search_spaces import svg
from netwright.search_spaces.blocks import Block, Residual, Step, blocks_of, chain_of, residual_of
from netwright.search_spaces.graph import INPUT, LayerGraph
from netwright.search_spaces.layered_layout import Edge, Point, layout
from netwright.search_spaces.operation import Family
from netwright.search_spaces.packing import lanes, shelves

MARGIN = 16.0
LINE = 19.0
GAP = 36.0
HEAD = 26.0
LANE = 20.0
RADIUS = 14.0
CIRCLE = (2 * RADIUS, 2 * RADIUS)
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
        least, most = _thousands(min(counts)), _thousands(max(counts))
        return f"{times}{least if least == most else f'{least} to {most}'} params"

    @property
    def height(self) -> float:
        return HEAD + LINE * len(self.rows) + 6

    @property
    def width(self) -> float:
        lines = [_width(f"{row.label}  {row.remark}") + 26 for row in self.rows]
        return max([_width(self.head, bold=True) + _width(self.counts) + 34, *lines]) + 12


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
        parts, width, height = _macro(graph, _boxes(blocks, graph.output, details), marker)
    if level != "macro" and details:
        sizes = [_detail(letter, members, graph, (0.0, 0.0), marker)[1:] for letter, members in details.items()]
        corners, (width, height) = shelves(sizes, beside=(width, height), gap=(36.0, 28.0))
        for (letter, members), (x, y) in zip(details.items(), corners, strict=True):
            parts += _detail(letter, members, graph, (x, y + MARGIN), marker)[0]
        height += MARGIN
    legend, legend_width = _legend(blocks, height + 26)
    params = _thousands(sum(block.params for block in blocks))
    name = title or f"A network of {len(blocks)} blocks with {params} parameters"
    return svg.document(
        [*parts, *legend],
        width=max(width, legend_width) + MARGIN,
        height=height + 40,
        title=name,
        marker=marker,
    )


def _width(words: str, *, size: float = 12, bold: bool = False) -> float:
    """About how wide a text is, in pixels; rather too wide than too narrow."""
    return len(words) * size * (0.6 if bold else 0.55)


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


def _macro(graph: LayerGraph, boxes: Sequence[Box], marker: str) -> tuple[list[str], float, float]:
    """The column of blocks: its parts, its width with the ways around, and its height."""
    far = _far_edges(boxes)
    lane = lanes([(source + 0.6, target + 0.0) for source, target in far])
    left = MARGIN + LANE * (max(lane, default=-1) + 1)
    width = max([box.width for box in boxes] + [150.0])
    centre = left + width / 2
    parts = _pill((centre, MARGIN + 12), f"input {_shape(graph.input_shape)}")
    y = MARGIN + 24
    tops: list[float] = []
    reach = 0.0
    for index, box in enumerate(boxes):
        read = _next_to(boxes, index) if index else None
        if read or (not index and INPUT in box.blocks[0].inputs):
            parts.append(svg.curve([(centre, y), (centre, y + GAP)], marker=marker))
        if read:
            at = (centre - 8, y + GAP / 2 + 4)
            parts.append(svg.text(at, _shape(read.shape), size=11, anchor="end", faint=True))
        y += GAP
        tops.append(y)
        parts += _box_parts(box, (left, y), width)
        if box.residual is not None:
            way, way_reach = _way_around(box, (left, y), width, marker)
            parts += way
            reach = max(reach, way_reach)
        y += box.height
    parts += _far_parts(dict(zip(far, lane, strict=True)), boxes, tops, left, marker)
    parts += [svg.curve([(centre, y), (centre, y + GAP)], marker=marker)]
    parts += _pill((centre, y + GAP + 12), f"output {_shape(graph.shape_of(graph.output))}")
    return parts, left + width + reach, y + GAP + 24


def _next_to(boxes: Sequence[Box], index: int) -> Step | None:
    """What a box reads of the one right before it, if anything."""
    made = {step.name: step for step in boxes[index - 1].blocks[-1].steps}
    return next((made[name] for name in reversed(boxes[index].blocks[0].inputs) if name in made), None)


def _far_edges(boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """Pairs of boxes joined by an edge that jumps over others; -1 is the network's input."""
    place = {INPUT: -1}
    for index, box in enumerate(boxes):
        place |= {step.name: index for block in box.blocks for step in block.steps}
    pairs = {(place[name], index) for index, box in enumerate(boxes) for name in box.blocks[0].inputs}
    return sorted(pair for pair in pairs if pair[1] - pair[0] > 1)


def _far_parts(
    far: Mapping[tuple[int, int], int], boxes: Sequence[Box], tops: Sequence[float], left: float, marker: str
) -> list[str]:
    parts = []
    for (source, target), lane in far.items():
        start = tops[source] + boxes[source].height - 10 if source >= 0 else MARGIN + 12
        end, x = tops[target] + 12, left - LANE * (lane + 1)
        begin = left if source >= 0 else left + 40
        data = f"M{begin:.1f},{start:.1f} C{x:.1f},{start:.1f} {x:.1f},{start:.1f} {x:.1f},{start + 22:.1f} "
        data += f"V{end - 22:.1f} C{x:.1f},{end:.1f} {x:.1f},{end:.1f} {left:.1f},{end:.1f}"
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
    return [svg.path(data, marker=marker), *labels], 40 + max(_width(word, size=11) for word in words)


def _detail(
    letter: str, members: Sequence[Block], graph: LayerGraph, corner: Point, marker: str
) -> tuple[list[str], float, float]:
    """A branching block node by node: its parts, its width and its height."""
    block = members[0]
    shapes = graph.shapes()
    names = {f"in{index}": name for index, name in enumerate(block.inputs)}
    places = {name: key for key, name in names.items()} | {step.name: step.name for step in block.steps}
    sizes = {key: (_width(_shape(shapes[name])) + 34, 24.0) for key, name in names.items()}
    sizes |= {step.name: _step_size(step) for step in block.steps}
    edges: list[Edge] = [(places[name], step.name) for step in block.steps for name in step.inputs]
    placed = layout(sizes, edges)
    head = [f"{letter}: {block.kind}", _where(members)]
    width = max(placed.width, *(_width(words, bold=True) for words in head))
    x, y = corner[0] + (width - placed.width) / 2, corner[1] + 52
    parts = [
        svg.text((corner[0] + width / 2, corner[1] + 14), head[0], anchor="middle", bold=True, size=13),
        svg.text((corner[0] + width / 2, corner[1] + 31), head[1], anchor="middle", size=11, faint=True),
    ]
    at = {name: (x + cx, y + cy) for name, (cx, cy) in placed.centres.items()}
    bends = {edge: [(x + bx, y + by) for bx, by in points] for edge, points in placed.bends.items()}
    parts += _edges(at, sizes, bends, marker)
    for (source, target), count in Counter(edges).items():
        if count > 1:  # the same tensor comes in several times
            bend = (bends[source, target] or [((at[source][0] + at[target][0]) / 2, at[target][1] - 34)])[-1]
            parts.append(svg.text((bend[0] - 6, bend[1] - 2), f"{count} ×", size=11, anchor="end", faint=True))
    for key, name in names.items():
        parts += _pill(at[key], f"in {_shape(shapes[name])}", width=sizes[key][0])
    for step in block.steps:
        parts += _step_parts(step, at[step.name], sizes[step.name])
    bottom = y + placed.height
    for step in block.steps:
        if step.name not in {source for source, _ in edges}:
            cx, cy = at[step.name]
            parts.append(svg.curve([(cx, cy + sizes[step.name][1] / 2), (cx, bottom + 30)], marker=marker))
            parts += _pill((cx, bottom + 42), f"out {_shape(step.shape)}")
    return parts, width, 52 + placed.height + 54


def _edges(
    at: Mapping[str, Point],
    sizes: Mapping[str, tuple[float, float]],
    bends: Mapping[Edge, Sequence[Point]],
    marker: str,
) -> list[str]:
    """The arrows of a detail; those that end at one node are spread along its upper side."""
    parts = []
    for target, (tx, ty) in at.items():
        into = [edge for edge in bends if edge[1] == target]
        into.sort(key=lambda edge: (bends[edge][-1] if bends[edge] else at[edge[0]])[0])
        for index, edge in enumerate(into):
            spread = min(9.0, (sizes[target][0] - 3) / len(into)) * (index - (len(into) - 1) / 2)
            round_off = RADIUS - sqrt(RADIUS**2 - spread**2) if sizes[target] == CIRCLE else 0.0
            start = (at[edge[0]][0], at[edge[0]][1] + sizes[edge[0]][1] / 2)
            end = (tx + spread, ty - sizes[target][1] / 2 + round_off)
            parts.append(svg.curve([start, *bends[edge], end], marker=marker, straight=17))
    return parts


def _where(members: Sequence[Block]) -> str:
    """Where a block is found, and how often."""
    if len(members) == 1:
        return f"in {members[0].name}"
    return f"× {len(members)}; sizes as in {members[0].name}"


def _step_size(step: Step) -> tuple[float, float]:
    if step.merges and step.label == "+":
        return CIRCLE
    widest = max(_width(step.label, bold=True), _width(step.remark, size=11))
    return (widest + 20, 40.0 if step.remark else 26.0)


def _step_parts(step: Step, centre: Point, size: tuple[float, float]) -> list[str]:
    x, y = centre
    if step.merges and step.label == "+":
        return [svg.ring(centre, radius=RADIUS), svg.text((x, y + 5), "+", size=15, anchor="middle", bold=True)]
    parts = [svg.box((x - size[0] / 2, y - size[1] / 2), size, step.main[0].family)]
    raised = 2.0 if step.remark else -4.0
    parts.append(svg.text((x, y - raised), step.label, anchor="middle", bold=True))
    if step.remark:
        parts.append(svg.text((x, y + 13), step.remark, anchor="middle", size=11, faint=True))
    return parts


def _pill(centre: Point, words: str, *, width: float = 0.0) -> list[str]:
    """A small round box for what comes in and goes out."""
    wide = width or _width(words) + 24
    corner = (centre[0] - wide / 2, centre[1] - 12)
    return [
        svg.box(corner, (wide, 24), "wiring", round_by=12),
        svg.text((centre[0], centre[1] + 4), words, anchor="middle"),
    ]


def _legend(blocks: Sequence[Block], top: float) -> tuple[list[str], float]:
    present = {operation.family for block in blocks for step in block.steps for operation in step.main}
    parts, x = [], MARGIN
    for family in svg.COLOURS:
        if family in present:
            parts += [svg.dot((x + 4, top - 4), family), svg.text((x + 13, top), family, size=11, faint=True)]
            x += _width(family, size=11) + 32
    return parts, x


def _shape(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _thousands(count: int) -> str:
    if count < 1000:
        return str(count)
    return f"{count / 1000:.3g} k" if count < 1_000_000 else f"{count / 1e6:.3g} M"
