"""A function of torch, called as a network that was read calls it."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx, nn

INPUT, WEIGHT, REPEATED, BATCH, SLICE, TYPE, ELLIPSIS, CALL = (
    "input", "weight", "repeated", "batch", "slice", "dtype", "ellipsis", "call",
)  # fmt: skip
"""What a mapping of one key stands for among the arguments."""
OPERATORS = (
    "abs", "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "invert", "le", "lt", "matmul", "mod", "mul", "ne",
    "neg", "or_", "pow", "sub", "truediv",
)  # fmt: skip
WRITING = ("from_file", "apply_", "map_", "map2_", "backward", "register_hook", "share_memory_", "set_")
"""Names that compute nothing: they touch files, other processes or what was recorded."""


class TorchCall(Operation):
    """A function of torch with fixed arguments, on inputs of fixed shapes.

    Where `channel_wise` holds, the function treats each channel by itself and takes any number of them. Weights that
    are trained are `weight0`, `weight1`, ... in the order of `weights`; those in `constants` are not trained.
    """

    family: ClassVar[Family] = "other"
    inputs: ClassVar[int | None] = None

    function: str = Field(description="torch.NAME, functional.NAME, method.NAME or operator.NAME")
    arguments: str = Field(
        default='[[{"input": 0}], {}]',
        description='JSON of [positional, named]; {"input": 0} is the first input, {"weight": 0} the first weight, '
        '{"repeated": 0} that weight for each sample, {"batch": 1} the number of samples, '
        '{"slice": [0, 9, 2]} a slice, {"call": ["torch.exp", [...], {}]} what a function makes of weights',
    )
    before: tuple[Shape, ...] = Field(description="shapes of the inputs, per sample")
    after: Shape = Field(description="shape of the result, per sample")
    weights: tuple[Shape, ...] = Field(default=(), description="shapes of the weights")
    constants: tuple[int, ...] = Field(default=(), description="numbers of the weights that are not trained")
    channel_wise: bool = Field(default=False, description="whether every channel is treated by itself")
    weight_axes: tuple[int | None, ...] = Field(default=(), description="the axis of each weight that is the channels'")
    item: int | Literal["all"] | None = Field(
        default=None, description="which one is taken where the function gives several; all: one beside the other"
    )
    macs_as_read: int = Field(default=0, ge=0, description="multiply-accumulates of one sample")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels = self._channels(shapes)
        if channels is None or not self.channel_wise:
            return self.after
        axis = _axis(self.after)
        return (*self.after[:axis], channels, *self.after[axis + 1 :])

    def params(self, shapes: Sequence[Shape]) -> int:
        return sum(prod(s) for i, s in enumerate(self._weight_shapes(shapes)) if i not in self.constants)

    def macs(self, shapes: Sequence[Shape]) -> int:
        whole = max(map(_count, self.before), default=1)
        return self.macs_as_read * (self._channels(shapes) or whole) // whole

    def module(self, shapes: Sequence[Shape]) -> nn.Module | None:
        import torch
        from torch import nn

        if not self.weights:
            return None
        holder = nn.Module()
        for number, shape in enumerate(self._weight_shapes(shapes)):
            start = torch.ones(shape)
            if number in self.constants:
                holder.register_buffer(f"weight{number}", start)
            else:
                holder.register_parameter(f"weight{number}", nn.Parameter(start))
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        weights = [graph.get_attr(f"{name}.weight{number}") for number in range(len(self.weights))]
        counted = any(f'"{mark}"' in self.arguments for mark in (BATCH, REPEATED))
        batch = graph.call_method("size", (inputs[0], 0)) if counted else None
        repeated: list[Any] = []
        for weight, shape in zip(weights, self.weights, strict=True) if f'"{REPEATED}"' in self.arguments else ():
            one = bool(shape) and shape[0] == 1
            repeated.append(graph.call_method("expand", (weight, batch, *[-1] * (len(shape) - 1))) if one else weight)

        def called(function: str, positional: Any, named: Any) -> fx.Node:
            kind, _, method = function.partition(".")
            of_torch = resolved(function)
            if kind == "method":
                return graph.call_method(method, positional, named)
            return graph.call_function(of_torch, positional, named)

        positional, named = self._filled(inputs, weights, repeated, batch, called)
        found = called(self.function, positional, named)
        if self.item == "all":
            import torch

            return graph.call_function(torch.cat, (found, -1))
        return found if self.item is None else graph.call_function(operator.getitem, (found, self.item))

    def run(self, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
        """What the function gives for tensors, (batch, *shape)."""
        batch = len(inputs[0])
        repeated = [w.expand(batch, *w.shape[1:]) if len(w.shape) and len(w) == 1 else w for w in weights]

        def called(function: str, positional: Any, named: Any) -> Any:
            return resolved(function)(*positional, **named)

        positional, named = self._filled(inputs, weights, repeated, batch, called)
        found = called(self.function, positional, named)
        if self.item == "all":
            import torch

            return torch.cat(tuple(found), -1)
        return found if self.item is None else found[self.item]

    def label(self) -> str:
        return self.function.partition(".")[2].strip("_").replace("_", " ")

    def _filled(
        self, inputs: Sequence[Any], weights: Sequence[Any], repeated: Sequence[Any], batch: Any, called: Any
    ) -> tuple[tuple[Any, ...], Any]:
        positional, named = json.loads(self.arguments)
        given = {INPUT: inputs, WEIGHT: weights, REPEATED: repeated, BATCH: batch, CALL: called}
        return _filled(positional, given), {key: _filled(value, given) for key, value in named.items()}

    def _channels(self, shapes: Sequence[Shape]) -> int | None:
        """How many channels there are when they are others than those that were read."""
        if tuple(shapes) == self.before:
            return None
        whole = max(map(_count, self.before))
        counts = set()
        for before, now in zip(self.before, shapes, strict=True):
            axis = _axis(before)
            rest = len(now) == len(before) and before[:axis] + before[axis + 1 :] == now[:axis] + now[axis + 1 :]
            if not self.channel_wise or not rest or (_count(before) != whole and now != before):
                raise ShapeError(f"{self.label()} was read with {self._words(self.before)}, came {self._words(shapes)}")
            if before and before[axis] == whole:
                counts.add(now[axis])
        if len(counts) > 1:
            raise ShapeError(f"{self.label()} needs as many channels of each, came {self._words(shapes)}")
        return counts.pop()

    def _weight_shapes(self, shapes: Sequence[Shape]) -> list[Shape]:
        channels = self._channels(shapes)
        if channels is None:
            return list(self.weights)
        axes = self.weight_axes or (None,) * len(self.weights)
        return [
            shape if axis is None else (*shape[:axis], channels, *shape[axis + 1 :])
            for shape, axis in zip(self.weights, axes, strict=True)
        ]

    @staticmethod
    def _words(shapes: Sequence[Shape]) -> str:
        return " and ".join(map(str, shapes))


def resolved(function: str) -> Callable[..., Any]:
    """The function of torch that a name means; raises SpaceError for what is none, or computes nothing."""
    import torch
    from torch.nn import functional

    kind, _, name = function.partition(".")
    homes: Mapping[str, tuple[Any, ...]] = {
        "torch": (torch,) if hasattr(torch._C._VariableFunctions, name) or name in torch.functional.__all__ else (),
        "functional": (functional,),
        "method": (torch.Tensor,),
        "operator": (operator,) if name in OPERATORS else (),
    }
    for home in homes.get(kind, ()):
        found = getattr(home, name, None)
        if callable(found) and not isinstance(found, type) and name[:1] != "_" and name not in WRITING:
            return found  # type: ignore[no-any-return]  # any function of torch
    raise SpaceError(f"function: {function!r} is no function of torch that computes with tensors")


def _axis(shape: Shape) -> int:
    """Where channels are: last in (time, features), else first."""
    return 1 if len(shape) == 2 else 0


def _count(shape: Shape) -> int:
    """The number of channels; a number for each sample is one."""
    return shape[_axis(shape)] if shape else 1


def _filled(value: Any, given: Mapping[str, Any]) -> Any:
    """An argument with what the marks in it stand for."""
    if isinstance(value, list):
        return tuple(_filled(item, given) for item in value)
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind in (INPUT, WEIGHT, REPEATED):
        return given[kind][content]
    if kind == BATCH:
        return given[BATCH]
    if kind == CALL:
        function, positional, named = content
        given_names = {key: _filled(item, given) for key, item in named.items()}
        return given[CALL](function, _filled(positional, given), given_names)
    if kind == SLICE:
        return slice(*(_filled(item, given) for item in content))
    if kind == ELLIPSIS:
        return ...
    if kind == TYPE:
        import torch

        return getattr(torch, content)
    raise SpaceError(f"arguments: {kind!r} means nothing")
