"""Recurrent cell of a searched wiring, unrolled over time."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

CellFunction: TypeAlias = Literal["tanh", "relu", "sigmoid", "identity"]


class WiredCell(Operation):
    """A cell of nodes that each read one earlier node: (time, features) -> (time, width).

    Node 0 mixes input and state; node i transforms the node that it reads. Both are highway-gated: with
    (c, h) = s W, a node is s + sigmoid(c) (f(h) - s). The new state, which is given out, is the mean of the
    nodes named in `output`. There are no biases. Cells: Pham et al., 2018 (ENAS); gates and mean as in Liu et
    al., 2019 (DARTS). The steps are written out one by one, so the number of steps is fixed; the first step's
    state is zero, and what would be multiplied with it is left out.
    """

    family: ClassVar[Family] = "recurrent"

    width: int = Field(ge=1, description="hidden units")
    nodes: tuple[tuple[CellFunction, int], ...] = Field(
        min_length=1, description="for node 1, 2, ...: its function, and the node that it reads"
    )
    output: tuple[int, ...] = Field(min_length=1, description="nodes whose mean is the new state")
    steps: int = Field(ge=1, description="length of the sequence")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, _ = require_sequence(shapes[0], "a recurrent cell")
        if time != self.steps:
            raise ShapeError(f"a recurrent cell unrolled for {self.steps} steps cannot read {time}")
        for place, (_, source) in enumerate(self.nodes, start=1):
            if not 0 <= source < place:
                raise ShapeError(f"node {place} of a recurrent cell must read an earlier node, not {source}")
        if not all(0 <= node <= len(self.nodes) for node in self.output):
            raise ShapeError(f"a recurrent cell of {len(self.nodes)} nodes cannot give out {list(self.output)}")
        return (time, self.width)

    def params(self, shapes: Sequence[Shape]) -> int:
        again = 1 if self.steps > 1 else 0
        return 2 * self.width * (shapes[0][1] + (again + len(self.nodes)) * self.width)

    def macs(self, shapes: Sequence[Shape]) -> int:
        time, features = shapes[0]
        states = time - 1 + time * len(self.nodes)
        return 2 * self.width * (time * features + states * self.width)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        def gated(features: int) -> nn.Module:
            return nn.Linear(features, 2 * self.width, bias=False)

        layers = {"input": gated(shapes[0][1]), "state": gated(self.width)}
        return nn.ModuleDict(layers | {f"node{i + 1}": gated(self.width) for i in range(len(self.nodes))})

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        read = graph.call_module(f"{name}.input", (inputs[0],))
        state: fx.Node | None = None
        states = []
        for step in range(self.steps):
            mixed = graph.call_function(operator.getitem, (read, (slice(None), step)))
            if state is not None:
                mixed = graph.call_function(torch.add, (mixed, graph.call_module(f"{name}.state", (state,))))
            state = self._step(graph, name, mixed, state)
            states.append(state)
        return graph.call_function(torch.stack, (states,), {"dim": 1})

    def shared_part(self, weight: str, full: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The first units of the gate, and the first of the value: both are rows of one weight.

        A copy that passes gradients on to the whole.
        """
        del weight
        units = full.reshape(2, full.shape[0] // 2, full.shape[1])
        return units.narrow(1, 0, shape[0] // 2).narrow(2, 0, shape[1]).flatten(0, 1)

    def label(self) -> str:
        return f"cell of {len(self.nodes)} nodes, {self.width}"

    def _step(self, graph: fx.Graph, name: str, mixed: fx.Node, state: fx.Node | None) -> fx.Node:
        """The new state, from input and old state as node 0 mixes them."""
        import torch

        nodes = [_highway(graph, mixed, state, "tanh")]
        for place, (function, source) in enumerate(self.nodes, start=1):
            gated = graph.call_module(f"{name}.node{place}", (nodes[source],))
            nodes.append(_highway(graph, gated, nodes[source], function))
        total = reduce(
            lambda left, right: graph.call_function(torch.add, (left, right)), [nodes[i] for i in self.output]
        )
        count = len(self.output)
        return total if count == 1 else graph.call_function(torch.div, (total, count))


def _highway(graph: fx.Graph, gated: fx.Node, state: fx.Node | None, function: CellFunction) -> fx.Node:
    """s + sigmoid(c) (f(h) - s), where `gated` holds c and h; without a state it is zero."""
    import torch

    table = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}
    halves = graph.call_function(torch.chunk, (gated, 2), {"dim": -1})
    gate, value = (graph.call_function(operator.getitem, (halves, half)) for half in (0, 1))
    gate = graph.call_function(torch.sigmoid, (gate,))
    if function != "identity":
        value = graph.call_function(table[function], (value,))
    if state is None:
        return graph.call_function(torch.mul, (gate, value))
    return graph.call_function(torch.addcmul, (state, gate, graph.call_function(torch.sub, (value, state))))
