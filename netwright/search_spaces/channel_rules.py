"""What each kind of operation does to the channels that it reads (see `channels`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import TypeAlias

from netwright.search_spaces.channels import Axes, Channels, Flow, Segment, Step, channel_axis, count, fixed
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.adaptive_pool2d import AdaptivePool2d
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.class_token import ClassToken
from netwright.search_spaces.operations.columns import Columns
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv1d import Conv1d
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.conv_transpose2d import ConvTranspose2d
from netwright.search_spaces.operations.drop_path import DropPath
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.each import Each
from netwright.search_spaces.operations.feature_map import FeatureMap
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.group_norm import GroupNorm
from netwright.search_spaces.operations.last_steps import LastSteps
from netwright.search_spaces.operations.layer_norm import LayerNorm
from netwright.search_spaces.operations.learned_state import LearnedState
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.multiply import Multiply
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.positions import Positions
from netwright.search_spaces.operations.recurrent import GATES, Recurrent
from netwright.search_spaces.operations.reshape import Reshape
from netwright.search_spaces.operations.resize import Resize
from netwright.search_spaces.operations.subsample2d import Subsample2d
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.operations.tokens import Tokens
from netwright.search_spaces.operations.torch_call import TorchCall
from netwright.search_spaces.operations.zero import Zero

Rule: TypeAlias = Callable[[Step], Flow]
NORMED = ("weight", "bias", "running_mean", "running_var")


def rule_of(operation: Operation) -> Rule:
    """The rule for an operation; one that has none keeps all its channels as they are."""
    return RULES.get(type(operation), _unknown)


def _unknown(step: Step) -> Flow:
    for channels in step.reads:
        step.couplings.fix(channels)
    return Flow(fixed(step.node.shape))


def _same(step: Step) -> Flow:
    return Flow(step.reads[0])


def _conv2d(step: Step) -> Flow:
    operation, reads = step.operation, step.reads[0]
    assert isinstance(operation, Conv2d)
    channels, filters = step.shapes[0][0], step.node.shape[0]
    groups = operation.groups or channels
    if operation.groups == 0 or groups == channels > 1:
        return _depthwise(reads, filters // channels, explicit_filters=operation.filters > 0)
    out = step.couplings.produce(step.node.weights, filters, reads=reads)
    if groups > 1:
        # a group of channels reads its own part only: groups are kept or removed whole
        units = _in_groups(step, groups, reads, out)
        return Flow(out, {"weight": (out, None, None, None), "bias": (out,)}, out, "filters", {"groups": units})
    return Flow(out, {"weight": (out, reads, None, None), "bias": (out,)}, out, "filters")


def _in_groups(step: Step, groups: int, *channels: Channels) -> Channels:
    """Couples channels so that each group of neighbours is one unit; gives these units."""
    units = step.couplings.produce(f"{step.node.name}/groups", groups, reads=())
    for some in channels:
        size = sum(segment.units * segment.block for segment in some)
        step.couplings.couple(some, (replace(units[0], block=size // groups),))
    return units


def _depthwise(reads: Channels, times: int, *, explicit_filters: bool) -> Flow:
    out = tuple(replace(segment, block=segment.block * times) for segment in reads)
    weights: dict[str, Axes] = {"weight": (out, None, None, None), "bias": (out,)}
    # "as many groups as come in" holds for any width
    return Flow(out, weights, out, "filters" if explicit_filters else "", {"groups": 0})


def _conv1d(step: Step) -> Flow:
    reads = step.reads[0]
    out = step.couplings.produce(step.node.weights, step.node.shape[1], reads=reads)
    window: Axes = (out, reads, None)
    weights = {"weight": window, "weight_v": window, "weight_g": (out, None, None), "bias": (out,)}
    return Flow(out, weights, out, "filters")


def _conv_transpose2d(step: Step) -> Flow:
    operation, reads = step.operation, step.reads[0]
    assert isinstance(operation, ConvTranspose2d)
    if operation.start == "fixed_bilinear":
        return Flow(reads, {"weight": (reads, None, None, None), "bias": (reads,)})
    out = step.couplings.produce(step.node.weights, step.node.shape[0], reads=reads)
    return Flow(out, {"weight": (reads, out, None, None), "bias": (out,)}, out, "filters")


def _linear(step: Step) -> Flow:
    if len(step.shapes[0]) > 2:
        return Flow(step.reads[0])  # it mixes the last axis, the channels are on the first
    reads = step.reads[0]
    out = step.couplings.produce(step.node.weights, step.node.shape[-1], reads=reads)
    return Flow(out, {"weight": (out, reads), "bias": (out,)}, out, "features")


def _learned_state(step: Step) -> Flow:
    out = step.couplings.produce(step.node.weights, step.node.shape[0], reads=())
    return Flow(out, {"state": (out,)}, out, "features")


def _recurrent(step: Step) -> Flow:
    operation, reads = step.operation, step.reads[0]
    assert isinstance(operation, Recurrent)
    if operation.windows:
        return _unknown(step)
    units = step.couplings.produce(step.node.weights, operation.width, reads=reads)
    gates = units * GATES[operation.cell]
    weights: dict[str, Axes] = {}
    for direction in ("", "_reverse") if operation.bidirectional else ("",):
        weights |= {f"weight_ih_l0{direction}": (gates, reads), f"weight_hh_l0{direction}": (gates, units)}
        weights |= {f"bias_{part}_l0{direction}": (gates,) for part in ("ih", "hh")}
    # both directions have as many units: of each the same ones are kept
    out = units * 2 if operation.bidirectional else units
    for start in step.reads[1:]:
        step.couplings.couple(out, start)
    return Flow(out, weights, units, "width")


def _batch_norm(step: Step) -> Flow:
    return Flow(step.reads[0], dict.fromkeys(NORMED, (step.reads[0],)))


def _positions(step: Step) -> Flow:
    return Flow(step.reads[0], {"positions": (None, step.reads[0])})


def _class_token(step: Step) -> Flow:
    return Flow(step.reads[0], {"token": (step.reads[0],)})


def _layer_norm(step: Step) -> Flow:
    return Flow(step.reads[0]) if len(step.shapes[0]) > 2 else _batch_norm(step)


def _group_norm(step: Step) -> Flow:
    operation = step.operation
    assert isinstance(operation, GroupNorm)
    if operation.groups < 2:
        return _batch_norm(step)
    units = _in_groups(step, operation.groups, step.reads[0])
    return replace(_batch_norm(step), counted=units, counted_field="groups")


def _add(step: Step) -> Flow:
    for other in step.reads[1:]:
        step.couplings.couple(step.reads[0], other)
    return Flow(step.reads[0])


def _multiply(step: Step) -> Flow:
    sizes = [sum(segment.units * segment.block for segment in reads) for reads in step.reads]
    if sizes[0] == sizes[1]:
        return _add(step)
    return Flow(step.reads[0] if sizes[0] > sizes[1] else step.reads[1])


def _concat(step: Step) -> Flow:
    operation, rank = step.operation, len(step.shapes[0])
    assert isinstance(operation, Concat)
    if rank == 2 and not operation.features_last:
        return _add(step)  # one after another in time
    if rank > 2 and operation.features_last:
        return _unknown(step)
    return Flow(tuple(segment for reads in step.reads for segment in reads))


def _flatten(step: Step) -> Flow:
    shape, reads = step.shapes[0], step.reads[0]
    if len(shape) == 2:
        return Flow(reads * shape[0])  # the features of one step after another
    places = 1
    for size in shape[1:]:
        places *= size
    return Flow(tuple(replace(segment, block=segment.block * places) for segment in reads))


def _reshape(step: Step) -> Flow:
    before, after = step.shapes[0], step.node.shape
    stays = [(prod(shape[: channel_axis(shape)]), *shape[channel_axis(shape) :][:1]) for shape in (before, after)]
    return Flow(step.reads[0], {}, step.reads[0], "shape") if stays[0] == stays[1] else _unknown(step)


def _columns(step: Step) -> Flow:
    """Some of the channels, where they are whole segments: one direction of a recurrent layer of two."""
    operation = step.operation
    assert isinstance(operation, Columns)
    before: Channels = ()
    inside: Channels = ()
    start = 0
    for segment in step.reads[0]:
        if start < operation.start:
            before = (*before, segment)
        elif start < operation.stop:
            inside = (*inside, segment)
        start += segment.units * segment.block
    if (count(before, {}), count(before + inside, {})) != (operation.start, operation.stop):
        return _unknown(step)
    return Flow(inside, {}, inside, "", {"start": before, "stop": before + inside})


def _torch_call(step: Step) -> Flow:
    operation = step.operation
    assert isinstance(operation, TorchCall)
    if not operation.channel_wise:
        return _unknown(step)
    size = step.node.shape[channel_axis(step.node.shape)]
    shaped = [(r, shape) for r, shape in zip(step.reads, step.shapes, strict=True) if shape]
    whole = [r for r, shape in shaped if shape[channel_axis(shape)] == size]
    for other in whole[1:]:
        step.couplings.couple(whole[0], other)
    weights: dict[str, Axes] = {
        f"weight{number}": tuple(whole[0] if at == axis else None for at in range(len(shape)))
        for number, (shape, axis) in enumerate(zip(operation.weights, operation.weight_axes, strict=True))
    }
    return Flow(whole[0], weights)


def _each(step: Step) -> Flow:
    """What the operation does to the channels of one part."""
    operation = step.operation
    assert isinstance(operation, Each)
    node = replace(step.node, operation=operation.operation, shape=step.node.shape[1:])
    return rule_of(node.operation)(replace(step, node=node, shapes=operation.of_one(step.shapes)))


def _pad2d(step: Step) -> Flow:
    operation = step.operation
    assert isinstance(operation, Pad2d)
    if min(operation.first, operation.last) < 0:
        return _unknown(step)
    before, after = ((Segment("", extra),) if extra else () for extra in (operation.first, operation.last))
    return Flow((*before, *step.reads[0], *after))


def _zero(step: Step) -> Flow:
    assert isinstance(step.operation, Zero)
    return Flow(fixed(step.node.shape) if step.operation.size else step.reads[0])


RULES: dict[type[Operation], Rule] = {
    Activation: _same,
    AdaptivePool2d: _same,
    Add: _add,
    BatchNorm: _batch_norm,
    ClassToken: _class_token,
    Columns: _columns,
    Concat: _concat,
    Conv1d: _conv1d,
    Conv2d: _conv2d,
    ConvTranspose2d: _conv_transpose2d,
    DropPath: _same,
    Dropout: _same,
    Each: _each,
    FeatureMap: _same,
    Flatten: _flatten,
    GlobalPool: _same,
    GroupNorm: _group_norm,
    LastSteps: _same,
    LearnedState: _learned_state,
    LayerNorm: _layer_norm,
    Linear: _linear,
    Multiply: _multiply,
    Pad2d: _pad2d,
    Pool2d: _same,
    Positions: _positions,
    Recurrent: _recurrent,
    Reshape: _reshape,
    Resize: _same,
    Subsample2d: _same,
    Summary: _same,
    Tokens: _same,
    TorchCall: _torch_call,
    Zero: _zero,
}
