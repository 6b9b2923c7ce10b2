"""Draws what `benchmarks/compression.py --only curves --json` printed: a picture for each pass, and a table of it.

    python scripts/draw_pass_curves.py FOLDER FILE.json [FILE.json ...]

Pictures are FOLDER/PASS.svg; tables are printed as Markdown. Bars are 95 % intervals. Points have the value of the
setting that stands behind them, where there is room; of three lines and more the first one's have.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

from draw_curves import COLOURS, FAINT, INK, Axis

from netwright.core.files import write_atomic

PANEL, HEIGHT = 560.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 24.0, 44.0, 48.0
SMALL, LETTER = 11, 0.56

Row = Mapping[str, Any]
Place = tuple[float, float]
UNITS = {
    "size_bytes": ("exported file, kB", 1e-3),
    "gzip_bytes": ("exported file under gzip -9, kB", 1e-3),
    "coded_bytes": ("archive (.nwz), kB", 1e-3),
    "macs": ("multiply-accumulates, millions", 1e-6),
    "accuracy": ("test accuracy, %", 100.0),
}
SETTINGS = {
    "macs": ("share of the multiply-accumulates asked for", "{:.0%}"),
    "energy": ("energy", "{}"),
    "calibration_samples": ("calibration images", "{}"),
    "bits": ("bits", "{} bits"),
    "layers": ("layers", "{}"),
    "density": ("share of the weights that stay", "{:.0%}"),
    "n:m": ("pattern", "{}"),
    "epochs": ("epochs of training", "{}"),
    "zeros": ("share of the weights that are zero", "{:.0%}"),
}


class Box(NamedTuple):
    """What is taken of a picture."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether two boxes share a place."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def gap(self, place: Place) -> float:
        """How far a place is from the box."""
        x, y = place
        return math.hypot(max(self.left - x, 0, x - self.right), max(self.top - y, 0, y - self.bottom))


class Linear(Axis):
    """An axis of equal steps."""

    def place(self, value: float) -> float:
        """Where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten, seven at most."""
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / 7))
        step = next(power * n for n in (1, 2, 5, 10) if (self.high - self.low) / (power * n) <= 7)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(step * number, 10) for number in range(first, last + 1)]


class Accuracies(Axis):
    """An axis of accuracies in percent on which errors are logarithmic: 98, 95, 90, 80, 50."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        super().__init__(100 - high, 100 - low, end, start)

    def place(self, value: float) -> float:
        """Where a value lies."""
        return super().place(100 - value)

    def ticks(self) -> list[float]:
        """Round ones, as many as there is room for."""
        found: list[float] = []
        for value in (99, 98, 97, 95, 93, 90, 85, 80, 70, 50, 30, 10):
            inside = self.low <= 100 - value <= self.high
            if inside and (not found or self.place(value) - self.place(found[-1]) > 20):
                found.append(value)
        return found


class Panel:
    """One plot: the lines of a pass against one figure to the right."""

    def __init__(self, rows: Sequence[Row], across: str, *, left: float) -> None:
        self.rows, self.across, self.left = rows, across, left
        self.upwards = "accuracy" if rows[0]["upwards"] == "accuracy" else "bytes"
        self.taken: list[Box] = []
        points = [point for row in rows for point in self.points(row)]
        xs, ys = [x for x, _, _ in points], [end for _, _, ends in points for end in ends]
        start, end = left + LEFT, left + PANEL - RIGHT
        many = across == "strength" and min(xs) > 0 and max(xs) >= 16 * min(xs)
        low = 0.0 if not many else min(xs) / 1.3
        self.x = Axis(low, max(xs) * 1.3, start, end) if many else Linear(low, max(xs) * 1.06, start, end)
        self.y, self.title = self._upwards(min(ys), max(ys))

    def _upwards(self, low: float, high: float) -> tuple[Axis, str]:
        """The axis upwards and its name: accuracies whose errors differ much are spread by those."""
        below, margin = HEIGHT - BOTTOM, 0.08 * (high - low)
        if self.upwards != "accuracy":
            return Linear(0.0, high + margin, below, TOP), "kB"
        if 100 - low < 3 * (100 - high):
            return Linear(low - margin, high + margin, below, TOP), "test accuracy, %"
        edges = max(0.0, 100 - (100 - low) * 1.2), 100 - (100 - high) / 1.3
        return Accuracies(*edges, below, TOP), "test accuracy, %, by log error"

    def points(self, row: Row) -> list[tuple[float, float, tuple[float, float]]]:
        """To the right, upwards, and the ends of the interval upwards, in the units of the axes."""
        found = []
        for stage in row["stages"]:
            if self.across == "strength" and "strength" not in stage:
                continue
            value = stage[row["upwards"]] * UNITS[row["upwards"]][1]
            ends = (100 * stage["low"], 100 * stage["high"]) if self.upwards == "accuracy" else (value, value)
            scale = 1.0 if self.across == "strength" else UNITS[self.across][1]
            found.append((stage[self.across] * scale, value, ends))
        return found

    def draw(self) -> list[str]:
        """The parts of the plot, labels last."""
        parts = self._grid()
        places = {
            row["line"]: [(self.x.place(x), self.y.place(y)) for x, y, _ in self.points(row)] for row in self.rows
        }
        for row, colour in zip(self.rows, COLOURS, strict=False):
            parts += self._line(row, places[row["line"]], colour)
        everywhere = [place for them in places.values() for place in them]
        told = self.rows if len(self.rows) < 3 else self.rows[:1]
        if self.across != "strength":
            first = places[self.rows[0]["line"]][0]
            parts.append(_dot(first, INK))
            parts += self._label("as published", [first], INK, others=everywhere)
            for row, colour in zip(told, COLOURS, strict=False):
                for stage, place in zip(row["stages"][1:], places[row["line"]][1:], strict=True):
                    parts += self._label(value_of(row, stage), [place], colour, others=everywhere)
        for row, colour in zip(self.rows, COLOURS, strict=False):
            others = [place for line, them in places.items() if line != row["line"] for place in them]
            alone = [place for place in places[row["line"]][::-1] if place not in others]
            own = sorted(alone, key=functools.partial(_gap, others=others), reverse=True)
            near = self._label(row["line"], own, colour, others=others, bold=True)
            parts += near or self._label(row["line"], own, colour, others=[], bold=True)
        return parts

    def _grid(self) -> list[str]:
        right, below = self.left + PANEL - RIGHT, HEIGHT - BOTTOM
        setting = SETTINGS[self.rows[0]["setting"]][0]
        title = setting if self.across == "strength" else UNITS[self.across][0]
        percent = self.across == "strength" and self.rows[0]["setting"] == "zeros"
        parts = []
        for value in self._ticks():
            x, words = self.x.place(value), f"{100 * value:g} %" if percent else f"{value:,g}"
            parts.append(f'<path d="M{x:.1f} {TOP:g}V{below:g}" stroke="{FAINT}"/>')
            parts.append(_text((x, below + 16), words, anchor="middle"))
        for value in self.y.ticks():
            y = self.y.place(value)
            parts.append(f'<path d="M{self.left + LEFT:g} {y:.1f}H{right:g}" stroke="{FAINT}"/>')
            parts.append(_text((self.left + LEFT - 6, y + 4), f"{value:,g}", anchor="end"))
        middle, height = (self.left + LEFT + right) / 2, (TOP + below) / 2
        parts.append(_text((middle, HEIGHT - 10), title, anchor="middle"))
        at = (self.left + 16, height)
        parts.append(_text(at, self.title, anchor="middle", turned=True))
        return parts

    def _ticks(self) -> list[float]:
        """The values where they are settings, as far as there is room, else round ones."""
        if self.across != "strength":
            return self.x.ticks()
        found: list[float] = []
        for value in sorted({x for row in self.rows for x, _, _ in self.points(row)}):
            if not found or self.x.place(value) - self.x.place(found[-1]) > 30:
                found.append(value)
        return found

    def _line(self, row: Row, places: list[Place], colour: str) -> list[str]:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>']
        for (x, y), (_, _, (low, high)) in zip(places, self.points(row), strict=True):
            ends = (self.y.place(high), self.y.place(low))
            if ends[0] < ends[1]:
                parts.append(f'<path d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}" stroke="{colour}" stroke-width="1.2"/>')
            parts.append(_dot((x, y), colour))
            self.taken.append(Box(x - 5, min(ends[0], y - 5), x + 5, max(ends[1], y + 5)))
        for (x0, y0), (x1, y1) in pairwise(places):
            steps = 1 + int(math.hypot(x1 - x0, y1 - y0) / 3)
            along = [(x0 + (x1 - x0) * n / steps, y0 + (y1 - y0) * n / steps) for n in range(steps)]
            self.taken += [Box(x - 2, y - 2, x + 2, y + 2) for x, y in along]
        return parts

    def _label(
        self,
        words: str,
        near: Sequence[Place],
        colour: str,
        *,
        others: Sequence[Place],
        bold: bool = False,
    ) -> list[str]:
        """Words beside the first of some places that has room and is nearer than any of `others`, if there is one."""
        size = 12 if bold else SMALL
        width, height = LETTER * size * len(words) * (1.08 if bold else 1), size
        frame = Box(self.left + LEFT, TOP - 14, self.left + PANEL - 4, HEIGHT - BOTTOM)
        for far, (x, y) in product((8, 14, 22, 32, 46), near):
            for dx, dy in _around(width, height, far):
                box = Box(x + dx, y + dy - height, x + dx + width, y + dy + 2)
                inside = frame.left < box.left and box.right < frame.right and frame.top < box.top
                if not inside or box.bottom >= frame.bottom or any(box.meets(other) for other in self.taken):
                    continue
                if all(box.gap((x, y)) < box.gap(other) for other in others if other != (x, y)):
                    self.taken.append(box)
                    return [_text((x + dx, y + dy), words, colour=colour, size=size, bold=bold)]
        return []


def _around(width: float, height: float, far: float) -> list[Place]:
    """Where the left end of a word's base line may lie, seen from its point."""
    middle = height / 2 - 1
    beside = [(far, middle), (-far - width, middle), (-width / 2, -far), (-width / 2, far + height - 2)]
    corners = [(far - 4, far + 4), (far - 4, -far + 4), (-far + 4 - width, -far + 4), (-far + 4 - width, far + 4)]
    return beside + corners


def _gap(place: Place, others: Sequence[Place]) -> float:
    """How far the nearest of other places is."""
    return min((math.dist(place, other) for other in others), default=0.0)


def value_of(row: Row, stage: Row) -> str:
    """The value of the setting that stands behind a point."""
    return SETTINGS[row["setting"]][1].format(stage["strength"]).replace("%", " %")


def _dot(place: Place, colour: str) -> str:
    return f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3.4" fill="{colour}"/>'


def _text(
    place: Place,
    words: str,
    *,
    colour: str = INK,
    size: int = 12,
    anchor: str = "start",
    bold: bool = False,
    turned: bool = False,
) -> str:
    x, y = place
    weight = ' font-weight="bold"' if bold else ""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}{turn}>'
        f"{words}</text>"
    )


def drawn(name: str, rows: Sequence[Row]) -> str:
    """The picture of a pass."""
    panels = [Panel(rows, across, left=PANEL * n) for n, across in enumerate(rows[0]["across"])]
    width = PANEL * len(panels)
    what = "its files' sizes" if rows[0]["upwards"] != "accuracy" else "accuracy"
    title = f"{name}: {what}, ResNet-20 on CIFAR-10"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {HEIGHT:g}" font-family="sans-serif"'
        f' role="img" aria-label="{title}">',
        f'<rect width="{width:g}" height="{HEIGHT:g}" fill="#ffffff"/>',
        _text((LEFT, 22), title, size=14),
        *(part for panel in panels for part in panel.draw()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """A line for each value of the setting, a column for each line."""
    values = list(dict.fromkeys(value_of(row, s) for row in rows for s in row["stages"][1:]))
    head = [SETTINGS[rows[0]["setting"]][0], *(row["line"] for row in rows)]
    found = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    if rows[0]["upwards"] == "accuracy":
        found.append("| as published | " + " | ".join(_cell(row, row["stages"][0]) for row in rows) + " |")
    for value in values:
        cells = [next((_cell(row, s) for s in row["stages"][1:] if value_of(row, s) == value), "") for row in rows]
        found.append("| " + " | ".join([value, *cells]) + " |")
    return "\n".join(found)


def _cell(row: Row, stage: Row) -> str:
    facts = [f"{stage['accuracy']:.2%}".replace("%", " %")] if row["upwards"] == "accuracy" else []
    figures = [row["upwards"]] if row["upwards"] != "accuracy" else [one for one in row["across"] if one != "strength"]
    for figure in figures:
        facts.append(f"{stage[figure] / 1e6:.1f} M" if figure == "macs" else f"{stage[figure]:,}")
    return ", ".join(facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    by_pass: dict[str, list[Row]] = {}
    for path in options.files:
        for row in json.loads(path.read_text(encoding="utf-8")):
            by_pass.setdefault(row["pass"], []).append(row)
    for name, rows in by_pass.items():
        write_atomic(options.folder / f"{name}.svg", drawn(name, rows))
        print(f"{name}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
