"""A network cut into the units that a runtime runs as one: what is timed, and what a prediction adds up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from netwright.core.errors import NetwrightError
from netwright.core.plugins import built, name_of, spec_of
from netwright.core.shapes import Shape
from netwright.search_spaces.canonical import simplify
from netwright.search_spaces.graph import LayerGraph, consumers, node_shapes
from netwright.search_spaces.operation import Operation

FLOAT_BYTES = 4
FUSING = frozenset({"convolution", "linear"})
"""Families of operations into which a runtime folds the normalisation and the activation that follow."""


@dataclass(frozen=True)
class Unit:
    """Operations that follow one another with nothing between them, and the shapes that come into the first."""

    operations: tuple[Operation, ...]
    input_shapes: tuple[Shape, ...]

    @cached_property
    def key(self) -> str:
        """One line that says the unit completely."""
        return " > ".join(operation.key for operation in self.operations) + f" @ {shapes_text(self.input_shapes)}"

    @cached_property
    def kind(self) -> str:
        """The names of its operations: units of one kind differ in sizes alone."""
        return "+".join(_kind_of(operation) for operation in self.operations)

    @cached_property
    def output_shape(self) -> Shape:
        """The shape that comes out of the last operation."""
        return self._shapes[-1][0]

    @property
    def params(self) -> int:
        """Number of parameters."""
        return sum(o.params(shapes) for o, shapes in zip(self.operations, self._shapes, strict=False))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(o.macs(shapes) for o, shapes in zip(self.operations, self._shapes, strict=False))

    @property
    def moved_bytes(self) -> int:
        """Bytes of what comes in, what goes out and the weights, in 32-bit numbers."""
        values = sum(map(prod, self.input_shapes)) + prod(self.output_shape) + self.params
        return FLOAT_BYTES * values

    @cached_property
    def _shapes(self) -> list[Sequence[Shape]]:
        """What comes into each operation, and at the end what comes out of the last."""
        shapes: list[Sequence[Shape]] = [self.input_shapes]
        for operation in self.operations:
            shapes.append([operation.output_shape(shapes[-1])])
        return shapes

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {
            "operations": [spec_of(operation) for operation in self.operations],
            "input_shapes": [list(shape) for shape in self.input_shapes],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Unit:
        """A unit from plain data; raises NetwrightError when its operations do not take these shapes."""
        operations = []
        for spec in data["operations"]:
            operation = built(Operation, spec)
            operations.append(operation)
        return cls(tuple(operations), tuple(tuple(shape) for shape in data["input_shapes"]))


def units_of(graph: LayerGraph) -> list[Unit]:
    """The units of a network in order; of operations that cannot matter a runtime runs none.

    A convolution or linear layer takes along the normalisation and the activation behind it when nothing else
    reads what is between them. Operations that give out their input unchanged are none.
    """
    graph = simplify(graph)
    readers = consumers(graph)
    nodes = {node.name: node for node in graph.nodes}
    inside: set[str] = set()
    units = []
    for node, shapes in node_shapes(graph):
        if node.name in inside or node.operation.is_identity(shapes):
            continue
        operations = [node.operation]
        last = node
        while node.operation.family in FUSING and len(readers[last.name]) == 1 and last.name != graph.output:
            following = nodes[readers[last.name][0]]
            if not following.operation.accompanies or following.operation.inputs != 1:
                break
            operations.append(following.operation)
            inside.add(following.name)
            last = following
        units.append(Unit(tuple(operations), tuple(tuple(shape) for shape in shapes)))
    return units


def shapes_text(shapes: Sequence[Shape]) -> str:
    """`16x8x8+16x8x8`."""
    return "+".join("x".join(map(str, shape)) for shape in shapes)


def parse_unit(operation: str, input_shape: str) -> Unit:
    """A unit from two texts, as a table of another tool gives them.

    `operation` is a name such as `add`, JSON with the settings (`{"kind": "conv2d", "filters": 16}`) or a JSON list
    of operations that are fused; `input_shape` is `16x8x8`, several inputs joined by `+`.
    Raises NetwrightError for anything else.
    """
    text = operation.strip()
    try:
        specs = json.loads(text) if text.startswith(("{", "[")) else text
        shapes = [[int(size) for size in shape.split("x")] for shape in input_shape.strip().split("+")]
        if not specs or min(map(min, shapes)) < 1:
            raise ValueError("there is none, or a size below 1")
    except ValueError as error:
        raise NetwrightError(
            f"{operation!r} on {input_shape!r} is no operation with its input shape ({error}); expected a name or JSON "
            "of an operation, and sizes joined by x such as 16x8x8"
        ) from None
    unit = Unit.from_json({"operations": specs if isinstance(specs, list) else [specs], "input_shapes": shapes})
    assert unit.output_shape
    return unit


def _kind_of(operation: Operation) -> str:
    """The operation's name, for convolutions with the word that tells depthwise ones from others."""
    name = name_of(operation)
    return f"{name}:{operation.label().split()[0]}" if operation.family == "convolution" else name
