"""Figures as papers print them, such as `23.8M`, and whether a count agrees with one to its printed digits."""

from __future__ import annotations

import re
from decimal import Decimal

from netwright.core.errors import SpaceError

UNITS = {"": 0, "k": 3, "K": 3, "M": 6, "B": 9, "G": 9, "T": 12}
FIGURE = re.compile(r"^(\d+(?:\.\d+)?)\s*([kKMBGT]?)$")


def agrees(count: int, printed: int | str) -> bool:
    """Whether a count is the printed figure: exactly for a plain number, else rounded or cut off to its digits.

    >>> agrees(23834568, "23.8M"), agrees(23834568, "23.9M"), agrees(266610, "266K"), agrees(61706, 61706)
    (True, False, True, True)

    Raises SpaceError for a text that is no figure.
    """
    digits, power = _parsed(printed)
    if not power:
        return count == digits
    last = Decimal(1).scaleb(int(digits.as_tuple().exponent) + power)
    over = count - digits.scaleb(power)
    return -last / 2 <= over < last


def value_of(printed: int | str) -> float:
    """The number that a printed figure stands for."""
    digits, power = _parsed(printed)
    return float(digits.scaleb(power))


def _parsed(printed: int | str) -> tuple[Decimal, int]:
    found = FIGURE.match(str(printed).replace(",", "").replace("_", ""))
    if not found:
        raise SpaceError(f"expected a figure such as 4089184256 or 23.8M, came {printed!r}")
    return Decimal(found[1]), UNITS[found[2]]
