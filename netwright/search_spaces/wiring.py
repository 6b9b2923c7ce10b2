"""Telling apart layers that are alike, have weights of their own and read the same, by who reads them.

A hash of a layer and of what it reads is the same for two such layers. Networks that use them differently,
such as conv(a) + pool(a) + b and conv(a) + pool(b) + a, where a and b are alike, differ in wiring alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Read: TypeAlias = tuple[bool, list[int]]
"""Whether the order means something, and the tensors that are read."""


class Wire(NamedTuple):
    """A tensor's number, a hash of how it is made, the tensors that it is made of.

    `ordered` says whether the order of those means something, `summed` whether a sum among them is part of this
    sum, `weighted` whether making it twice is not the same as making it once.
    """

    number: int
    key: str
    inputs: Sequence[int]
    ordered: bool
    summed: bool
    weighted: bool


def wiring_key(wires: Iterable[Wire], output: int, inputs: Mapping[int, str]) -> str:
    """A hash of a network that depends on how its tensors are wired and not on their numbers.

    `inputs` are the hashes of the tensors that come in from outside. Colours are refined from the inputs to the
    output and back until no more of them differ (Weisfeiler & Leman, 1968). Empty when layers that are alike are each
    read in one place alone: which of them is read where is then a matter of numbering.
    """
    reads, keys, result = _merged(wires, output)
    if _read_once(reads, keys, result):
        return ""
    readers: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, (ordered, sources) in reads.items():
        for place, source in enumerate(sources):
            readers[source].append((number, place if ordered else 0))
    outside = {source for _, sources in reads.values() for source in sources if source not in reads}
    colours = _ranks({number: (keys[number], number == result) for number in reads})
    colours.update({source: -1 - rank for source, rank in _ranks({n: inputs.get(n, "zero") for n in outside}).items()})
    known = 0
    while True:
        looks: dict[int, tuple[object, ...]] = {}
        for number, (ordered, sources) in reads.items():
            found = [colours[source] for source in sources]
            if not ordered:
                found.sort()
            around = sorted([(colours[reader], place) for reader, place in readers[number]])
            looks[number] = (colours[number], tuple(found), tuple(around))
        ranks = _ranks(looks)
        count = len(set(ranks.values()))
        if count == known:
            marks = sorted(inputs.get(source, "zero") for source in outside)
            return _hash(*marks, *sorted(f"{keys[number]} {number == result} {look}" for number, look in looks.items()))
        colours.update(ranks)
        known = count


def _read_once(reads: Mapping[int, Read], keys: Mapping[int, str], result: int) -> bool:
    """Whether every tensor that has its like is read once; being the result counts as that."""
    several = {number for number, times in Counter(_sources(reads, result)).items() if times > 1}
    alike = Counter([keys[number] for number in reads])
    return not any(alike[keys[number]] > 1 for number in several if number in reads)


def _sources(reads: Mapping[int, Read], result: int) -> list[int]:
    found = [result]
    for _, sources in reads.values():
        found += sources
    return found


def _ranks(looks: Mapping[int, Any]) -> dict[int, int]:
    """The place of every look among all that differ."""
    place = {look: rank for rank, look in enumerate(sorted(set(looks.values())))}
    return {number: place[look] for number, look in looks.items()}


def _merged(wires: Iterable[Wire], output: int) -> tuple[dict[int, Read], dict[int, str], int]:
    """What every tensor that the output depends on reads, the hash of each, and the output's number.

    The same value made twice without weights is one tensor.
    """
    alias: dict[int, int] = {}
    terms: dict[int, list[int]] = {}
    first: dict[tuple[str, tuple[int, ...]], int] = {}
    reads: dict[int, Read] = {}
    colours: dict[int, str] = {}
    for wire in wires:
        sources = [alias.get(number, number) for number in wire.inputs]
        if wire.summed:
            sources = [term for number in sources for term in terms.get(number, [number])]
            terms[wire.number] = sources
        if not wire.ordered:
            sources.sort()
        same = wire.number if wire.weighted else first.setdefault((wire.key, tuple(sources)), wire.number)
        alias[wire.number] = same
        reads[same], colours[same] = (wire.ordered, sources), wire.key
    result = alias.get(output, output)
    live = {result}
    for number in reversed(reads):
        if number in live:
            live.update(reads[number][1])
    return {number: read for number, read in reads.items() if number in live}, colours, result


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
