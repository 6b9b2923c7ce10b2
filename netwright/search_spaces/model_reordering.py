"""Steps on values that lie in another order than a layer graph's, and steps that give such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_calls import RESHAPING, axes_of
from netwright.search_spaces.model_functions import Several
from netwright.search_spaces.model_layers import expect
from netwright.search_spaces.model_layouts import (
    LAID,
    SIGNAL_LAYERS,
    SUMMED,
    Grid,
    Laid,
    Signal,
    TimeFirst,
    flat_places,
    in_two_dimensions,
    order,
    tensor_of,
    turned,
)
from netwright.search_spaces.model_nodes import close, flat, mapped, name_of, owner_of, place_of
from netwright.search_spaces.model_operations import Operations
from netwright.search_spaces.model_parts import Joined, Moved
from netwright.search_spaces.model_recurrent import PARTLY
from netwright.search_spaces.model_tracing import BATCH, Traced
from netwright.search_spaces.model_writing import Writer
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.reshape import Reshape
from netwright.search_spaces.operations.tokens import Tokens

EVERY = slice(None)
OF_NETWORK = (Tensor, *LAID, Several, *PARTLY, Joined, Moved)
"""What depends on the network's input; anything else that a step gives is a constant."""


class Reordering:
    """What such steps give; `values` holds what the steps before them gave."""

    def __init__(self, traced: Traced, to: Writer, operations: Operations, values: dict[fx.Node, Any]) -> None:
        self._traced = traced
        self._to = to
        self._operations = operations
        self._values = values
        self._signals: dict[Tensor, Tensor] = {}

    def step(self, node: fx.Node, arguments: Any, named: Mapping[str, Any]) -> Any:
        """A step on values in another order than the graph's, or one that gives such; None when it is neither."""
        first: Any = arguments[0] if arguments else None
        result, name = self._traced.results[node], name_of(node)
        if isinstance(first, Moved):
            return self._along(node, name, first, arguments[1:])
        if node.op == "call_module":
            module = self._traced.root.get_submodule(str(node.target))
            if isinstance(module, SIGNAL_LAYERS) and len(first.shape) == 2:
                return Signal(self._operations.layer(node, [self._signal(node, first)], named))
            if isinstance(first, TimeFirst) and isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
                read = self._operations.layer(node, arguments, named)
                return replace(read, values=TimeFirst(read.values))
            if isinstance(module, nn.RNNBase):  # also with states that have the samples second
                return self._operations.layer(node, [self.plain(first), *arguments[1:]], named)
        elif isinstance(first, (Tensor, *LAID)) and isinstance(result, torch.Tensor):
            found = self._rearranged(node, name, arguments, tuple(result.shape[1:]))
            found = found or self._one_dimensional(node, name, arguments, dict(named))
            if found is not None:
                return found
        laid = [value for value in [*flat(arguments), *flat(named)] if isinstance(value, LAID)]
        sure = [value for value in laid if not isinstance(value, Signal) or not value.flat]
        return self._alike(node, sure[0], arguments, named) if sure else None

    def plain(self, value: Any) -> Any:
        """A value as the network has it."""
        expect(not isinstance(value, Moved), "the samples as the first axis again, by x[0], x[1], ...")
        if not isinstance(value, LAID):
            return value
        return self._to.net.add(value.plain, value.tensor, name=self._to.unused("plain"))

    def _along(self, node: fx.Node, name: str, moved: Moved, arguments: Any) -> Any:
        """One entry along the axis that stands before the samples, or all of them in a row."""
        if name == "unbind" and arguments in ((), (0,)):
            return moved
        index = arguments[0] if arguments else None
        expect(name == "getitem" and isinstance(index, int), "the samples as the first axis again, by x[0], x[1], ...")
        part = self._operations.function(node, "method.select", [moved.tensor, moved.axes[0], index], {})
        axes = moved.rest()
        expect(axes[0] == 0, "the samples as the first axis of what is taken")
        if axes == tuple(range(len(axes))):
            return part
        return self._operations.function(node, "method.permute", [part, *axes], {})

    def _rearranged(self, node: fx.Node, name: str, arguments: Any, after: Shape) -> Any:
        first: Tensor | Laid = arguments[0]
        axes = order(name, arguments, len(first.shape) + 1)
        way = turned(first, axes) if axes else None
        if way is not None:
            return way[1](tensor_of(first) if way[0] is None else self._to.add(node, way[0], [tensor_of(first)]))
        if axes and axes[0] != 0:
            return Moved(self.plain(first), axes)
        shape = tuple(self._traced.results[node].shape)
        if name in (*RESHAPING, "getitem") and shape == (1, BATCH, *first.shape) and isinstance(first, Tensor):
            return TimeFirst(self._to.add(node, Reshape(shape=(1, *first.shape)), [first]))
        if name not in RESHAPING:
            return None
        if isinstance(first, Tensor):
            # also the image of one row whose row is taken away
            made = (after[0], 1, after[1]) if flat_places(first, after) else None
            return Signal(self._to.add(node, Reshape(shape=made), [first]), flat=True) if made else None
        if isinstance(first, Signal) and (len(after) == 1 or (len(after) == 3 and after[0] == first.shape[0])):
            return self._to.add(node, Flatten() if len(after) == 1 else Reshape(shape=after), [first.tensor])
        return first.tensor if after == first.tensor.shape else None

    def _one_dimensional(self, node: fx.Node, name: str, arguments: Any, named: dict[str, Any]) -> Any:
        """Functions of a signal along time as those of its image, and of a grid as those of its sequence."""
        first: Tensor | Laid = arguments[0]
        function = self._operations.function
        as_image = in_two_dimensions(name, arguments, named)
        if as_image is not None and len(first.shape) == 2:
            return Signal(function(node, f"functional.{name[:-2]}2d", [self._signal(node, first)], as_image))
        if isinstance(first, Tensor):
            return None
        if name in ("mean", "amax", "max"):
            axes, keep = axes_of(arguments, named, len(first.shape) + 1)
            summed, over = SUMMED[type(first)]
            if axes == summed and (isinstance(first, Signal) or not keep):
                found = function(node, f"method.{name}", [first.tensor, over, keep], {})
                return Signal(found) if keep else found
        if name != "getitem":
            return None
        *whole, last = arguments[1] if isinstance(arguments[1], tuple) else (arguments[1],)
        if isinstance(first, TimeFirst):
            step, *others = *whole, last
            if isinstance(step, (int, slice)) and all(part == EVERY for part in others):
                found = function(node, "operator.getitem", [first.tensor, (EVERY, step)], {})
                return TimeFirst(found) if isinstance(step, slice) else found
        if isinstance(first, Signal) and whole == [EVERY] * 2:
            if isinstance(last, slice):
                return Signal(function(node, "operator.getitem", [first.tensor, (*whole, EVERY, last)], {}))
            if isinstance(last, int):
                sequence = self._to.net.add(Tokens(), first.tensor, name=self._to.unused(self._to.path(node)))
                return function(node, "operator.getitem", [sequence, (EVERY, last)], {})
        return None

    def _alike(self, node: fx.Node, lead: Laid, arguments: Any, named: Any) -> Any:
        """A step that does the same to values in either order, which is tried; None when it does not."""
        values = {}
        for source in node.all_input_nodes:
            value = self._values[source]
            if isinstance(lead, Signal) and isinstance(value, Tensor) and value.shape == lead.shape:
                value = self._values[source] = Signal(self._signal(node, value))
            if isinstance(value, type(lead)):
                values[source] = value.of(self._traced.results[source])
            elif isinstance(value, OF_NETWORK):
                return None
        try:
            result = self._traced.run(node, values)
        except (RuntimeError, IndexError, TypeError, ValueError):
            return None
        expected = self._traced.results[node]
        stays = not isinstance(lead, Grid) or expected.shape[1] == lead.height
        if not isinstance(result, torch.Tensor) or not stays or not close(result, lead.of(expected)):
            return None
        arguments, named = mapped(
            (arguments, named), lambda x: self._signals.get(x, x) if isinstance(x, Tensor) else tensor_of(x)
        )
        found = self._operations.applied(node, arguments, named, result)
        return lead.like(found) if isinstance(found, Tensor) else None

    def _signal(self, node: fx.Node, value: Tensor | Laid) -> Tensor:
        """The tensor (channels, 1, time) of a value (channels, time)."""
        if isinstance(value, Signal):
            return value.tensor
        assert isinstance(value, Tensor)
        if value not in self._signals:
            channels, time = value.shape
            path = self._to.unused("/".join(part for part in (place_of(owner_of(node)), "signal") if part))
            self._signals[value] = self._to.net.add(Reshape(shape=(channels, 1, time)), value, name=path)
        return self._signals[value]
