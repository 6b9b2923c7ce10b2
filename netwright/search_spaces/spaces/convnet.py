"""Macro search space of plain convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.space import SearchSpace

Function = Literal["relu", "leaky_relu", "elu", "silu", "gelu", "hardswish"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution: its filters, kernel, stride, and whether a skip connection goes around it."""

    filters: int
    kernel: int
    stride: int
    skip: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The layers in order, and what all of them share."""

    layers: tuple[Layer, ...]
    activation: Function
    down_sampling: str
    dropout: float


class Convnet(SearchSpace):
    """Depth, filter sizes, number of filters, placement of strides, activation, dropout and skip connections.

    Which layers halve height and width is a decision of its own, so that down-sampling can come early
    (fast) or late (accurate); the number of filters never falls from one layer to the next.
    """

    depth: tuple[int, int] = Field(default=(2, 6), description="least and most convolutions")
    kernels: tuple[int, ...] = Field(default=(3, 5), min_length=1, description="sides of the square windows")
    filters: tuple[int, ...] = Field(default=(8, 16, 24, 32, 48, 64), min_length=1)
    strides: tuple[int, int] = Field(default=(1, 3), description="least and most layers that halve height and width")
    down_samplings: tuple[Literal["stride", "max_pool", "average_pool"], ...] = ("stride", "max_pool")
    activations: tuple[Function, ...] = ("relu", "hardswish")
    dropouts: tuple[float, ...] = (0.0, 0.2)
    skips: bool = Field(default=True, description="whether skip connections may be chosen")

    def decide(self, choose: Chooser) -> Plan:
        depth = choose.integer("depth", *self.depth)
        least, most = self.strides
        strided = choose.subset("strided", tuple(range(depth)), least=min(least, depth), most=min(most, depth))
        layers = []
        smallest = 0
        for index in range(depth):
            with choose.scope(f"layer{index + 1}"):
                allowed = tuple(f for f in self.filters if f >= smallest)
                smallest = int(choose.one_of("filters", allowed))
                kernel = int(choose.one_of("kernel", self.kernels))
                skip = self.skips and choose.boolean("skip")
            layers.append(Layer(smallest, kernel, 2 if index in strided else 1, skip))
        activation: Function = choose.one_of("activation", self.activations)  # type: ignore[assignment]  # a member
        dropout = float(choose.one_of("dropout", self.dropouts))
        return Plan(tuple(layers), activation, str(choose.one_of("down_sampling", self.down_samplings)), dropout)

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.input
        for index, layer in enumerate(plan.layers):
            with net.scope(f"layer{index + 1}"):
                x = self._layer(plan, layer, x, net)
        with net.scope("head"):
            x = net.chain(x, GlobalPool(), Dropout(probability=plan.dropout))
            return net.add(Linear(features=shapes.classes), x)

    def _layer(self, plan: Plan, layer: Layer, x: Tensor, net: GraphBuilder) -> Tensor:
        by_stride = plan.down_sampling == "stride"
        stride = layer.stride if by_stride else 1
        y = net.chain(x, Conv2d(filters=layer.filters, kernel=layer.kernel, stride=stride), BatchNorm())
        if layer.skip:
            with net.scope("skip"):
                y = net.add(Add(), y, self._match(x, y, stride, net))
        y = net.add(Activation(function=plan.activation), y)
        if layer.stride > 1 and not by_stride:
            mode: Literal["max", "average"] = "max" if plan.down_sampling == "max_pool" else "average"
            y = net.add(Pool2d(mode=mode, kernel=2, stride=2), y)
        return y

    def _match(self, x: Tensor, y: Tensor, stride: int, net: GraphBuilder) -> Tensor:
        """The input of a skip connection, brought to the shape of what it is added to."""
        if x.shape == y.shape:
            return x
        steps: list[Operation] = [Conv2d(filters=y.shape[0], kernel=1, stride=stride), BatchNorm()]
        return net.chain(x, *steps)
