"""The operation: one kind of layer, with its output shape, its cost and its torch module."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.files import canonical_json
from netwright.core.plugins import Plugin, name_of, spec_of
from netwright.core.shapes import Shape

if TYPE_CHECKING:
    import torch
    from torch import fx, nn


Family = Literal["convolution", "pooling", "recurrent", "linear", "attention", "wiring", "pointwise", "other"]
Size = Annotated[int, Field(ge=1)]
Sides: TypeAlias = Size | tuple[Size, Size]
"""One number for a square, or (height, width)."""
Padding: TypeAlias = Literal["same", "valid"] | Annotated[int, Field(ge=0)] | tuple[int, int]
"""`same` keeps the size at stride 1 for odd windows, `valid` adds nothing; or places added to each side."""


class Operation(Plugin):
    """A layer with its attributes as fields; shapes are per sample, without the batch.

    A subclass says what comes out (`output_shape`), what it costs (`params`, `macs`) and how torch
    does it (`module` for a layer with weights; `emit` for anything but one call of that module).
    """

    commutative: ClassVar[bool] = False
    """Whether the order of the inputs means nothing."""
    associative: ClassVar[bool] = False
    """Whether nesting means nothing, as in a sum of sums."""
    drops_zeros: ClassVar[bool] = False
    """Whether an input of zeros changes nothing, as in a sum."""
    zeroed_by_one: ClassVar[bool] = False
    """Whether one input of zeros is enough for zeros to come out, as in a product; see `keeps_zeros`."""
    random: ClassVar[bool] = False
    """Whether training draws random numbers here, so that two of them are not the same value."""
    reads_tokens: ClassVar[bool] = False
    """Whether its input is whole numbers that stand for words or signs."""
    inputs: ClassVar[int | None] = 1
    """How many inputs it takes; None for one or more."""
    family: ClassVar[Family] = "other"
    """What it belongs to, for the colours of a drawing."""
    accompanies: ClassVar[bool] = False
    """Whether it is drawn as a remark on the operation before or after it, as normalisation is."""

    @cached_property
    def key(self) -> str:
        """One line that says the operation with all its attributes."""
        return _key_of(type(self), tuple([(name, getattr(self, name)) for name in type(self).model_fields]))

    @cached_property
    def known(self) -> dict[tuple[Shape, ...], tuple[Shape, int, int]]:
        """What comes out, parameters and multiply-accumulates, for inputs that were asked about before."""
        return {}

    @cached_property
    def sizeless(self) -> bool:
        """Whether no attribute can be a size: each is a yes or no."""
        return all(isinstance(getattr(self, name), bool) for name in type(self).model_fields)

    @abstractmethod
    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The shape that comes out; raises ShapeError when these inputs cannot be served."""

    def params(self, shapes: Sequence[Shape]) -> int:
        """Number of trainable parameters."""
        del shapes
        return 0

    def macs(self, shapes: Sequence[Shape]) -> int:
        """Multiply-accumulates of one inference, counting convolutions and matrix products only."""
        del shapes
        return 0

    def module(self, shapes: Sequence[Shape]) -> nn.Module | None:
        """The torch module, or None when `emit` needs none."""
        del shapes
        return None

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        """The steps that run this operation in a torch.fx graph; `name` is where its module lives."""
        return graph.call_module(name, tuple(inputs))

    def shared_as(self) -> str:
        """The kind under which layers of one place share their weights in a supernet."""
        return name_of(self).rpartition(":")[2].lower()

    def shared_part(self, weight: str, full: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The part of a larger layer's weight that this layer uses when a supernet shares it.

        `weight` is its name in the module (`weight_ih_l0`), `full` the largest layer's, `shape` this layer's.
        A view, so that training the part trains the whole. By default the first entries of every axis.
        """
        del weight
        for axis, size in enumerate(shape):
            full = full.narrow(axis, 0, size)
        return full

    def keeps_zeros(self) -> bool:
        """Whether zeros come out when zeros come in, at every input unless one is enough."""
        return False

    def completed_by(self, following: Operation) -> bool:
        """Whether this and the operation after it are one, as depthwise and pointwise convolution are."""
        del following
        return False

    def label_with(self, following: Operation) -> str:
        """A few words for a drawing of this and of the operation that completes it."""
        return f"{self.label()} + {following.label()}"

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        """Whether the operation gives out its only input unchanged (at inference)."""
        del shapes
        return False

    def is_zero(self) -> bool:
        """Whether the operation gives out zeros whatever comes in."""
        return False

    def label(self) -> str:
        """A few words for a drawing."""
        return type(self).__name__


@lru_cache(maxsize=16384)
def _key_of(kind: type[Operation], attributes: tuple[tuple[str, Hashable], ...]) -> str:
    return canonical_json(spec_of(kind(**dict(attributes))))


def require_image(shape: Shape, what: str) -> tuple[int, int, int]:
    """The (channels, height, width) of an image-like shape; raises ShapeError otherwise."""
    if len(shape) != 3:
        raise ShapeError(f"{what} needs an image-like input (channels, height, width), came {shape}")
    return shape[0], shape[1], shape[2]


def require_sequence(shape: Shape, what: str) -> tuple[int, int]:
    """The (time, features) of a sequence-like shape; raises ShapeError otherwise."""
    if len(shape) != 2:
        raise ShapeError(f"{what} needs a sequence-like input (time, features), came {shape}")
    return shape[0], shape[1]


def window_output(size: int, *, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """The length that a sliding window leaves of one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def sides(value: Sides) -> tuple[int, int]:
    """The (height, width) of a window that may be given by one number."""
    return (value, value) if isinstance(value, int) else value


def window_padding(padding: Padding, kernel: Sides, *, dilation: int = 1) -> tuple[int, int]:
    """How many places are added above and below, and left and right, of an image."""
    if padding == "same":
        height, width = sides(kernel)
        return dilation * (height - 1) // 2, dilation * (width - 1) // 2
    return (0, 0) if padding == "valid" else sides(padding)
