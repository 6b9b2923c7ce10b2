"""Blocks of networks for small processors: inverted residuals with squeeze-and-excitation."""

from __future__ import annotations

from dataclasses import dataclass

from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation, Function
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.multiply import Multiply

DIVISOR = 8
"""Numbers of channels are multiples of it, which processors like."""


@dataclass(frozen=True, slots=True)
class Norm:
    """Settings of batch normalisation, alike in the whole network."""

    epsilon: float
    momentum: float

    @property
    def operation(self) -> BatchNorm:
        return BatchNorm(epsilon=self.epsilon, momentum=self.momentum)


@dataclass(frozen=True, slots=True)
class Inverted:
    """One inverted residual: what comes out, its window, and how far it widens inside."""

    filters: int
    kernel: int
    stride: int
    expansion: float
    squeeze_excite: bool
    activation: Function


def divisible(channels: float) -> int:
    """The multiple of 8 nearest to a number of channels, but not more than a tenth below it."""
    near = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    return near + DIVISOR if near < 0.9 * channels else near


def convolution(
    net: GraphBuilder, x: Tensor, *, filters: int, norm: Norm, function: Function, kernel: int = 1, stride: int = 1
) -> Tensor:
    """Convolution, normalisation, non-linear function: (channels, h, w) -> (filters, h / stride, w / stride)."""
    window = Conv2d(filters=filters, kernel=kernel, stride=stride)
    return net.chain(x, window, norm.operation, Activation(function=function))


def inverted_residual(net: GraphBuilder, x: Tensor, *, plan: Inverted, norm: Norm) -> Tensor:
    """Widen, filter each channel by itself, weigh the channels, narrow without a function (Sandler et al., 2018).

    The input is added where the shape allows. A block that does not widen has no first convolution.
    """
    y = x
    wide = divisible(x.shape[0] * plan.expansion)
    if wide != x.shape[0]:
        y = net.use(convolution, y, name="expand", filters=wide, norm=norm, function=plan.activation)
    with net.scope("depthwise"):
        window = Conv2d(kernel=plan.kernel, stride=plan.stride, groups=0)
        y = net.chain(y, window, norm.operation, Activation(function=plan.activation))
    if plan.squeeze_excite:
        y = net.use(squeeze_excite, y)
    with net.scope("project"):
        y = net.chain(y, Conv2d(filters=plan.filters, kernel=1), norm.operation)
    return net.add(Add(), y, x) if y.shape == x.shape else y


def squeeze_excite(net: GraphBuilder, x: Tensor) -> Tensor:
    """Every channel times a weight worked out from the means of all, by a quarter of so many neurons.

    With the hard sigmoid of Howard et al., 2019 (MobileNetV3).
    """
    channels = x.shape[0]
    narrow = Conv2d(filters=divisible(channels // 4), kernel=1, bias=True)
    widen = Conv2d(filters=channels, kernel=1, bias=True)
    steps = (GlobalPool(keep_axes=True), narrow, Activation(), widen, Activation(function="hardsigmoid"))
    return net.add(Multiply(), net.chain(x, *steps), x)
