"""The few SVG marks that drawings are made of; all text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from netwright.search_spaces.layered_layout import Point
from netwright.search_spaces.operation import Family

COLOURS: dict[Family, str] = {
    "convolution": "#0072B2",
    "pooling": "#009E73",
    "recurrent": "#CC79A7",
    "linear": "#D55E00",
    "attention": "#A89F1B",
    "wiring": "#8A8A8A",
    "pointwise": "#E69F00",
    "other": "#56B4E9",
}
"""Okabe & Ito's colours (the yellow darkened), which readers with any colour vision can tell apart."""


def text(
    at: Point, words: str, *, size: float = 12, anchor: str = "start", bold: bool = False, faint: bool = False
) -> str:
    """One line of text; `at` is its baseline."""
    weight = ' font-weight="600"' if bold else ""
    opacity = ' opacity="0.72"' if faint else ""
    place = f'x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
    return f'<text {place}{weight}{opacity} fill="currentColor">{escape(words)}</text>'


def box(corner: Point, size: tuple[float, float], family: Family, *, round_by: float = 7) -> str:
    """A rounded rectangle in the colour of a family."""
    colour = COLOURS[family]
    place = f'x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="{round_by:g}"'
    return f'<rect {place} fill="{colour}" fill-opacity="0.14" stroke="{colour}" stroke-width="1.5"/>'


def frame(corner: Point, size: tuple[float, float]) -> str:
    """A dashed line around a part of the drawing."""
    place = f'x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="9"'
    return f'<rect {place} fill="none" stroke="currentColor" stroke-opacity="0.45" stroke-dasharray="5 4"/>'


def dot(at: Point, family: Family, *, radius: float = 4) -> str:
    """A filled circle in the colour of a family."""
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}" fill="{COLOURS[family]}"/>'


def ring(at: Point, *, radius: float) -> str:
    """An empty circle, for a sum."""
    place = f'cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}"'
    return f'<circle {place} fill="none" stroke="currentColor" stroke-opacity="0.7" stroke-width="1.5"/>'


def curve(points: Sequence[Point], *, marker: str, straight: float = 0.0) -> str:
    """A smooth line down through the points, with an arrow at its end.

    In-between points are passed upright for `straight` pixels above and below.
    """
    parts = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    x0, y0 = points[0]
    for index, (x, y) in enumerate(points[1:], start=1):
        reach = straight if index < len(points) - 1 else 0.0
        middle = (y0 + y - reach) / 2
        parts.append(f"C{x0:.1f},{middle:.1f} {x:.1f},{middle:.1f} {x:.1f},{y - reach:.1f}")
        if reach:
            parts.append(f"V{y + reach:.1f}")
        x0, y0 = x, y + reach
    return path(" ".join(parts), marker=marker)


def path(data: str, *, marker: str) -> str:
    """An arrow along SVG path data."""
    return (
        f'<path d="{data}" fill="none" stroke="currentColor" stroke-opacity="0.6" '
        f'stroke-width="1.5" marker-end="url(#{marker})"/>'
    )


def document(parts: Sequence[str], *, width: float, height: float, title: str, marker: str) -> str:
    """A whole SVG with its arrow head and its title, that takes its text colour from where it is shown."""
    arrow = (
        f'<defs><marker id="{marker}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" fill="currentColor" fill-opacity="0.75"/></marker></defs>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{marker}-title" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'style="max-width:100%;height:auto" font-family="system-ui, sans-serif">'
    )
    return f'{head}<title id="{marker}-title">{escape(title)}</title>{arrow}{"".join(parts)}</svg>'


def on_paper(picture: str) -> str:
    """The same picture for a file of its own: dark on white, wherever it is shown."""
    return picture.replace('style="max-width', 'style="background:#fff;color:#1f2328;max-width', 1)
