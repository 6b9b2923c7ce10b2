"""A network as written: layers and calls of blocks, so that what repeats is described once.

Tensors are numbered: the inputs first, then what each item gives out, in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from keyword import kwlist
from math import prod
from typing import Any, NamedTuple

from netwright.core.plugins import name_of
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Operation

FLOAT_BYTES = 4
RESERVED = frozenset(kwlist)
"""Words that cannot be part of a path in the Python code of a built network."""


class Layer(NamedTuple):
    """One operation at one place: scopes and name (empty: the operation's own), inputs, what comes out.

    `weights` is the place that it shares its weights with, counted from here or, with `/` before it, from the top.
    """

    scopes: tuple[str, ...]
    name: str
    operation: Operation
    inputs: tuple[int, ...]
    shape: Shape
    weights: str
    params: int
    macs: int


class Call(NamedTuple):
    """A block at one place, `times` in a row; several are named with numbers from 1.

    `like` is an earlier block that differs in sizes alone: whatever two such blocks are equal in, so are these.
    """

    scopes: tuple[str, ...]
    name: str
    block: Outline
    inputs: tuple[int, ...]
    shape: Shape
    times: int = 1
    like: Outline | None = None

    def parts(self, path: str) -> Iterator[str]:
        """The path of each repetition."""
        if self.times == 1:
            yield path
        else:
            yield from (f"{path}{number + 1}" for number in range(self.times))


@dataclass(eq=False)
class Outline:
    """Items in an order in which they can run, and the tensor that is the result; none of it is changed later.

    Not frozen: so many of them are made that the way around would cost more than what it guards.
    """

    input_shapes: tuple[Shape, ...]
    items: tuple[Layer | Call, ...]
    output: int
    notes: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What was worked out about this outline, by those who asked; kept as long as the outline is."""

    def __post_init__(self) -> None:
        # worked out here: a cached property costs more than each of them, and all are asked for
        self.shapes: tuple[Shape, ...] = (*self.input_shapes, *[item.shape for item in self.items])
        """The shape of every tensor."""
        self.sizes: tuple[int, ...] = tuple([FLOAT_BYTES * prod(shape) for shape in self.shapes])
        """The bytes of every tensor, as 32-bit numbers for one sample."""
        self.output_shape = self.shapes[self.output]
        """The shape of the result."""
        self.shares = bool([item for item in self.items if isinstance(item, Layer) and item.weights])
        """Whether any layer here says where its weights are."""
        self.joins = self._joins()
        """Whether it does no more than to sum what blocks make of its inputs: it is one with the sums around it."""

    def _joins(self) -> bool:
        arity = len(self.input_shapes)
        if self.output < arity or self.shares:
            return False
        last = self.items[self.output - arity]
        if not isinstance(last, Layer) or not last.operation.associative:
            return False
        return all(isinstance(item, Call) or not item.params for item in self.items)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The path of every item; a second item of one name gets a number."""
        taken: set[str] = {"input"}
        found = []
        for item in self.items:
            own = item.name or name_of(item.operation).rpartition(":")[2].lower()  # type: ignore[union-attr]  # calls have names
            path = "/".join([*item.scopes, own])
            if not RESERVED.isdisjoint(path.split("/")):
                path = "/".join(f"{part}_" if part in RESERVED else part for part in path.split("/"))
            number = 2
            free = path
            while free in taken:
                free = f"{path}_{number}"
                number += 1
            taken.add(free)
            found.append(free)
        return tuple(found)
