"""Blocks of convolutional networks: plain layers, residual, separable, dense and inception blocks."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Literal

from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation, Padding, Sides
from netwright.search_spaces.operations.activation import Activation, Function
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.group_norm import GroupNorm
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.multiply import Multiply
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.subsample2d import Subsample2d

Normalisation = Literal["batch", "group", "instance", "none"]
Pool = Literal["none", "max_pool", "average_pool", "max_pool_3x3", "average_pool_3x3"]
Branch = tuple[tuple[str, int], ...]
"""The steps of a branch of an inception block: what each does, and its filters (0 for pooling)."""


@dataclass(frozen=True, slots=True)
class Style:
    """What all layers of a network share."""

    activation: Function = "relu"
    normalisation: Normalisation = "batch"
    norm_groups: int = 8
    epsilon: float = 1e-5
    bias: bool = False
    count_padding: bool = False

    def norm(self, channels: int) -> list[Operation]:
        """The normalisation of so many channels; group normalisation takes the most groups that divide them."""
        if self.normalisation == "none":
            return []
        if self.normalisation == "batch":
            return [BatchNorm(epsilon=self.epsilon)]
        groups = gcd(self.norm_groups, channels) if self.normalisation == "group" else 0
        return [GroupNorm(groups=groups, epsilon=self.epsilon)]

    def conv(
        self, filters: int, kernel: Sides, *, stride: int = 1, padding: Padding = "same", groups: int = 1
    ) -> list[Operation]:
        """A convolution and its normalisation."""
        window = Conv2d(
            filters=filters, kernel=kernel, stride=stride, padding=padding, groups=groups, bias=self.bias
        )  # fmt: skip
        return [window, *self.norm(filters)]

    @property
    def act(self) -> Activation:
        """The activation."""
        return Activation(function=self.activation)


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution of a plain stage; `pool` reduces height and width after it, instead of its stride."""

    filters: int
    kernel: int
    stride: int = 1
    padding: Padding = "same"
    separable: bool = False
    skip: bool = False
    pool: Pool = "none"


@dataclass(frozen=True, slots=True)
class Residual:
    """One residual block; `inner` is the width of a bottleneck, 0 for a basic block."""

    filters: int
    kernel: int = 3
    stride: int = 1
    inner: int = 0
    groups: int = 1
    strided_first: bool = False
    squeeze_excite: int = 0
    shortcut: str = "projection"


def pooling(name: Pool, *, padding: Padding = "same") -> list[Operation]:
    """The pooling that a name stands for, none for `none`; windows of 3 are padded only when padding is `same`."""
    if name == "none":
        return []
    mode: Literal["max", "average"] = "max" if name.startswith("max") else "average"
    kernel = 3 if name.endswith("3x3") else 2
    return [Pool2d(mode=mode, kernel=kernel, stride=2, padding="same" if padding == "same" else "valid")]


def plain_layer(net: GraphBuilder, x: Tensor, *, layer: Layer, style: Style) -> Tensor:
    """Convolution, normalisation, a skip connection around them, activation, pooling."""
    make = separable if layer.separable else full
    y = make(
        net, x, filters=layer.filters, kernel=layer.kernel, stride=layer.stride, padding=layer.padding, style=style
    )
    if layer.skip:
        with net.scope("skip"):
            y = net.add(Add(), y, _projected(net, x, y, stride=layer.stride, style=style))
    return net.chain(y, style.act, *pooling(layer.pool, padding=layer.padding))


def full(
    net: GraphBuilder, x: Tensor, *, filters: int, kernel: int, style: Style, stride: int = 1, padding: Padding = "same"
) -> Tensor:
    """A convolution and its normalisation."""
    return net.chain(x, *style.conv(filters, kernel, stride=stride, padding=padding))


def separable(
    net: GraphBuilder, x: Tensor, *, filters: int, kernel: int, style: Style, stride: int = 1, padding: Padding = "same"
) -> Tensor:
    """A depthwise convolution, a pointwise one (Sifre, 2014) and their normalisation."""
    window = Conv2d(kernel=kernel, stride=stride, padding=padding, groups=0, bias=style.bias)
    # names of their own: a supernet shares no weights between these and full convolutions
    y = net.add(window, x, name="depthwise")
    y = net.add(Conv2d(filters=filters, kernel=1, bias=style.bias), y, name="pointwise")
    return net.chain(y, *style.norm(filters))


def residual_block(net: GraphBuilder, x: Tensor, *, plan: Residual, style: Style) -> Tensor:
    """Two convolutions, or three with a narrow middle, added to what came in (He et al., 2016).

    Groups in the middle: Xie et al., 2017. Squeeze-and-excitation before the sum: Hu et al., 2018.
    """
    y, stride = x, plan.stride
    if plan.inner:
        outer, middle = (stride, 1) if plan.strided_first else (1, stride)
        with net.scope("reduce"):
            y = net.chain(y, *style.conv(plan.inner, 1, stride=outer), style.act)
        with net.scope("window" if plan.groups == 1 else f"window-{plan.groups}-groups"):
            grouped = style.conv(plan.inner, plan.kernel, stride=middle, groups=plan.groups)
            y = net.chain(y, *grouped, style.act)
        with net.scope("expand"):
            y = net.chain(y, *style.conv(plan.filters, 1))
    else:
        with net.scope("window1"):
            y = net.chain(y, *style.conv(plan.filters, plan.kernel, stride=stride), style.act)
        with net.scope("window2"):
            y = net.chain(y, *style.conv(plan.filters, plan.kernel))
    if plan.squeeze_excite:
        y = net.use(squeeze_excite, y, reduction=plan.squeeze_excite, activation=style.activation)
    with net.scope("shortcut"):
        if plan.shortcut == "padding":
            short = _padded(net, x, y, stride=stride)
        else:
            short = _projected(net, x, y, stride=stride, style=style)
    return net.chain(net.add(Add(), y, short), style.act)


def squeeze_excite(net: GraphBuilder, x: Tensor, *, reduction: int, activation: Function) -> Tensor:
    """Every channel times a number from 0 to 1 that is worked out from the means of all (Hu et al., 2018)."""
    channels = x.shape[0]
    narrow = Conv2d(filters=max(1, channels // reduction), kernel=1, bias=True)
    wide = Conv2d(filters=channels, kernel=1, bias=True)
    steps = (GlobalPool(keep_axes=True), narrow, Activation(function=activation), wide, Activation(function="sigmoid"))
    return net.add(Multiply(), x, net.chain(x, *steps))


def separable_block(
    net: GraphBuilder, x: Tensor, *, widths: tuple[int, ...], kernel: int, stride: int, style: Style
) -> Tensor:
    """Activation, separable convolution and normalisation for every width, around them a shortcut; pooled by stride."""
    y = x
    for index, width in enumerate(widths):
        with net.scope(f"separable{index + 1}"):
            y = separable(net, net.add(style.act, y), filters=width, kernel=kernel, style=style)
    if stride > 1:
        y = net.add(Pool2d(mode="max", kernel=3, stride=stride), y)
    with net.scope("shortcut"):
        short = _projected(net, x, y, stride=stride, style=style)
    return net.add(Add(), y, short)


def dense_layer(net: GraphBuilder, x: Tensor, *, growth: int, kernel: int, inner: int, style: Style) -> Tensor:
    """What came in, and beside it `growth` new channels; with `inner`, a convolution 1x1 narrows it before."""
    y = x
    if inner:
        with net.scope("reduce"):
            y = net.chain(y, *style.norm(y.shape[0]), style.act, Conv2d(filters=inner, kernel=1, bias=style.bias))
    with net.scope("window"):
        window = Conv2d(filters=growth, kernel=kernel, bias=style.bias)
        y = net.chain(y, *style.norm(y.shape[0]), style.act, window)
    return net.add(Concat(), x, y)


def inception_block(
    net: GraphBuilder, x: Tensor, *, branches: tuple[Branch, ...], stride: int, padding: Padding, style: Style
) -> Tensor:
    """Branches side by side; a stride is taken by the last step of each, and only there padding can be left out."""
    ends = []
    for number, branch in enumerate(branches):
        with net.scope(f"branch{number + 1}"):
            y = x
            for index, (name, filters) in enumerate(branch):
                reduces = stride > 1 and index == len(branch) - 1
                y = net.use(
                    inception_step, y, name=f"step{index + 1}", operation=name, filters=filters,
                    stride=stride if reduces else 1, padding=padding if reduces else "same", style=style,
                )  # fmt: skip
            ends.append(y)
    return net.add(Concat(), *ends)


def inception_step(
    net: GraphBuilder, x: Tensor, *, operation: str, filters: int, stride: int, padding: Padding, style: Style
) -> Tensor:
    """One step of a branch: pooling, a convolution, or two of them side by side for `1x3+3x1`."""
    if operation.endswith("pool"):
        mode: Literal["max", "average"] = "max" if operation.startswith("max") else "average"
        count = style.count_padding and mode == "average"
        return net.add(Pool2d(mode=mode, kernel=3, stride=stride, padding=padding, count_padding=count), x)
    sides = []
    for window in operation.split("+"):
        height, width = (int(side) for side in window.split("x"))
        kernel: Sides = height if height == width else (height, width)
        with net.scope(window):
            sides.append(net.chain(x, *style.conv(filters, kernel, stride=stride, padding=padding), style.act))
    return net.add(Concat(), *sides) if len(sides) > 1 else sides[0]


def _projected(net: GraphBuilder, x: Tensor, y: Tensor, *, stride: int, style: Style) -> Tensor:
    """What goes around a block, brought to the shape of what it is added to by a convolution 1x1."""
    return x if x.shape == y.shape else net.chain(x, *style.conv(y.shape[0], 1, stride=stride))


def _padded(net: GraphBuilder, x: Tensor, y: Tensor, *, stride: int) -> Tensor:
    """The same without weights: every n-th pixel, and channels of zeros on both sides (He et al., 2016, option A)."""
    missing = y.shape[0] - x.shape[0]
    return net.chain(x, Subsample2d(stride=stride), Pad2d(first=missing // 2, last=missing - missing // 2))


def auxiliary_head(
    net: GraphBuilder, x: Tensor, *, classes: int, stride: int, last_norm: bool = True, epsilon: float = 1e-5
) -> Tensor:
    """The classifier beside a network that helps to train it: (channels, height, width) -> (classes,).

    Szegedy et al., 2016; the cells of NASNet and DARTS are trained with the same one.
    """
    pool = Pool2d(mode="average", kernel=5, stride=stride, padding="valid")
    norm = BatchNorm(epsilon=epsilon)
    y = net.chain(x, Activation(), pool, Conv2d(filters=128, kernel=1), norm, Activation())
    _, height, width = y.shape
    y = net.add(Conv2d(filters=768, kernel=(height, width), padding="valid"), y)
    if last_norm:
        y = net.add(norm, y)
    return net.chain(y, Activation(), Flatten(), Linear(features=classes))
