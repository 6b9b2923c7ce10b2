"""Lowers the plan of an encoder-decoder to operations."""

from __future__ import annotations

from collections.abc import Sequence

from netwright.core.shapes import Shapes
from netwright.search_spaces.encoder_decoder_plan import (
    CLASSIFIER_KERNEL,
    AxisPlan,
    Convolution,
    DownSampling,
    Plan,
    plan_axis,
)
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation, Function
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.resize import Resize
from netwright.search_spaces.up_sampling import enlarge, enlarge_scores, unpool, with_filters


def lower_plan(
    plan: Plan, net: GraphBuilder, shapes: Shapes, *, bias: bool, border: int | None, fixed_last: bool
) -> Tensor:
    """Add an encoder-decoder for images of any size; the result has the task's shape.

    An output that is a whole number of times as high and wide as the input is enlarged at the end. Any other
    size is the middle of the result where windows are unpadded, and else a resized result.
    """
    channels, *target = shapes.output_shape
    factor = _enlargement(shapes)
    inner = [size // factor for size in target]
    axes = [plan_axis(plan, size, want, border) for size, want in zip(shapes.input[1:], inner, strict=True)]
    x = _padded(net, net.input, [(axis.border, axis.border) for axis in axes])
    with net.scope("encoder"):
        x, sides, pooled = _encode(plan, net, x, bias=bias)
    with net.scope("decoder"):
        if plan.decoder == "scores":
            x = _decode_scores(plan, net, x, pooled, axes, channels=channels, fixed_last=fixed_last)
        else:
            x = _decode_levels(plan, net, x, sides, axes, bias=bias)
    with net.scope("head"):
        x = _padded(net, x, [axis.end for axis in axes])
        if plan.decoder == "levels":
            x = net.add(Conv2d(filters=channels, kernel=plan.head_kernel, bias=bias), x)
        if factor > 1:
            x = enlarge(net, x, how=plan.up_sampling, filters=channels, factor=factor, kernel=factor, bias=bias)
        x = _sized(net, x, target)
    return _corrected(plan, net, x, axes, factor=factor, bias=bias) if plan.residual else x


def _encode(plan: Plan, net: GraphBuilder, x: Tensor, *, bias: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The bottom's map, every level's map before it is made smaller, and after."""
    sides, pooled = [], []
    for index, level in enumerate(plan.levels):
        with net.scope(f"level{index + 1}"):
            before = _stack(plan, net, x, level.filters, level.convolutions, bias=bias)
            x = net.use(
                down_sample,
                before,
                name="down",
                how=plan.down_sampling,
                ceil=plan.ceil,
                batch_norm=plan.batch_norm,
                activation=plan.activation,
                bias=bias,
            )
        sides.append(before)
        pooled.append(x)
    with net.scope("bottom"):
        if plan.bottom_kind == "classifier":
            x = _classifier(plan, net, x, bias=bias)
        else:
            x = _stack(plan, net, x, plan.bottom.filters, plan.bottom.convolutions, bias=bias)
            x = net.add(Dropout(probability=plan.dropout), x)
    return x, sides, pooled


def _decode_levels(
    plan: Plan, net: GraphBuilder, x: Tensor, sides: Sequence[Tensor], axes: Sequence[AxisPlan], *, bias: bool
) -> Tensor:
    for index in reversed(range(len(plan.levels))):
        level, side, step = plan.levels[index], sides[index], len(plan.levels) - 1 - index
        joins = [axis.joins[step] for axis in axes]
        with net.scope(f"level{index + 1}"):
            with net.scope("up"):
                x = _up(plan, net, x, side, [axis.places[step] for axis in axes], filters=level.filters, bias=bias)
            if plan.loses:
                side = _padded(net, side, joins) if plan.skip != "none" else side
            else:
                x = _padded(net, x, joins)
            if plan.skip != "none":
                x = net.add(Concat() if plan.skip == "concat" else Add(), side, x)
            x = _stack(plan, net, x, level.filters, level.convolutions, bias=bias)
    return x


def _up(
    plan: Plan,
    net: GraphBuilder,
    x: Tensor,
    side: Tensor,
    places: Sequence[tuple[int, int]],
    *,
    filters: int,
    bias: bool,
) -> Tensor:
    if plan.up_sampling == "max_unpool":
        return unpool(net, x, _padded(net, side, places), bias=bias)
    return enlarge(net, x, how=plan.up_sampling, filters=filters, factor=2, kernel=plan.up_kernel, bias=bias)


def _decode_scores(
    plan: Plan,
    net: GraphBuilder,
    x: Tensor,
    pooled: Sequence[Tensor],
    axes: Sequence[AxisPlan],
    *,
    channels: int,
    fixed_last: bool,
) -> Tensor:
    score = Conv2d(filters=channels, kernel=1, bias=True)
    x = net.add(score, x, name="score")
    for step in range(plan.fused):
        index = len(plan.levels) - 2 - step
        with net.scope(f"level{index + 1}"):
            x = net.use(enlarge_scores, x, name="up", how=plan.up_sampling, factor=2)
            side = net.add(score, pooled[index], name="score")
            x = net.add(Add(), _padded(net, side, [axis.joins[step] for axis in axes]), x)
    if plan.last_factor == 1:
        return x
    return net.use(enlarge_scores, x, name="up", how=plan.up_sampling, factor=plan.last_factor, fixed=fixed_last)


def _corrected(
    plan: Plan, net: GraphBuilder, x: Tensor, axes: Sequence[AxisPlan], *, factor: int, bias: bool
) -> Tensor:
    """The input, brought to the result's shape, plus the result."""
    with net.scope("residual"):
        whole = _padded(net, net.input, [axis.middle for axis in axes]) if plan.loses else net.input
        if factor > 1:
            whole = net.add(Resize(mode="bicubic", factor=factor), whole)
        whole = with_filters(net, _sized(net, whole, x.shape[1:]), filters=x.shape[0], bias=bias)
        return net.add(Add(), whole, x)


def convolutions(
    net: GraphBuilder,
    x: Tensor,
    *,
    filters: int,
    count: int,
    kernel: int,
    padding: Convolution,
    batch_norm: bool,
    activation: Function,
    bias: bool,
) -> Tensor:
    """Some convolutions at one resolution, each with activation and, where wanted, batch normalisation."""
    layer = Conv2d(filters=filters, kernel=kernel, padding=padding, bias=bias and not batch_norm)
    for _ in range(count):
        x = net.chain(x, layer, *_after(batch_norm, activation))
    return x


def down_sample(
    net: GraphBuilder,
    x: Tensor,
    *,
    how: DownSampling,
    ceil: bool,
    batch_norm: bool,
    activation: Function,
    bias: bool,
) -> Tensor:
    """Half the height and width, by pooling or by a convolution of stride 2; `ceil` rounds them up."""
    if how != "stride":
        return net.add(Pool2d(mode=how, kernel=2, stride=2, padding="valid", ceil=ceil), x)
    if ceil:
        x = _padded(net, x, [(0, size % 2) for size in x.shape[1:]])
    layer = Conv2d(kernel=2, stride=2, padding="valid", bias=bias and not batch_norm)
    return net.chain(x, layer, *_after(batch_norm, activation))


def _stack(plan: Plan, net: GraphBuilder, x: Tensor, filters: int, count: int, *, bias: bool) -> Tensor:
    return net.use(
        convolutions,
        x,
        filters=filters,
        count=count,
        kernel=plan.kernel,
        padding=plan.convolution,
        batch_norm=plan.batch_norm,
        activation=plan.activation,
        bias=bias,
    )


def _classifier(plan: Plan, net: GraphBuilder, x: Tensor, *, bias: bool) -> Tensor:
    """Fully connected layers as convolutions: a valid 7×7, then 1×1, each with dropout."""
    for index in range(plan.bottom.convolutions):
        kernel = CLASSIFIER_KERNEL if index == 0 else 1
        layer = Conv2d(filters=plan.bottom.filters, kernel=kernel, padding="valid", bias=bias and not plan.batch_norm)
        x = net.chain(x, layer, *_after(plan.batch_norm, plan.activation), Dropout(probability=plan.dropout))
    return x


def _after(batch_norm: bool, activation: Function) -> list[Operation]:
    """What follows every convolution."""
    return [*([BatchNorm()] if batch_norm else []), Activation(function=activation)]


def _enlargement(shapes: Shapes) -> int:
    """How many times as high and wide the output is as the input; 1 where that is no whole number."""
    height, width = shapes.input[1:]
    factor = shapes.output_shape[1] // height
    return factor if factor > 1 and shapes.output_shape[1:] == (factor * height, factor * width) else 1


def _padded(net: GraphBuilder, x: Tensor, change: Sequence[tuple[int, int]]) -> Tensor:
    """Zeros added, or pixels cut, (before, after) along height and width."""
    (top, bottom), (left, right) = change
    if not (top or bottom or left or right):
        return x
    return net.add(Pad2d(top=top, bottom=bottom, left=left, right=right), x)


def _sized(net: GraphBuilder, x: Tensor, size: Sequence[int]) -> Tensor:
    """The map itself when it has this size, else resized."""
    height, width = size
    return x if x.shape[1:] == (height, width) else net.add(Resize(mode="bilinear", size=(height, width)), x)
