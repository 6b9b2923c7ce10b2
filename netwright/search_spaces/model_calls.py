"""Functions and methods of torch as operations: what a call in a user's `forward` is called here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_layers import (
    ACTIVATIONS,
    DEFAULTS,
    UnreadableError,
    adaptive_pool,
    dropout,
    expect,
    pool,
    resize,
    same,
    softmax,
)
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.drop_path import DropPath
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.last_steps import LastSteps
from netwright.search_spaces.operations.multiply import Multiply
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.pixel_shuffle import PixelShuffle
from netwright.search_spaces.operations.reshape import Reshape
from netwright.search_spaces.operations.summary import Summary

WHOLE = slice(None)


@dataclass(frozen=True, slots=True)
class Call:
    """A call with its arguments, tensors of the network among them, and the shape that it gave."""

    name: str
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    after: Shape

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors of the network that are read."""
        found: list[Tensor] = []
        for argument in (*self.arguments, *self.named.values()):
            if isinstance(argument, Tensor):
                found.append(argument)
            elif isinstance(argument, (list, tuple)):
                found += [item for item in argument if isinstance(item, Tensor)]
        return found

    @property
    def before(self) -> Shape:
        """The shape of the first tensor."""
        return self.tensors[0].shape

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by its position or its name."""
        if name in self.named:
            return self.named[name]
        return self.arguments[position] if position < len(self.arguments) else default


def call_operation(call: Call) -> Operation | None:
    """The operation that a call is, applied to its tensors, or None when it changes nothing."""
    name = call.name.rstrip("_")
    if name in FUNCTIONS:
        wrong = [key for key, value in DEFAULTS.items() if call.named.get(key, value) != value]
        expect(not wrong and len(call.arguments) == 1, f"{name} with torch's default settings")
        return Activation(function=FUNCTIONS[name])
    read = CALLS.get(name)
    if read is None:
        raise UnreadableError(f"no operation is {name}")
    return read(call)


def _both(call: Call, what: str) -> None:
    numbers = len(call.tensors) == 2 and len(call.arguments) == 2 and not set(call.named) - {"other"}
    expect(numbers, f"{what} of two values that the network computes, without constants or weights of its own")


def _add(call: Call) -> Operation:
    _both(call, "a sum")
    return Add()


def _multiply(call: Call) -> Operation:
    _both(call, "a product")
    return Multiply()


def _concat(call: Call) -> Operation:
    expect(len(call.tensors) == len(call.arguments[0]), "a concatenation of values that the network computes")
    rank = len(call.before)
    axis = call.get(1, "dim", 0)
    axis = axis if axis >= 0 else axis + rank + 1
    allowed = (1, 2) if rank == 2 else (1,)
    expect(axis in allowed, f"a concatenation along channels, time or features, came axis {axis}")
    return Concat(features_last=rank == 2 and axis == 2)


def _reshape(call: Call) -> Operation | None:
    if call.before == call.after:
        return None
    return Flatten() if len(call.after) == 1 and call.before else Reshape(shape=call.after)


def axes_of(arguments: Sequence[Any], named: Mapping[str, Any], rank: int) -> tuple[list[int], bool]:
    """The axes that are summed up, counted with the batch, and whether they stay as 1."""
    given = dict(zip(("dim", "keepdim"), arguments[1:], strict=False)) | dict(named)
    axes = given.get("dim")
    listed: Sequence[Any] = (axes,) if isinstance(axes, int) else axes or ()
    expect(bool(listed) and all(isinstance(axis, int) for axis in listed), "the axes that are summed up")
    return sorted(axis % rank for axis in listed), bool(given.get("keepdim", False))


def _reduce(call: Call, image: Any, sequence: Any) -> Operation:
    axes, keep = axes_of(call.arguments, call.named, len(call.before) + 1)
    if len(call.before) == 3 and axes == [2, 3]:
        return GlobalPool(mode=image, keep_axes=keep)
    over_time = len(call.before) == 2 and axes == [1] and not keep
    expect(over_time, "a mean or maximum over height and width together, or over time")
    return Summary(mode=sequence)


def _item(call: Call) -> Operation | None:
    index = call.arguments[1]
    parts = list(index) if isinstance(index, tuple) else [index]
    while parts and parts[-1] in (WHOLE, Ellipsis):
        parts.pop()
    if not parts:
        return None
    expect(parts[0] == WHOLE, "an index that leaves the batch whole")
    if len(call.before) == 3 and parts[1:] == [WHOLE, 0, 0] and call.before[1:] == (1, 1):
        return Flatten()
    expect(len(call.before) == 2 and len(parts) == 2, "the first, the last or the last few steps of a sequence")
    step = parts[1]
    if isinstance(step, slice):
        last = step.stop is None and step.step is None and isinstance(step.start, int) and step.start < 0
        expect(last, "the last few steps of a sequence, x[:, -n:]")
        return LastSteps(steps=-step.start)
    expect(step in (0, -1, call.before[0] - 1), "the first or the last step of a sequence")
    return Summary(mode="first" if step == 0 else "last")


def _pool(call: Call, mode: str) -> Operation:
    ceil, count = call.get(4, "ceil_mode", False), call.get(5, "count_include_pad", True)
    if mode == "max":
        expect(same(call.get(4, "dilation", 1), "the dilation of a pooling") == 1, "a pooling without dilation")
        ceil, count = call.get(5, "ceil_mode", False), False
    else:
        expect(call.get(6, "divisor_override") is None, "an average pooling without divisor_override")
    kernel, stride, padding = (
        call.get(place, name, default)
        for place, name, default in ((1, "kernel_size", None), (2, "stride", None), (3, "padding", 0))
    )
    return pool(mode, kernel, stride, padding, ceil=ceil, count_padding=bool(count))


def _pad(call: Call) -> Operation:
    sides = list(call.get(1, "pad"))
    plain = call.get(2, "mode", "constant") == "constant" and not call.get(3, "value", 0)
    expect(plain and len(call.before) == 3 and len(sides) <= 6, "an image padded with zeros")
    left, right, top, bottom, first, last = sides + [0] * (6 - len(sides))
    return Pad2d(top=top, bottom=bottom, left=left, right=right, first=first, last=last)


def _flatten(call: Call) -> Operation | None:
    expect(call.get(1, "start_dim", 0) == 1 or len(call.before) == len(call.after), "flattening from axis 1 on")
    return _reshape(call)


def _interpolate(call: Call) -> Operation:
    mode, align = call.get(3, "mode", "nearest"), call.get(4, "align_corners", None)
    return resize(call.get(1, "size"), call.get(2, "scale_factor"), mode, align)


def _stochastic_depth(call: Call) -> Operation:
    """torchvision's function of that name."""
    expect(call.get(2, "mode") == "row" and call.get(1, "p") < 1, "stochastic depth of whole samples")
    return DropPath(probability=call.get(1, "p"))


Reader: TypeAlias = Callable[[Call], Operation | None]
SHAPED_AS = ("view_as", "reshape_as")
RESHAPING = ("view", "reshape", "squeeze", "unsqueeze", "unflatten", "flatten", *SHAPED_AS)
UNCHANGED = ("contiguous", "clone", "detach", "to", "float", "type", "type_as", "cpu", "requires_grad")
"""They compute nothing where shape and type stay."""
FUNCTIONS: Mapping[str, str] = {str(name): str(name) for name in ACTIVATIONS.values()}
CALLS: Mapping[str, Reader] = {
    **dict.fromkeys(("add", "iadd"), _add),
    **dict.fromkeys(("mul", "imul", "multiply"), _multiply),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat),
    **dict.fromkeys(("view", "reshape", "squeeze", "unsqueeze", "unflatten", *SHAPED_AS), _reshape),
    **dict.fromkeys(("dropout", "dropout2d"), lambda call: dropout(call.get(1, "p", 0.5))),
    "flatten": _flatten,
    "mean": lambda call: _reduce(call, "average", "mean"),
    "amax": lambda call: _reduce(call, "max", "max"),
    "max": lambda call: _reduce(call, "max", "max"),
    "getitem": _item,
    "max_pool2d": lambda call: _pool(call, "max"),
    "avg_pool2d": lambda call: _pool(call, "average"),
    "adaptive_avg_pool2d": lambda call: adaptive_pool("average", call.get(1, "output_size")),
    "adaptive_max_pool2d": lambda call: adaptive_pool("max", call.get(1, "output_size")),
    "interpolate": _interpolate,
    "pad": _pad,
    "stochastic_depth": _stochastic_depth,
    "softmax": lambda call: softmax(call.get(1, "dim"), len(call.before) + 1, log=False),
    "log_softmax": lambda call: softmax(call.get(1, "dim"), len(call.before) + 1, log=True),
    "pixel_shuffle": lambda call: PixelShuffle(factor=call.get(1, "upscale_factor")),
}
