"""The multiply-accumulates of an Einsum node, from its equation and the shapes of what it reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

Shape = tuple[int, ...]
_AXIS = re.compile(r"\.\.\.|[A-Za-z]")


def einsum_macs(equation: str, shapes: Sequence[Shape]) -> int:
    """Multiply-accumulates when operands are multiplied from left to right, as runtimes do.

    A product in which nothing is added up, such as an outer one, counts as zero, like other element-wise operations.

    >>> einsum_macs("btf,fh->bth", [(1, 12, 5), (5, 8)])
    480
    """
    left, _, right = equation.replace(" ", "").partition("->")
    terms = [_axes(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    named = [name for term in terms for name in term]
    # without an arrow the result has the axes that occur once
    wanted = _axes(right, None) if "->" in equation else [name for name in named if named.count(name) == 1]
    wanted += [name for name in named if name.isdigit()]
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for name, size in zip(term, shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    total, current = 0, set(terms[0])
    for number, term in enumerate(terms[1:], start=2):
        current |= set(term)
        later = {name for other in terms[number:] for name in other} | set(wanted)
        if current - later:
            total += prod(sizes[name] for name in current)
        current &= later
    return total


def _axes(term: str, rank: int | None) -> list[str]:
    """Names of a term's axes; those of an ellipsis are numbered from the last, and left out where no rank is known."""
    found = []
    for name in _AXIS.findall(term):
        if name != "...":
            found.append(name)
        elif rank is not None:
            found += [str(number) for number in reversed(range(rank - len(_AXIS.findall(term)) + 1))]
    return found
