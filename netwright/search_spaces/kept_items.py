"""The items of an outline that its result depends on, as its digest keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from netwright.core.shapes import Shape
from netwright.search_spaces.outline import Call, Layer

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


def in_a_row(kept: Sequence[Kept], output: int, arity: int) -> bool:
    """Whether it is blocks one after another, and nothing besides."""
    before = -1
    for number, _, _, read, inner, _, _ in kept:
        if inner is None or len(read) != 1 or (read[0] != before if before >= 0 else read[0] >= arity):
            return False
        before = number
    return before == output


def opened(shapes: Sequence[Shape], kept: Sequence[Kept]) -> tuple[Sequence[Shape], Sequence[Kept]]:
    """The items, with their own in place of blocks that only join others; and the shapes of all tensors then."""
    opens = [entry for entry in kept if entry[4] is not None and entry[4].joins and _opens(entry[1])]
    if not opens:
        return shapes, kept
    every, found, waiting = list(shapes), [], iter(opens)
    following = next(waiting)
    for entry in kept:
        if entry is not following:
            found.append(entry)
            continue
        following = next(waiting, entry)
        number, whole, inputs, _, digest, turns, _ = entry
        assert digest is not None
        own, parts = opened(digest.shapes, digest.kept)
        arity = len(inputs)
        for turn in range(turns):
            fresh = range(len(every), len(every) + len(own) - arity)
            real = [*inputs, *fresh, ZERO]
            every += own[arity:]
            if turn == turns - 1:
                real[digest.output] = number  # what reads the block reads its last part
            for inner, item, _, read, part, times, zeros in parts:
                if ZERO in read:
                    written = [*whole.inputs, *fresh]
                    item = item._replace(inputs=tuple([written[n] for n in item.inputs]))
                reads = tuple([real[n] for n in read])
                found.append(Kept(real[inner], item, reads, reads, part, times, zeros))
            inputs = (real[digest.output],)
    return every, found


def _opens(item: Layer | Call) -> bool:
    return isinstance(item, Call) and item.like is None
