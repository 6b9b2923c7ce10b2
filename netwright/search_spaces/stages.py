"""Stages of convolutional networks: what lies between two places where a network changes its size or its wiring.

Each kind is a frozen plan whose `lower` adds its units as blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from netwright.search_spaces.conv_blocks import (
    Branch,
    Layer,
    Pool,
    Residual,
    Style,
    dense_layer,
    inception_block,
    plain_layer,
    pooling,
    residual_block,
    separable_block,
)
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Padding
from netwright.search_spaces.operations.conv2d import Conv2d


@dataclass(frozen=True, slots=True)
class Frame:
    """What every stage has: its units, which of them reduce height and width and how, and the pooling at its end."""

    depth: int
    strided: tuple[int, ...] = ()
    stride: int = 1
    padding: Padding = "same"
    pool: Pool = "none"

    def stride_of(self, index: int) -> int:
        """By how much the unit of an index reduces height and width."""
        return self.stride if index in self.strided else 1

    def end(self, net: GraphBuilder, x: Tensor) -> Tensor:
        """The pooling at the stage's end."""
        return net.chain(x, *pooling(self.pool, padding=self.padding))


@dataclass(frozen=True, slots=True)
class PlainStage:
    """Convolutions one after another, some with a skip connection around them."""

    frame: Frame
    layers: tuple[Layer, ...]

    def lower(self, net: GraphBuilder, x: Tensor, *, style: Style) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = net.use(plain_layer, x, name=f"layer{index + 1}", layer=layer, style=style)
        return self.frame.end(net, x)


@dataclass(frozen=True, slots=True)
class ResidualStage:
    """Basic or bottleneck residual blocks (He et al., 2016)."""

    frame: Frame
    block: Residual
    strided: Residual

    def lower(self, net: GraphBuilder, x: Tensor, *, style: Style) -> Tensor:
        for index in range(self.frame.depth):
            plan = self.strided if index in self.frame.strided else self.block
            x = net.use(residual_block, x, name=f"block{index + 1}", plan=plan, style=style)
        return self.frame.end(net, x)


@dataclass(frozen=True, slots=True)
class SeparableStage:
    """Residual blocks of separable convolutions, as in Xception (Chollet, 2017)."""

    frame: Frame
    filters: int
    kernel: int
    repeats: int
    widens_last: bool

    def lower(self, net: GraphBuilder, x: Tensor, *, style: Style) -> Tensor:
        for index in range(self.frame.depth):
            narrow = x.shape[0] if self.widens_last else self.filters
            widths = (*[narrow] * (self.repeats - 1), self.filters)
            x = net.use(
                separable_block, x, name=f"block{index + 1}", widths=widths, kernel=self.kernel,
                stride=self.frame.stride_of(index), style=style,
            )  # fmt: skip
        return self.frame.end(net, x)


@dataclass(frozen=True, slots=True)
class DenseStage:
    """Every layer reads all layers before it (DenseNet: Huang et al., 2017); `kept` of the channels leave."""

    frame: Frame
    growth: int
    kernel: int
    inner: int
    kept: float

    def lower(self, net: GraphBuilder, x: Tensor, *, style: Style) -> Tensor:
        for index in range(self.frame.depth):
            x = net.use(
                dense_layer, x, name=f"layer{index + 1}", growth=self.growth, kernel=self.kernel, inner=self.inner,
                style=style,
            )  # fmt: skip
        with net.scope("transition"):
            x = net.chain(x, *style.norm(x.shape[0]), style.act)
            if self.kept < 1:
                x = net.add(Conv2d(filters=max(1, int(x.shape[0] * self.kept)), kernel=1, bias=style.bias), x)
            return self.frame.end(net, x)


@dataclass(frozen=True, slots=True)
class InceptionStage:
    """Blocks of parallel branches that are concatenated (Szegedy et al., 2015 and 2016)."""

    frame: Frame
    branches: tuple[Branch, ...]

    def lower(self, net: GraphBuilder, x: Tensor, *, style: Style) -> Tensor:
        for index in range(self.frame.depth):
            x = net.use(
                inception_block, x, name=f"block{index + 1}", branches=self.branches,
                stride=self.frame.stride_of(index), padding=self.frame.padding, style=style,
            )  # fmt: skip
        return self.frame.end(net, x)


Stage = PlainStage | ResidualStage | SeparableStage | DenseStage | InceptionStage
