"""Numbers as people read them."""

from __future__ import annotations


def readable(value: float) -> str:
    """A number in at most six significant figures, thousands separated, never in powers of ten above 1e-4.

    >>> readable(6000000.0), readable(0.123456789)
    ('6,000,000', '0.123457')
    """
    return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.6g}"
