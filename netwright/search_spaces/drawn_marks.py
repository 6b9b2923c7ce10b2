"""Small things that all parts of a drawing share: widths of words, pills, shapes and counts in words."""

from __future__ import annotations

from netwright.core.shapes import Shape
from netwright.search_spaces import svg
from netwright.search_spaces.layered_layout import Point


def width(words: str, *, size: float = 12, bold: bool = False) -> float:
    """About how wide a text is, in pixels; rather too wide than too narrow."""
    return len(words) * size * (0.6 if bold else 0.55)


def pill_width(words: str) -> float:
    return width(words) + 24


def pill(centre: Point, words: str, *, room: float = 0.0) -> list[str]:
    """A small round box for what comes in and goes out."""
    wide = room or pill_width(words)
    corner = (centre[0] - wide / 2, centre[1] - 12)
    return [
        svg.box(corner, (wide, 24), "wiring", round_by=12),
        svg.text((centre[0], centre[1] + 4), words, anchor="middle"),
    ]


def shape(shape: Shape) -> str:
    return "×".join(map(str, shape))


def thousands(count: int) -> str:
    if count < 1000:
        return str(count)
    return f"{count / 1000:.3g} k" if count < 1_000_000 else f"{count / 1e6:.3g} M"
