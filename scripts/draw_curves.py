"""Draws the curves of `netwright benchmark strategies --json` documents as one SVG picture.

    python scripts/draw_curves.py OUT.svg WHAT FILE.json [FILE.json ...] [--title TEXT]

WHAT is regret or missing_hypervolume; documents of one table are drawn together. Both axes are logarithmic: the paid
architectures to the right, what is still missing upwards; bands are 95 % intervals of the mean.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from netwright.core.files import write_atomic

WIDTH, HEIGHT = 840.0, 430.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 270.0, 40.0, 46.0
COLOURS = ("#3b6fb6", "#d1632a", "#3d9a50", "#8a5fb0", "#b03a48", "#7a6a58", "#2a9aa8", "#c79a1e", "#555555", "#d36ba6")
INK, FAINT = "#333333", "#dddddd"

Curve = list[dict[str, Any]]


class Axis:
    """A logarithmic axis from one value to another, drawn between two places."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def place(self, value: float) -> float:
        """Where a value lies; what is outside lies at the edge."""
        clamped = min(max(value, self.low), self.high)
        share = math.log(clamped / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1, 2 and 5 of every power of ten that is on the axis."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        return [value for value in found if self.low <= value * 1.0001 and value <= self.high * 1.0001]


def read_curves(paths: list[Path], what: str) -> dict[str, Curve]:
    """The curve of every strategy, as far as it has values."""
    found: dict[str, Curve] = {}
    for path in paths:
        for row in json.loads(path.read_text(encoding="utf-8"))["strategies"]:
            found[row["strategy"]] = [point for point in row["curve"] if point[what] is not None]
    return found


def drawn(curves: dict[str, Curve], what: str, title: str) -> str:
    """The picture."""
    points = [point for curve in curves.values() for point in curve]
    floor = min(point[what] for point in points if point[what] > 0)
    across = Axis(max(1, min(p["paid"] for p in points)), max(p["paid"] for p in points), LEFT, WIDTH - RIGHT)
    upwards = Axis(floor, max(p[what] for p in points), HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" font-family="sans-serif"'
        f' font-size="12" role="img" aria-label="{title}">',
        f'<rect width="{WIDTH:g}" height="{HEIGHT:g}" fill="#ffffff"/>',
        f'<text x="{LEFT:g}" y="22" font-size="14" fill="{INK}">{title}</text>',
        *_grid(across, upwards),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 8:g}" text-anchor="middle" fill="{INK}">'
        "architectures paid for</text>",
    ]
    last = {name: curve[-1][what] for name, curve in curves.items()}
    names = sorted(curves, key=lambda name: -last[name])
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        parts += _line(curves[name], what, across, upwards, colour)
        y = TOP + 14 + 18 * number
        x = WIDTH - RIGHT + 14
        parts.append(f'<rect x="{x:g}" y="{y - 8:g}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 20:g}" y="{y - 1:g}" fill="{INK}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(across: Axis, upwards: Axis) -> list[str]:
    parts = []
    for value in across.ticks():
        x = across.place(value)
        parts.append(f'<path d="M{x:.1f} {TOP:g}V{HEIGHT - BOTTOM:g}" stroke="{FAINT}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16:g}" text-anchor="middle" fill="{INK}">{value:g}</text>'
        )
    for value in upwards.ticks():
        y = upwards.place(value)
        parts.append(f'<path d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}" stroke="{FAINT}"/>')
        parts.append(f'<text x="{LEFT - 6:g}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{value:g}</text>')
    return parts


def _line(curve: Curve, what: str, across: Axis, upwards: Axis, colour: str) -> list[str]:
    def places(key: str) -> list[str]:
        return [f"{across.place(point['paid']):.1f} {upwards.place(point[key]):.1f}" for point in curve]

    band = "L".join([*places(f"{what}_low"), *reversed(places(f"{what}_high"))])
    return [
        f'<path d="M{band}Z" fill="{colour}" opacity="0.12"/>',
        f'<path d="M{"L".join(places(what))}" fill="none" stroke="{colour}" stroke-width="1.8"/>',
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("what", choices=["regret", "missing_hypervolume"])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    write_atomic(options.out, drawn(read_curves(options.files, options.what), options.what, options.title))


if __name__ == "__main__":
    main()
