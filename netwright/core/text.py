"""Numbers as people read them."""

from __future__ import annotations


def readable(value: float) -> str:
    """A number in at most six significant figures, thousands separated, never in powers of ten above 1e-4.

    >>> readable(6000000.0), readable(0.123456789)
    ('6,000,000', '0.123457')
    """
    return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.6g}"


def rounded(value: float) -> str:
    """A number in four significant figures, or without decimals where more stand before the point.

    >>> rounded(0.123456), rounded(15937500.68)
    ('0.1235', '15,937,501')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
