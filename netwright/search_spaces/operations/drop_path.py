"""Drop path: whole branches are left out while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx, nn


class DropPath(Operation):
    """The whole input of a sample is zeroed with the given probability while training, else scaled up.

    Stochastic depth: Huang et al., 2016; scheduled drop path: Zoph et al., 2018.
    """

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True
    random: ClassVar[bool] = True

    probability: float = Field(default=0.2, ge=0, lt=1)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        # dropping the only channel of (1, *shape) drops all of a sample
        kinds: tuple[type[nn.Module], ...] = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
        return kinds[len(shapes[0]) - 1](self.probability)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        alone = graph.call_function(torch.unsqueeze, (inputs[0], 1))
        return graph.call_function(torch.squeeze, (graph.call_module(name, (alone,)), 1))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.probability == 0

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"drop path {self.probability:g}"
