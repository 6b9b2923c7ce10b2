"""What one connection of a convolutional cell may carry, as blocks; names are those of the published genotypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Padding, Sides, sides
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.skip import Skip
from netwright.search_spaces.operations.zero import Zero

CellOperation: TypeAlias = Literal[
    "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5", "conv_7x1_1x7", "conv_3x1_1x3",
    "conv_1x1", "conv_3x3", "avg_pool_3x3", "max_pool_3x3", "skip_connect", "none",
]  # fmt: skip
StyleName: TypeAlias = Literal["darts", "nasnet", "nasnet_timm", "amoebanet"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a published family of networks writes the layers that all of them have.

    `split_skip`: a skip connection with stride 2 is two shifted 1x1 convolutions, not one.
    `late_padding`: where a stride leaves an odd number of places to pad, the extra one is below and on the right,
    as TensorFlow's SAME does. `bottleneck`: windows of full convolutions work on a fraction of the filters.
    `middle_norm`: normalisation and ReLU between the two halves of a convolution such as 1x7, 7x1.
    `counts_padding`: strided average pooling counts padded zeros, as in timm.
    """

    epsilon: float
    split_skip: bool
    late_padding: bool
    bottleneck: bool
    middle_norm: bool
    counts_padding: bool = False


STYLES: dict[StyleName, Style] = {
    "darts": Style(1e-5, split_skip=True, late_padding=False, bottleneck=False, middle_norm=False),
    "nasnet": Style(1e-3, split_skip=False, late_padding=True, bottleneck=False, middle_norm=True),
    "nasnet_timm": Style(
        1e-3, split_skip=False, late_padding=True, bottleneck=False, middle_norm=True, counts_padding=True
    ),
    "amoebanet": Style(1e-3, split_skip=False, late_padding=True, bottleneck=True, middle_norm=True),
}


def cell_operation(
    net: GraphBuilder, x: Tensor, *, operation: CellOperation, filters: int, stride: int, style: StyleName
) -> Tensor:
    """One operation: (channels, height, width) -> (filters, height / stride, width / stride), rounded up."""
    family, kernel = _parts(operation)
    if family == "none":
        return _nothing(net, x, filters=filters, stride=stride)
    if family == "skip":
        return _skip(net, x, filters=filters, stride=stride, style=style)
    if family == "sep_conv":
        y = _separable(net, x, number=1, kernel=kernel, filters=filters, stride=stride, style=style)
        return _separable(net, y, number=2, kernel=kernel, filters=filters, stride=1, style=style)
    if family == "dil_conv":
        return _separable(net, x, number=1, kernel=kernel, filters=filters, stride=stride, style=style, dilation=2)
    if family in ("avg_pool", "max_pool"):
        return _pool(net, x, family=family, kernel=kernel, filters=filters, stride=stride, style=style)
    return _full(net, x, operation=operation, kernel=kernel, filters=filters, stride=stride, style=style)


def relu_conv_norm(net: GraphBuilder, x: Tensor, *, filters: int, stride: int = 1, style: StyleName) -> Tensor:
    """ReLU, 1x1 convolution, normalisation: (channels, height, width) -> (filters, height, width)."""
    y = net.add(Conv2d(filters=filters, kernel=1, stride=stride), net.add(Activation(), x), name="conv")
    return net.add(BatchNorm(epsilon=STYLES[style].epsilon), y, name="norm")


def factorized_reduction(net: GraphBuilder, x: Tensor, *, filters: int, style: StyleName, relu: bool = True) -> Tensor:
    """Half the height and width without losing places: even and odd ones give half of the filters each."""
    _, height, width = x.shape
    if relu:
        x = net.add(Activation(), x)
    even = net.add(Conv2d(filters=filters // 2, kernel=1, stride=2), x, name="even")
    shifted = net.add(Pad2d(top=-1, left=-1, bottom=height % 2, right=width % 2), x, name="shift")
    odd = net.add(Conv2d(filters=filters - filters // 2, kernel=1, stride=2), shifted, name="odd")
    return net.add(BatchNorm(epsilon=STYLES[style].epsilon), net.add(Concat(), even, odd), name="norm")


def _parts(operation: str) -> tuple[str, int]:
    """The family and the side of the window: (`sep_conv`, 3) for `sep_conv_3x3`."""
    family, _, size = operation.rpartition("_")
    return (family, max(int(side) for side in size.split("x"))) if size[:1].isdigit() else (family or size, 0)


def _nothing(net: GraphBuilder, x: Tensor, *, filters: int, stride: int) -> Tensor:
    """Zeros; what comes before them only gives the shape and is never run."""
    if stride > 1:
        x = net.add(Pool2d(kernel=1, stride=stride), x)
    if x.shape[0] != filters:
        x = net.add(Pad2d(last=filters - x.shape[0]), x)
    return net.add(Zero(), x)


def _skip(net: GraphBuilder, x: Tensor, *, filters: int, stride: int, style: StyleName) -> Tensor:
    if stride == 1 and x.shape[0] == filters:
        return net.add(Skip(), x)
    if stride > 1 and STYLES[style].split_skip:
        return factorized_reduction(net, x, filters=filters, style=style)
    return relu_conv_norm(net, x, filters=filters, stride=stride, style=style)


def _separable(
    net: GraphBuilder,
    x: Tensor,
    *,
    number: int,
    kernel: int,
    filters: int,
    stride: int,
    style: StyleName,
    dilation: int = 1,
) -> Tensor:
    """ReLU, depthwise and pointwise convolution, normalisation."""
    x, padding = _padded(net, net.add(Activation(), x), kernel=kernel, stride=stride, dilation=dilation, style=style)
    deep = Conv2d(kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=0)
    y = net.add(deep, x, name=f"depthwise{number}")
    y = net.add(Conv2d(filters=filters, kernel=1), y, name=f"pointwise{number}")
    return net.add(BatchNorm(epsilon=STYLES[style].epsilon), y, name=f"norm{number}")


def _pool(
    net: GraphBuilder, x: Tensor, *, family: str, kernel: int, filters: int, stride: int, style: StyleName
) -> Tensor:
    """Pooling; other channels are matched after it."""
    mode: Literal["average", "max"] = "average" if family == "avg_pool" else "max"
    counts = STYLES[style].counts_padding and mode == "average" and stride > 1
    late = STYLES[style].late_padding and stride > 1 and not counts
    # a last window that is partly filled stands for padding at the end alone
    padding: Padding = tuple(0 if late and size % 2 == 0 else kernel // 2 for size in x.shape[1:])  # type: ignore[assignment]  # two sides
    if counts:
        x, padding = _padded(net, x, kernel=kernel, stride=stride, style=style)
    window = Pool2d(mode=mode, kernel=kernel, stride=stride, padding=padding, ceil=late, count_padding=counts)
    y = net.add(window, x)
    if y.shape[0] == filters:
        return y
    y = net.add(Conv2d(filters=filters, kernel=1), y, name="conv")
    return net.add(BatchNorm(epsilon=STYLES[style].epsilon), y, name="norm")


def _full(
    net: GraphBuilder, x: Tensor, *, operation: str, kernel: int, filters: int, stride: int, style: StyleName
) -> Tensor:
    """ReLU, a convolution over all channels (one window, or a wide and a high one), normalisation."""
    own = STYLES[style]
    share = filters * 3 // 8 if operation == "conv_3x1_1x3" else filters // 4
    narrow = own.bottleneck and operation != "conv_1x1" and share > 0
    inside = share if narrow else filters
    if narrow:
        with net.scope("before"):
            x = relu_conv_norm(net, x, filters=inside, style=style)
    x = net.add(Activation(), x)
    if operation.count("_") == 1:
        x, padding = _padded(net, x, kernel=kernel, stride=stride, style=style)
        y = net.add(Conv2d(filters=inside, kernel=kernel, stride=stride, padding=padding), x, name="conv")
    else:
        x, padding = _padded(net, x, kernel=(1, kernel), stride=(1, stride), style=style)
        wide = Conv2d(filters=inside, kernel=(1, kernel), stride=(1, stride), padding=padding)
        y = net.add(wide, x, name="wide")
        if own.middle_norm:
            y = net.add(Activation(), net.add(BatchNorm(epsilon=own.epsilon), y, name="middle"))
        y, padding = _padded(net, y, kernel=(kernel, 1), stride=(stride, 1), style=style)
        high = Conv2d(filters=inside, kernel=(kernel, 1), stride=(stride, 1), padding=padding)
        y = net.add(high, y, name="high")
    y = net.add(BatchNorm(epsilon=own.epsilon), y, name="norm")
    if not narrow:
        return y
    with net.scope("after"):
        return relu_conv_norm(net, y, filters=filters, style=style)


def _padded(
    net: GraphBuilder, x: Tensor, *, kernel: Sides, stride: Sides, style: StyleName, dilation: int = 1
) -> tuple[Tensor, Padding]:
    """The input, padded where its two sides need different padding, and what is left to pad on both sides."""
    if not STYLES[style].late_padding:
        return x, "same"
    ends = []
    for size, window, step in zip(x.shape[1:], sides(kernel), sides(stride), strict=True):
        total = max((-(-size // step) - 1) * step + dilation * (window - 1) + 1 - size, 0)
        ends.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = ends
    if top == bottom and left == right:
        return x, (top, left)
    return net.add(Pad2d(top=top, bottom=bottom, left=left, right=right), x), "valid"
