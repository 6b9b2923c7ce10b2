"""The items of an outline that its result depends on, as its digest keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from netwright.core.shapes import Shape
from netwright.search_spaces.outline import FLOAT_BYTES, Call, Layer, Outline

if TYPE_CHECKING:
    from netwright.search_spaces.digest import Digest

ZERO = -1
"""The number of a tensor that is zero whatever comes in."""


class Kept(NamedTuple):
    """An item that the result depends on.

    `inputs` are its inputs after folding, `read` those that matter (a block may pass over some), `digest`
    is what a block comes to for these inputs and `times` how often it runs in a row. `zeros` are the bytes
    of zeros that a layer reads, when they can be made from another of its inputs; else -1.
    """

    number: int
    item: Layer | Call
    inputs: tuple[int, ...]
    read: tuple[int, ...]
    digest: Digest | None
    times: int
    zeros: int = 0


def zero_bytes(item: Layer, inputs: tuple[int, ...], outline: Outline) -> int:
    """The bytes of the zeros that a layer reads, one tensor per shape; -1 when no other input has that shape."""
    shapes, zeros = outline.shapes, set()
    beside = {shapes[n] for n, real in zip(item.inputs, inputs, strict=False) if real != ZERO}
    for place, real in zip(item.inputs, inputs, strict=False):
        if real == ZERO:
            zeros.add(shapes[place])
    return FLOAT_BYTES * sum(prod(shape) for shape in zeros) if zeros <= beside else -1


def in_a_row(kept: Sequence[Kept], output: int, arity: int) -> bool:
    """Whether it is blocks one after another, and nothing besides."""
    before = -1
    for number, _, _, read, inner, _, _ in kept:
        if inner is None or len(read) != 1 or (read[0] != before if before >= 0 else read[0] >= arity):
            return False
        before = number
    return before == output


def opened(shapes: Sequence[Shape], kept: Sequence[Kept]) -> tuple[Sequence[Shape], Sequence[Kept]]:
    """The items, with their own in place of blocks that are not taken as wholes; and the shapes of all tensors then.

    Those are blocks that only join others, and blocks that occur once, so that taking them as wholes saves nothing.
    """
    kept = _led(kept)
    while opens := _to_open(kept):
        shapes, kept = _opened(shapes, kept, opens)
    return shapes, kept


def _led(kept: Sequence[Kept]) -> Sequence[Kept]:
    """The items, with the first that is left of blocks that are alike as the one that the others are like."""
    plain: set[int] = set()
    likes: set[int] = set()
    for _, item, _, _, digest, _, _ in kept:
        if digest is not None and isinstance(item, Call):
            (plain if item.like is None else likes).add(id(item.like or item.block))
    if likes <= plain:
        return kept
    first: dict[int, Outline] = {}
    found = []
    for entry in kept:
        item = entry[1]
        if isinstance(item, Call):
            family = id(item.like or item.block)
            entry = entry._replace(item=item._replace(like=first.get(family) if item.like else None))
            first.setdefault(family, item.block)
        found.append(entry)
    return found


def _to_open(kept: Sequence[Kept]) -> set[int]:
    """The numbers of the blocks that are opened; how the network is written does not decide which these are."""
    found: set[int] = set()
    divided: list[tuple[int, Call, Digest, int]] = []
    for number, item, _, _, digest, times, _ in kept:
        if digest is None or not (digest.joins or digest.divides):
            continue
        assert isinstance(item, Call)
        if digest.joins and item.like is None:
            found.add(number)
        elif digest.divides:
            divided.append((number, item, digest, times))
    if not divided:
        return found
    models = {id(item.like) for _, item, _, _ in divided}
    single = [entry for entry in divided if entry[1].like is None and id(entry[1].block) not in models]
    often = Counter([digest.key for _, _, digest, times in single for _ in range(times)])
    return found.union([number for number, _, digest, _ in single if often[digest.key] == 1])


def _opened(shapes: Sequence[Shape], kept: Sequence[Kept], opens: set[int]) -> tuple[list[Shape], list[Kept]]:
    every: list[Shape] = list(shapes)
    found: list[Kept] = []
    for entry in kept:
        number, whole, inputs, _, digest, turns, _ = entry
        if number not in opens:
            found.append(entry)
            continue
        assert digest is not None
        own, arity = digest.shapes, len(inputs)
        for turn in range(turns):
            fresh = range(len(every), len(every) + len(own) - arity)
            real = [*inputs, *fresh, ZERO]
            every += own[arity:]
            if turn == turns - 1:
                real[digest.output] = number  # what reads the block reads its last part
            for inner, item, given, read, part, times, zeros in digest.kept:
                if ZERO in read or part is not None:
                    written = [*whole.inputs, *fresh]
                    item = item._replace(inputs=tuple([written[n] for n in item.inputs]))
                reads = tuple([real[n] for n in read])
                given = reads if len(given) == len(read) else tuple([real[n] for n in given])
                found.append(Kept(real[inner], item, given, reads, part, times, zeros))
            inputs = (real[digest.output],)
    return every, found
