"""Layers of torch as operations: what each module of a user's network is called here.

Every function raises `UnreadableError` with what it expected when a module has settings that no operation has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import nn

from netwright.core.errors import SpaceError
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation, Function
from netwright.search_spaces.operations.adaptive_pool2d import AdaptivePool2d
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.conv_transpose2d import ConvTranspose2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.group_norm import GroupNorm
from netwright.search_spaces.operations.layer_norm import LayerNorm
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.pixel_shuffle import PixelShuffle
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.resize import Resize
from netwright.search_spaces.operations.softmax import Softmax

LOGGER = logging.getLogger(__name__)


class UnreadableError(SpaceError):
    """A layer that no operation stands for; the text says what was expected."""


ACTIVATIONS: Mapping[type[nn.Module], Function] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.ELU: "elu",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
    nn.Hardswish: "hardswish",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Softplus: "softplus",
    nn.Mish: "mish",
}
DEFAULTS = {"negative_slope": 0.01, "alpha": 1.0, "approximate": "none", "beta": 1.0, "threshold": 20.0}
"""What the settings of activations must be: no operation has others."""


def expect(condition: bool, what: str) -> None:
    """Refuse a layer unless the condition holds."""
    if not condition:
        raise UnreadableError(f"expected {what}")


def layer_operation(module: nn.Module) -> Operation | None:
    """The operation that a module is, or None when it changes nothing."""
    if type(module) in ACTIVATIONS:
        wrong = [name for name, value in DEFAULTS.items() if getattr(module, name, value) != value]
        expect(not wrong, f"an activation with torch's default settings, came another {', '.join(wrong)}")
        return Activation(function=ACTIVATIONS[type(module)])
    read = LAYERS.get(type(module))
    known = ", ".join(sorted(kind.__name__ for kind in [*LAYERS, *ACTIVATIONS, nn.RNN, nn.LSTM, nn.GRU]))
    expect(read is not None, f"one of the layers {known}; came {type(module).__name__}")
    assert read is not None
    return read(module)


def same(value: Any, what: str) -> int:
    """The one number that a setting for height and width is."""
    values = (value,) if isinstance(value, int) else tuple(value)
    expect(len(set(values)) == 1, f"{what} alike in height and width, came {value}")
    return int(values[0])


def pool(mode: str, kernel: Any, stride: Any, padding: Any, *, ceil: bool, count_padding: bool = False) -> Operation:
    """The pooling of square windows."""
    side = same(kernel, "a pooling window")
    return Pool2d(
        mode="max" if mode == "max" else "average",
        kernel=side,
        stride=side if stride in (None, []) else same(stride, "the stride of a pooling"),
        padding=same(padding, "the padding of a pooling"),
        ceil=bool(ceil),
        count_padding=count_padding,
    )


def adaptive_pool(mode: str, size: Any) -> Operation:
    """Pooling to a size; to 1 it is global pooling."""
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    expect(None not in sizes, "a pooling to a given height and width, came None")
    kind = "max" if mode == "max" else "average"
    return GlobalPool(mode=kind, keep_axes=True) if sizes == (1, 1) else AdaptivePool2d(size=sizes, mode=kind)


def resize(size: Any, factor: Any, mode: str, align: Any) -> Operation:
    """Interpolation to a size, or by a whole factor."""
    expect(mode in ("nearest", "bilinear", "bicubic"), f"nearest, bilinear or bicubic interpolation, came {mode!r}")
    expect(not align, "an interpolation with align_corners=False")
    if size is not None:
        sizes = (size, size) if isinstance(size, int) else tuple(size)
        return Resize(mode=mode, size=sizes)
    factors = set(factor) if isinstance(factor, (tuple, list)) else {factor}
    expect(len(factors) == 1 and float(next(iter(factors))).is_integer(), f"a whole scale factor, came {factor}")
    return Resize(mode=mode, factor=int(factors.pop()))


def dropout(probability: float) -> Operation:
    """Dropout that leaves something."""
    expect(probability < 1, f"a dropout with a probability below 1, came {probability}")
    return Dropout(probability=probability)


def _conv2d(layer: nn.Conv2d) -> Operation:
    expect(layer.padding_mode == "zeros", f"a convolution padded with zeros, came {layer.padding_mode!r}")
    depthwise = layer.groups == layer.in_channels > 1
    padding = layer.padding
    if padding == "same":
        expect(all(side % 2 == 1 for side in layer.kernel_size), "an odd window where the padding is 'same'")
        padding = "same"
    return Conv2d(
        filters=0 if depthwise and layer.out_channels == layer.in_channels else layer.out_channels,
        kernel=_pair(layer.kernel_size),
        stride=_pair(layer.stride),
        padding=padding,
        dilation=same(layer.dilation, "the dilation of a convolution"),
        groups=0 if depthwise else layer.groups,
        bias=layer.bias is not None,
    )


def _conv1d(layer: nn.Conv1d) -> Operation:
    """As the convolution of an image of one row."""
    expect(layer.padding_mode == "zeros", f"a convolution padded with zeros, came {layer.padding_mode!r}")
    (kernel,), (stride,), (dilation,) = layer.kernel_size, layer.stride, layer.dilation
    image = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (1, kernel),
        stride=(1, stride),
        padding=layer.padding if isinstance(layer.padding, str) else (0, layer.padding[0]),
        dilation=dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
        device="meta",
    )
    return _conv2d(image)


def _conv_transpose2d(layer: nn.ConvTranspose2d) -> Operation:
    expect(layer.groups == 1, f"a transposed convolution without groups, came {layer.groups}")
    expect(same(layer.dilation, "the dilation") == 1, "a transposed convolution without dilation")
    expect(not any(layer.output_padding), "a transposed convolution without output padding")
    assert not isinstance(layer.padding, str)
    return ConvTranspose2d(
        filters=layer.out_channels,
        kernel=same(layer.kernel_size, "the window of a transposed convolution"),
        stride=same(layer.stride, "its stride"),
        padding=same(layer.padding, "its padding"),
        bias=layer.bias is not None,
    )


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> Operation:
    expect(layer.track_running_stats, "a batch normalisation that keeps running statistics")
    expect(layer.momentum is not None, "a batch normalisation with a momentum")
    assert layer.momentum is not None
    return BatchNorm(epsilon=layer.eps, momentum=layer.momentum, affine=layer.affine)


def _layer_norm(layer: nn.LayerNorm) -> Operation:
    expect(len(layer.normalized_shape) == 1, "a layer normalisation of the last axis alone")
    expect(layer.elementwise_affine and layer.bias is not None, "a layer normalisation with scale and shift")
    return LayerNorm(epsilon=layer.eps)


def _group_norm(layer: nn.GroupNorm) -> Operation:
    expect(layer.affine, "a group normalisation with scale and shift")
    return GroupNorm(groups=0 if layer.num_groups == layer.num_channels else layer.num_groups, epsilon=layer.eps)


def _max_pool(layer: nn.MaxPool2d) -> Operation:
    expect(same(layer.dilation, "the dilation of a pooling") == 1, "a pooling without dilation")
    return pool("max", layer.kernel_size, layer.stride, layer.padding, ceil=layer.ceil_mode)


def _average_pool(layer: nn.AvgPool2d) -> Operation:
    expect(layer.divisor_override is None, "an average pooling without divisor_override")
    counts = layer.count_include_pad
    return pool("average", layer.kernel_size, layer.stride, layer.padding, ceil=layer.ceil_mode, count_padding=counts)


def _flatten(layer: nn.Flatten) -> Operation:
    expect(layer.start_dim == 1, f"flattening from axis 1 on, came {layer.start_dim}")
    return Flatten()


def _dropout(layer: nn.Dropout | nn.Dropout2d) -> Operation:
    if isinstance(layer, nn.Dropout2d):
        LOGGER.warning("a dropout of whole channels is taken for one of single values")
    return dropout(layer.p)


def _pad(layer: nn.ZeroPad2d) -> Operation:
    left, right, top, bottom = layer.padding
    return Pad2d(top=top, bottom=bottom, left=left, right=right)


def _upsample(layer: nn.Upsample) -> Operation:
    return resize(layer.size, layer.scale_factor, layer.mode, layer.align_corners)


def softmax(axis: int | None, rank: int, *, log: bool) -> Operation:
    """Softmax over channels or features; `rank` counts the axes with the batch."""
    fits = {2: (1, -1), 3: (2, -1), 4: (1, -3)}.get(rank, ())
    expect(axis in fits, f"a softmax over classes, channels or features, came the axis {axis} of {rank}")
    return Softmax(log=log)


def _pair(values: tuple[int, ...]) -> int | tuple[int, int]:
    height, width = values
    return height if height == width else (height, width)


Reader: TypeAlias = Callable[[Any], Operation | None]
LAYERS: Mapping[type[nn.Module], Reader] = {
    nn.Conv1d: _conv1d,
    nn.Conv2d: _conv2d,
    nn.ConvTranspose2d: _conv_transpose2d,
    nn.Linear: lambda layer: Linear(features=layer.out_features, bias=layer.bias is not None),
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: lambda layer: adaptive_pool("average", layer.output_size),
    nn.AdaptiveMaxPool2d: lambda layer: adaptive_pool("max", layer.output_size),
    nn.Flatten: _flatten,
    nn.Dropout: _dropout,
    nn.Dropout2d: _dropout,
    nn.Identity: lambda layer: None,
    nn.ZeroPad2d: _pad,
    nn.Upsample: _upsample,
    nn.UpsamplingNearest2d: _upsample,
    nn.PixelShuffle: lambda layer: PixelShuffle(factor=layer.upscale_factor),
}
