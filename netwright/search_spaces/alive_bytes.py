"""How many bytes are alive at once while a network runs, worked out block by block from its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netwright.search_spaces.digest import Digest

NOTHING: frozenset[int] = frozenset()
FIRST = frozenset({0})


def peak_of(digest: Digest, dying: frozenset[int]) -> tuple[int, int]:
    """The most bytes alive while the items run, and those alive at the end, both beyond what was alive before.

    `dying` are the inputs that nobody needs after their last use here.
    """
    if dying not in digest.peaks:
        digest.peaks[dying] = _run(digest, dying)
    return digest.peaks[dying]


def _run(digest: Digest, dying: frozenset[int]) -> tuple[int, int]:
    arity = len(digest.pattern)
    size = digest.sizes
    last: dict[int, int] = {}
    for entry in digest.kept:
        for tensor in entry[3]:
            last[tensor] = entry[0]
    last.pop(digest.output, None)
    ends: dict[int, list[int]] = {}
    for tensor, number in last.items():
        if tensor >= arity or tensor in dying:
            ends.setdefault(number, []).append(tensor)
    alive = peak = 0
    for number, _, inputs, _, inner, times, zeros in digest.kept:
        ending = ends.get(number, ())
        if inner is None:
            alive += size[number]
            peak = max(peak, alive + zeros)
            for tensor in ending:
                alive -= size[tensor]
        else:
            inside = NOTHING if not ending else FIRST if len(inputs) == 1 else frozenset(map(inputs.index, ending))
            high, left = inner.peaks.get(inside) or peak_of(inner, inside)
            peak = max(peak, alive + high)
            alive += left
            if times > 1:
                peak = max(peak, alive + peak_of(inner, FIRST)[0])
        makes = inner is None or inner.output >= len(inputs)
        if makes and number not in last and number != digest.output:
            alive -= size[number]
    return peak, alive
