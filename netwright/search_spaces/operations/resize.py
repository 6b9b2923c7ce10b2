"""Up- or down-sampling of an image by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, Size, require_image

if TYPE_CHECKING:
    from torch import fx


class Resize(Operation):
    """An image by nearest neighbour, bilinear or bicubic interpolation, `factor` times as large or of one size."""

    family: ClassVar[Family] = "wiring"

    mode: Literal["nearest", "bilinear", "bicubic"] = "nearest"
    factor: int = Field(default=2, ge=1, description="how many times as high and wide")
    size: tuple[Size, Size] | None = Field(default=None, description="instead of a factor: (height, width)")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "resizing")
        return (channels, *(self.size or (height * self.factor, width * self.factor)))

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        from torch.nn import functional

        target: dict[str, Any] = {"size": self.size} if self.size else {"scale_factor": float(self.factor)}
        return graph.call_function(functional.interpolate, (inputs[0],), {**target, "mode": self.mode})

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.output_shape(shapes) == shapes[0]

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"{self.mode} ×{self.factor}" if self.size is None else f"{self.mode} {self.size[0]}×{self.size[1]}"
