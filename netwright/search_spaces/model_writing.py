"""Where the operations of a network that is read go: into a layer graph, under the names of its modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import fx, nn

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import INPUT, GraphBuilder, Tensor
from netwright.search_spaces.model_nodes import name_of, owner_of, place_of
from netwright.search_spaces.model_parts import PartsBuilder
from netwright.search_spaces.operation import Operation


class Writer:
    """Adds operations with their weights; while `parts` is above 1, each for so many parts of a sample by itself."""

    def __init__(self, shape: Shape, root: nn.Module) -> None:
        self.whole = GraphBuilder(shape)
        self.parts = 1
        self.state: dict[str, torch.Tensor] = {}
        self._names = {INPUT, *(place_of(path) for path, _ in root.named_modules() if path)}
        self._called: set[str] = set()

    @property
    def net(self) -> GraphBuilder | PartsBuilder:
        """What operations are added to."""
        return self.whole if self.parts == 1 else PartsBuilder(self.whole, self.parts)

    def add(self, node: fx.Node, operation: Operation, tensors: Sequence[Tensor]) -> Tensor:
        """Add an operation without weights that a step is."""
        return self.net.add(operation, *tensors, name=self.unused(self.path(node)))

    def put(
        self, path: str, operation: Operation, tensors: Sequence[Tensor], state: Mapping[str, torch.Tensor]
    ) -> Tensor:
        """Add an operation with its weights; used again, it is the same layer."""
        place = path.replace("/", ".")
        self.state |= {f"{place}.{name}": tensor.detach().clone() for name, tensor in state.items()}
        return self.net.add(operation, *tensors, name=self._first_or_unused(path), weights=f"/{path}" if state else "")

    def path(self, node: fx.Node) -> str:
        """Where an operation that is no module lives: in the module whose `forward` calls it."""
        return "/".join(part for part in (place_of(owner_of(node)), name_of(node).rstrip("_")) if part)

    def unused(self, name: str) -> str:
        """The name, with a number when it is taken."""
        number = 2
        unused = name
        while unused in self._names:
            unused = f"{name}-{number}"
            number += 1
        self._names.add(unused)
        return unused

    def _first_or_unused(self, place: str) -> str:
        """The place itself for the first call of a layer, else a name with a number."""
        if place in self._called:
            return self.unused(place)
        self._called.add(place)
        self._names.add(place)
        return place
