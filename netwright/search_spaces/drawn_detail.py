"""The drawing of one branching block in detail, operation by operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt

from netwright.search_spaces import drawn_marks as marks
from netwright.search_spaces import svg
from netwright.search_spaces.blocks import Block, Step, with_repeats
from netwright.search_spaces.graph import LayerGraph
from netwright.search_spaces.layered_layout import Edge, Point, layout

LINE = 14.0
SHORT = 16
"""Letters of a line that is not broken."""
RADIUS = 14.0
CIRCLE = (2 * RADIUS, 2 * RADIUS)


def detail(
    letter: str, members: Sequence[Block], graph: LayerGraph, corner: Point, marker: str
) -> tuple[list[str], float, float]:
    """A branching block node by node: its parts, its width and its height."""
    block = replace(members[0], steps=tuple(with_repeats(members[0].steps)))
    common = _common_remark(block.steps)
    remarks = {s.name: "" if s.remark == common and _convolves(s) else s.remark for s in block.steps}
    shapes = graph.shapes()
    names = {f"in{index}": name for index, name in enumerate(block.inputs)}
    places = {name: key for key, name in names.items()} | {step.name: step.name for step in block.steps}
    sizes = {key: (marks.width(marks.shape(shapes[name])) + 34, 24.0) for key, name in names.items()}
    sizes |= {step.name: _step_size(step, remarks[step.name]) for step in block.steps}
    edges: list[Edge] = [(places[name], step.name) for step in block.steps for name in step.inputs]
    placed = layout(sizes, edges)
    head = [f"{letter}: {block.kind}", _where(members), *([f"convolutions {common}"] if common else [])]
    above = 24.0 + 14 * len(head)
    width = max(placed.width, *(marks.width(words, bold=True) for words in head))
    x, y = corner[0] + (width - placed.width) / 2, corner[1] + above
    middle = corner[0] + width / 2
    parts = [svg.text((middle, corner[1] + 14), head[0], anchor="middle", bold=True, size=13)]
    for index, words in enumerate(head[1:]):
        at_line = (middle, corner[1] + 31 + 14 * index)
        parts.append(svg.text(at_line, words, size=11, anchor="middle", faint=True))
    at = {name: (x + cx, y + cy) for name, (cx, cy) in placed.centres.items()}
    bends = {edge: [(x + bx, y + by) for bx, by in points] for edge, points in placed.bends.items()}
    parts += _edges(at, sizes, bends, marker)
    for (source, target), count in Counter(edges).items():
        if count > 1:  # the same tensor comes in several times
            bend = (bends[source, target] or [((at[source][0] + at[target][0]) / 2, at[target][1] - 34)])[-1]
            parts.append(svg.text((bend[0] - 6, bend[1] - 2), f"{count} ×", size=11, anchor="end", faint=True))
    for key, name in names.items():
        parts += marks.pill(at[key], f"in {marks.shape(shapes[name])}", room=sizes[key][0])
    for step in block.steps:
        parts += _step_parts(step, remarks[step.name], at[step.name], sizes[step.name])
    bottom = y + placed.height
    for step in block.steps:
        if step.name not in {source for source, _ in edges}:
            cx, cy = at[step.name]
            parts.append(svg.curve([(cx, cy + sizes[step.name][1] / 2), (cx, bottom + 30)], marker=marker))
            parts += marks.pill((cx, bottom + 42), f"out {marks.shape(step.shape)}")
    return parts, width, above + placed.height + 54


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


def _convolves(step: Step) -> bool:
    return step.main[0].family == "convolution"


def _common_remark(steps: Sequence[Step]) -> str:
    """What accompanies every one of several convolutions, to be said once."""
    remarks = [step.remark for step in steps if _convolves(step)]
    return remarks[0] if len(remarks) > 2 and len(set(remarks)) == 1 else ""


def _step_size(step: Step, remark: str) -> tuple[float, float]:
    if step.merges and step.label == "+":
        return CIRCLE
    labels, remarks = _lines(step, remark)
    widest = max(
        [marks.width(words, bold=True) for words in labels] + [marks.width(words, size=11) for words in remarks]
    )
    return (widest + 20, 12.0 + LINE * (len(labels) + len(remarks)))


def _lines(step: Step, remark: str) -> tuple[list[str], list[str]]:
    """Label and remark in lines short enough for many boxes side by side."""
    return _broken(step.label), _broken(remark) if remark else []


def _broken(words: str) -> list[str]:
    """The words in two lines as equal as spaces allow, or in one where they are few."""
    if len(words) <= SHORT or " " not in words:
        return [words]
    at = min((i for i, letter in enumerate(words) if letter == " "), key=lambda i: abs(2 * i + 1 - len(words)))
    return [words[:at], words[at + 1 :]]


def _step_parts(step: Step, remark: str, centre: Point, size: tuple[float, float]) -> list[str]:
    x, y = centre
    if step.merges and step.label == "+":
        return [svg.ring(centre, radius=RADIUS), svg.text((x, y + 5), "+", size=15, anchor="middle", bold=True)]
    labels, remarks = _lines(step, remark)
    base = [(x, y - size[1] / 2 + 3 + LINE * (index + 1)) for index in range(len(labels) + len(remarks))]
    return [
        svg.box((x - size[0] / 2, y - size[1] / 2), size, step.main[0].family),
        *(svg.text(at, words, anchor="middle", bold=True) for at, words in zip(base, labels, strict=False)),
        *(
            svg.text(at, words, anchor="middle", size=11, faint=True)
            for at, words in zip(base[len(labels) :], remarks, strict=True)
        ),
    ]
