"""What an outline comes to: its simplest form, identity and cost, worked out block by block.

A block's answer depends only on which of its inputs are equal and which are zero, so it is kept with the
block: a network of many equal cells costs little more to describe than one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from netwright.core.cost import Cost
from netwright.core.shapes import Shape
from netwright.search_spaces.alive_bytes import FIRST, peak_of
from netwright.search_spaces.kept_items import ZERO, Kept, in_a_row, opened, zero_bytes
from netwright.search_spaces.outline import Call, Layer, Outline
from netwright.search_spaces.wiring import Wire, wiring_key

Pattern: TypeAlias = tuple[int, ...]
"""For every input the number of the first input that is the same tensor, or ZERO."""

APART: tuple[Pattern, Pattern] = ((0,), (0, 1))
SAME: Pattern = (0, 0)


class Tie(NamedTuple):
    """A layer whose weights are shared from the top: the place, the layer's own hash, its parameters."""

    place: str
    key: str
    params: int


@dataclass(slots=True)
class Digest:
    """What an outline comes to when its inputs follow a pattern.

    It knows the shapes of the outline's tensors and not the outline, which keeps it in its notes: a circle would have
    to be found by the garbage collector.

    `output` is a tensor's number: below the number of inputs the result is that input, ZERO it is zero.
    `counts` says whether anything in it has weights or is random, so that once and twice differ; `own` parameters
    are those not shared from the top.
    """

    shapes: tuple[Shape, ...]
    sizes: tuple[int, ...]
    shape: Shape
    """What the outline gives out."""
    pattern: Pattern
    kept: Sequence[Kept]
    output: int
    counts: bool
    own: int
    macs: int
    ties: Sequence[Tie]
    reads: tuple[int, ...]
    """The inputs that the result depends on."""
    needs_graph: bool
    """Whether memory is known from all layers alone: a zero that nothing beside it can be made into is read, or, of
    what is kept as written, nobody reads what a block gives, or a block gives what it was given."""
    hashed: str = ""
    joins: bool = False
    """Whether its items always stand in its place: blocks in a row, or a sum (see `Outline.joins`)."""
    divides: bool = False
    """Whether it has blocks in it or reads several tensors, and shares no weights: then its items may stand in its
    place, where they may turn out to be alike with others."""
    peaks: dict[frozenset[int], tuple[int, int]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A hash of what is computed from the inputs, made when it is first asked for."""
        if not self.hashed:
            self.hashed, _ = _keyed(self.shapes, self.shape, self.kept, self.output, self.pattern)
        return self.hashed

    @property
    def params(self) -> int:
        """All parameters, shared ones once."""
        return self.own + sum({tie.place: tie.params for tie in self.ties}.values())


def digest_of(outline: Outline, pattern: Pattern | None = None) -> Digest:
    """What an outline comes to, without what cannot matter."""
    found: Digest | None = outline.notes.get(pattern)
    if found is None:
        found = _digest(outline, pattern or tuple(range(len(outline.input_shapes))))
        outline.notes[pattern] = found
    return found


def _digest_like(item: Call, pattern: Pattern) -> Digest:
    """A block's digest, made after that of the block it is like where there is one: the same parts matter."""
    block = item.block
    if item.like is None or item.like is block or block.shares:
        return digest_of(block, pattern)
    like = digest_of(item.like, pattern)
    if like.needs_graph or like.ties:
        return digest_of(block, pattern)
    first, kept = len(pattern), []
    own = macs = 0
    for number, _, inputs, read, inner, times, zeros in like.kept:
        part = block.items[number - first]
        if isinstance(part, Call) and inner is not None:
            inner = part.block.notes.get(inner.pattern) or _digest_like(part, inner.pattern)
            own += times * inner.own
            macs += times * inner.macs
        elif zeros:
            return digest_of(block, pattern)
        elif isinstance(part, Layer):
            own += part.params
            macs += part.macs
        kept.append(Kept(number, part, inputs, read, inner, times, zeros))
    seen = block.shapes, block.sizes, block.output_shape
    found = Digest(*seen, pattern, kept, like.output, like.counts, own, macs, (), like.reads, like.needs_graph)
    found.joins, found.divides = like.joins, like.divides
    block.notes[pattern] = found
    return found


def written_digest_of(outline: Outline) -> Digest:
    """What an outline comes to with every operation kept, also those that cannot matter; its key is not asked for."""
    found: Digest | None = outline.notes.get("written")
    if found is None:
        found = outline.notes["written"] = _written(outline)
    return found


def cost_of(digest: Digest) -> Cost:
    """Parameters, multiply-accumulates and peak activation memory of one inference at batch 1."""
    held = digest.sizes[0]
    high, _ = peak_of(digest, FIRST)
    return Cost(params=digest.params, macs=digest.macs, peak_activation_bytes=held + max(high, 0))


def _digest(outline: Outline, pattern: Pattern) -> Digest:
    arity = len(pattern)
    folded, output = _fold(outline, pattern)
    kept, live = [], {output}
    own = macs = 0
    needs_graph = counts = tied = False
    for entry in reversed(folded):
        number, item, _, read, inner, times, zeros = entry
        if number not in live:
            continue
        kept.append(entry)
        live.update(read)
        if inner is not None:
            own += times * inner.own
            macs += times * inner.macs
            needs_graph = needs_graph or inner.needs_graph or ZERO in read
            counts, tied = counts or inner.counts, tied or bool(inner.ties)
        else:
            assert isinstance(item, Layer)
            own += item.params
            macs += item.macs
            needs_graph = needs_graph or zeros < 0
            counts = counts or item.params > 0 or item.operation.random
            tied = tied or bool(item.weights)
    kept.reverse()
    if outline.shares:
        own = _own(outline, kept)
    # shared weights are told apart by hashes; without them these may never be needed
    key, ties = _keyed(outline.shapes, outline.output_shape, kept, output, pattern) if tied else ("", [])
    top = [tie for tie in ties if tie.place[0] == "/"]
    reads = tuple([n for n in range(arity) if n in live])
    seen = outline.shapes, outline.sizes, outline.output_shape
    sums = outline.joins and (arity > 1 or not counts)  # with weights, a block of one input is worth keeping
    joins = (sums or in_a_row(kept, output, arity)) and not ties
    divides = not outline.shares and not ties and (len(reads) > 1 or any(entry[4] is not None for entry in kept))
    return Digest(*seen, pattern, kept, output, counts, own, macs, top, reads, needs_graph, key, joins, divides)


def _keyed(
    shapes: Sequence[Shape], shape: Shape, kept: Sequence[Kept], output: int, pattern: Pattern
) -> tuple[str, list[Tie]]:
    """A hash of what is computed, and the layers that share weights."""
    shapes, kept = opened(shapes, kept)
    hashes, weighted, ties = _hashes(shapes, kept, pattern)
    parts = [hashes[output] if output != ZERO else _hash("zero", str(shape))]
    parts += [f"{key}*{count}" for key, count in sorted(weighted.items())]
    if max(weighted.values(), default=0) > 1:
        # layers that are alike: the hashes so far do not say which of them is read where
        plain = _plain(kept, hashes, output)
        parts.append("" if plain else wiring_key([_wire(entry, hashes) for entry in kept], output, hashes))
    if ties:
        parts += _groups(ties)
    return _hash(*parts), ties


def _plain(kept: Sequence[Kept], hashes: Mapping[int, str], output: int) -> bool:
    """Whether it is plain to see that tensors that are alike are each read once, so that they have no wiring key."""
    alike: dict[str, int] = {}
    for entry in kept:
        own = hashes[entry[0]]
        alike[own] = alike.get(own, 0) + 1
    read = {output}
    sums: set[int] = set()
    for number, item, _, inputs, digest, _, _ in kept:
        for source in inputs:
            if source in read and alike.get(hashes.get(source, ""), 0) > 1:
                return False
            read.add(source)
        if digest is None and isinstance(item, Layer) and item.operation.associative:
            if not sums.isdisjoint(inputs):  # a sum within a sum: what is in it is read by both
                return False
            sums.add(number)
    return True


def _written(outline: Outline) -> Digest:
    arity = len(outline.input_shapes)
    ties: list[Tie] = []
    kept, blocks, read = [], [], {outline.output}
    macs = 0
    needs_graph = False
    for number, item in enumerate(outline.items, start=arity):
        if isinstance(item, Call):
            digest = written_digest_of(item.block)
            macs += item.times * digest.macs
            blocks.append(number)
            needs_graph = needs_graph or digest.needs_graph or digest.output < len(item.inputs)
            reads = tuple([item.inputs[place] for place in digest.reads])
            kept.append(Kept(number, item, item.inputs, reads, digest, item.times))
            read.update(reads)
            ties += digest.ties
        else:
            macs += item.macs
            kept.append(Kept(number, item, item.inputs, item.inputs, None, 1))
            read.update(item.inputs)
            if item.weights[:1] == "/":
                ties.append(Tie(item.weights, "", item.params))
    needs_graph = needs_graph or not read.issuperset(blocks)
    reads = tuple([number for number in range(arity) if number in read])
    seen = outline.shapes, outline.sizes, outline.output_shape
    pattern = tuple(range(arity))
    return Digest(*seen, pattern, kept, outline.output, True, _own(outline, kept), macs, ties, reads, needs_graph)


def _own(outline: Outline, kept: Sequence[Kept]) -> int:
    """Parameters, but for those shared from the top; layers that share their weights here count once."""
    own, shared = 0, {}
    first = len(outline.input_shapes)
    for number, item, _, _, digest, times, _ in kept:
        if digest is not None:
            own += times * digest.own
        elif isinstance(item, Layer) and item.weights[:1] != "/":
            shared[item.weights or outline.names[number - first]] = item.params
    return own + sum(shared.values())


def _fold(outline: Outline, pattern: Pattern) -> tuple[list[Kept], int]:
    """Every item that does something, reading what its inputs really are; and what the result really is."""
    alias = list(pattern)
    shapes = outline.shapes
    kept = []
    number = len(pattern)
    for item in outline.items:
        given = item.inputs
        # one input is by far the most frequent case, and this loop is where spaces of cells spend their time
        inputs = (alias[given[0]],) if len(given) == 1 else tuple([alias[n] for n in given])
        if isinstance(item, Call):
            pattern = _pattern(inputs)
            digest = item.block.notes.get(pattern) or _digest_like(item, pattern)
            same = digest.output
            if same < len(inputs):
                alias.append(ZERO if same == ZERO else inputs[same])
            else:
                alias.append(number)
                read = inputs if len(digest.reads) == len(inputs) else tuple([inputs[n] for n in digest.reads])
                kept.append(Kept(number, item, inputs, read, digest, item.times))
        else:
            folded, inputs = _folded(item, inputs, shapes)
            alias.append(number if folded is None else folded)
            if folded is None:
                zeros = zero_bytes(item, inputs, outline) if ZERO in inputs else 0
                kept.append(Kept(number, item, inputs, inputs, None, 1, zeros))
        number += 1
    return kept, alias[outline.output]


def _folded(item: Layer, inputs: tuple[int, ...], shapes: Sequence[Shape]) -> tuple[int | None, tuple[int, ...]]:
    """The tensor that a layer's result is anyway, if so; and the inputs that matter to it."""
    operation = item.operation
    if operation.drops_zeros and ZERO in inputs:
        inputs = tuple([n for n in inputs if n != ZERO])
        if not inputs:
            return ZERO, inputs
    if operation.is_zero():
        return ZERO, inputs
    if ZERO in inputs and (operation.zeroed_by_one or max(inputs) == ZERO) and operation.keeps_zeros():
        return ZERO, inputs
    if len(inputs) == 1 and operation.is_identity([shapes[item.inputs[0]]]):
        return inputs[0], inputs
    return None, inputs


def _pattern(inputs: Sequence[int]) -> Pattern:
    if ZERO not in inputs and len(inputs) < 3:
        return APART[0] if len(inputs) == 1 else SAME if inputs[0] == inputs[1] else APART[1]
    first: dict[int, int] = {}
    return tuple([ZERO if n == ZERO else first.setdefault(n, place) for place, n in enumerate(inputs)])


def _hashes(
    shapes: Sequence[Shape], kept: Sequence[Kept], pattern: Pattern
) -> tuple[dict[int, str], dict[str, int], list[Tie]]:
    """A hash of every tensor, how often each weighted one is made, and the layers that share weights."""
    # an input that nobody reads does not count: a block of the second input alone is one with a block of one input
    read_here = {n for entry in kept for n in entry.read} if len(pattern) > 1 else {0}
    live = [n for n in dict.fromkeys(pattern) if n in read_here]
    hashes = {n: f"input {live.index(n) if n in live else n} {_text(shapes[n])}" for n in pattern if n != ZERO}
    terms: dict[int, list[str]] = {}
    weighted: dict[str, int] = {}
    ties: list[Tie] = []
    for number, item, _, read, digest, times, _ in kept:
        inputs = _hashes_of_zeros(item, read, digest, shapes, hashes) if ZERO in read else [hashes[n] for n in read]
        if digest is not None:
            own, key = "", _call_key(item, digest)
            for _ in range(times):
                own = _hash(key, *inputs)
                inputs = [own]
                if digest.counts:
                    weighted[own] = weighted.get(own, 0) + 1
                for tie in digest.ties:
                    ties.append(Tie(tie.place, _hash(tie.key, own), tie.params))
        else:
            assert isinstance(item, Layer)
            operation = item.operation
            if operation.associative:
                inputs = [term for n, text in zip(read, inputs, strict=True) for term in terms.get(n, (text,))]
                terms[number] = inputs
            own = _hash(operation.key, *(sorted(inputs) if operation.commutative else inputs))
            if item.params or operation.random:
                weighted[own] = weighted.get(own, 0) + 1
            if item.weights:
                ties.append(Tie(item.weights, own, item.params))
        hashes[number] = own
    return hashes, weighted, ties


def _hashes_of_zeros(
    item: Layer | Call, read: Sequence[int], digest: Digest | None, shapes: Sequence[Shape], hashes: Mapping[int, str]
) -> list[str]:
    """The hashes of what an item reads, some of it zeros, which only their shape tells apart."""
    places = range(len(read)) if digest is None else digest.reads
    given = [shapes[item.inputs[place]] for place in places]
    return [hashes[n] if n != ZERO else _hash("zero", str(shape)) for n, shape in zip(read, given, strict=True)]


def _call_key(item: Layer | Call, digest: Digest) -> str:
    """The hash of a block; one that is like another is told by that one and by its own sizes."""
    if isinstance(item, Call) and item.like is not None:
        block = item.block
        like = digest_of(item.like, digest.pattern)
        return _hash("like", like.key, _text(block.input_shapes), _text(block.output_shape))
    return digest.hashed or digest.key


@lru_cache(maxsize=4096)
def _text(shape: Shape | tuple[Shape, ...]) -> str:
    return str(shape)


def _wire(entry: Kept, hashes: Mapping[int, str]) -> Wire:
    number, item, _, read, digest, _, _ = entry
    if digest is not None:
        return Wire(number, hashes[number], read, ordered=True, summed=False, weighted=digest.counts)
    assert isinstance(item, Layer)
    operation, weighted = item.operation, item.operation.random or item.params > 0
    summed, ordered = operation.associative, not operation.commutative
    return Wire(number, hashes[number], read, ordered=ordered, summed=summed, weighted=weighted)


def _groups(ties: Sequence[Tie]) -> list[str]:
    """Which hashes share one place, in an order of its own."""
    shared: dict[str, list[str]] = defaultdict(list)
    for tie in ties:
        shared[tie.place].append(tie.key)
    return sorted("=".join(sorted(keys)) for keys in shared.values() if len(keys) > 1)


def key_of_text(text: str) -> str:
    """A hash of a text, of the form that every identity has."""
    return _hash(text)


def _hash(*parts: str) -> str:
    return blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
