"""Which cells of NAS-Bench-201 are the same network: the published classes beside netwright's identities.

The published classes are texts, built node by node: `(0)@nor_conv_3x3+0` is a convolution of the cell's input
beside the input itself. Four rules lead from these texts to netwright's identities, and each is a cause for which
the two may differ:

- order: a sum of sums is one sum, its terms in order. The published texts order the terms of each node by itself, so
  one sum that is nested in two ways has two texts.
- zero_terms: adding zero changes nothing, and a sum of zeros is zero. In the published texts `#+0` is not `0`.
- shift_of_zero: a convolution of zeros ends in a batch normalisation, which gives out its learned shift, whichever
  the convolution. The published texts take it for zero.
- layers: one convolution whose result is added twice is not two convolutions with weights of their own. The published
  texts are the same for both.

Written without netwright's code, as a second opinion on its identity.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, permutations

RULES = ("order", "zero_terms", "shift_of_zero", "layers")
SUBSETS = tuple(chain.from_iterable(combinations(RULES, count) for count in range(len(RULES) + 1)))
"""All sets of rules, the smallest first."""
ZERO = ("#",)
Cell = tuple[tuple[str, ...], ...]
"""For nodes 1, 2 and 3 the operations from nodes 0, 1, ... in order."""
Terms = tuple[str, ...]
Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs of cells that one side calls equal and the other does not, counted by the rules that decide.

    `equal_here` share an identity and not the published class, `equal_there` the class and not the identity. `rows`
    are the cells in at least one such pair; `unexplained` the pairs that no rule decides.
    """

    equal_here: Counter[str]
    equal_there: Counter[str]
    rows: int
    unexplained: int


def read(genotype: str) -> Cell:
    """The operations of a published string."""
    return tuple(tuple(edge.split("~")[0] for edge in node[1:-1].split("|")) for node in genotype.split("+"))


def description(cell: Cell, rules: Sequence[str] = RULES, marks: Sequence[str] = ("",) * 6) -> Hashable:
    """What a cell computes: equal for cells that these rules call equal; without rules the published text.

    `marks` are put on the layers of the six edges, to keep layers apart that are alike.
    """
    made: dict[Edge, Terms] = {}
    values = [("0",)]
    for target, operations in enumerate(cell, start=1):
        for source, operation in enumerate(operations):
            made[source, target] = _edge(values[source], operation, rules, marks[len(made)])
        values.append(_sum([made[source, target] for source in range(target)], rules))
    text = "+".join(values[-1])
    if "layers" not in rules:
        return text
    return text, tuple(sorted("+".join(made[edge]) for edge in _live(made) if "conv" in cell[edge[1] - 1][edge[0]]))


def wiring(cell: Cell) -> Hashable:
    """The same by all rules, and besides by which of several layers that are alike is used where.

    The smallest description of all in which each layer has a mark of its own.
    """
    plain = description(cell)
    assert isinstance(plain, tuple)
    if len(set(plain[1])) == len(plain[1]):
        return plain
    places = [place for place, operation in enumerate(chain.from_iterable(cell)) if "conv" in operation]
    marked = []
    for order in permutations(range(len(places))):
        marks = dict(zip(places, order, strict=True))
        marked.append(repr(description(cell, RULES, [f"!{marks.get(place, '')}" for place in range(6)])))
    return plain, min(marked)


def compare(cells: Sequence[Cell], published: Sequence[str], identities: Sequence[str]) -> Comparison:
    """Every pair of cells that is equal on one side alone, by the smallest set of rules that decides on it."""
    looks: list[tuple[Hashable, ...]] = [tuple(description(cell, rules) for rules in SUBSETS) for cell in cells]
    keys = list(zip(identities, published, looks, strict=True))
    here: Counter[str] = Counter()
    there: Counter[str] = Counter()
    rows: set[tuple[str, str]] = set()
    for one, other, pairs in _pairs(keys, side=0, apart=1):
        decides = [rules for rules, a, b in zip(SUBSETS, one[2], other[2], strict=True) if a == b]
        here[" + ".join(decides[0]) if decides else ""] += pairs
        rows |= {one[:2], other[:2]}
    for one, other, pairs in _pairs(keys, side=1, apart=0):
        decides = [rules for rules, a, b in zip(SUBSETS, one[2], other[2], strict=True) if a != b]
        there[" + ".join(decides[0]) if decides else ""] += pairs
        rows |= {one[:2], other[:2]}
    differing = sum(key[:2] in rows for key in keys)
    return Comparison(here, there, differing, here.pop("", 0) + there.pop("", 0))


Key = tuple[str, str, tuple[Hashable, ...]]


def _pairs(keys: Sequence[Key], *, side: int, apart: int) -> Iterator[tuple[Key, Key, int]]:
    """Two cells that are equal on one side and not on the other, and how many pairs are just like these."""
    groups: dict[Hashable, Counter[Key]] = defaultdict(Counter)
    for key in keys:
        groups[key[side]][key] += 1
    for members in groups.values():
        for (one, many), (other, more) in combinations(members.items(), 2):
            if one[apart] != other[apart]:
                yield one, other, many * more


def _edge(value: Terms, operation: str, rules: Sequence[str], mark: str) -> Terms:
    """The terms that an edge adds to its target."""
    convolves = "conv" in operation
    if operation == "none":
        return ZERO
    if value == ZERO:
        return (f"(#)@norm{mark}",) if convolves and "shift_of_zero" in rules else ZERO
    if operation == "skip_connect":
        return value
    return (f"({'+'.join(value)})@{operation}{mark if convolves else ''}",)


def _sum(parts: Sequence[Terms], rules: Sequence[str]) -> Terms:
    terms = list(chain.from_iterable(parts)) if "order" in rules else ["+".join(part) for part in parts]
    if "zero_terms" in rules:
        terms = [term for term in terms if term != ZERO[0]] or [*ZERO]
    return tuple(sorted(terms))


def _live(made: dict[Edge, Terms]) -> Iterator[Edge]:
    """The edges that add something to the cell's result."""
    needed = {3}
    for source, target in sorted(made, key=lambda edge: -edge[1]):
        if target in needed and made[source, target] != ZERO:
            needed.add(source)
            yield source, target
