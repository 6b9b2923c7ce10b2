"""A product with a matrix that the task gives, fixed or as a start for learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation
from netwright.search_spaces.stored_matrix import load_matrix, matrix_shape, squared_norm

if TYPE_CHECKING:
    from torch import fx, nn


class Matrix(Operation):
    """W x with W made from a stored operator A (measurements m × unknowns n); L is A's squared norm.

    forward: W = A. adjoint: W = Aᵀ. step: W = Aᵀ / L. descent: W = I - AᵀA / L. The last two are what one
    iteration of ISTA multiplies the measurements and the estimate by. Fixed, or learned from there on.
    """

    family: ClassVar[Family] = "linear"

    operator: str = Field(description="where A is stored: file.npz:key")
    form: Literal["forward", "adjoint", "step", "descent"] = "forward"
    learned: bool = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        rows, columns = self._sides
        if shapes[0] != (columns,):
            raise ShapeError(f"{self.label()} is {rows} × {columns}, which cannot be applied to {shapes[0]}")
        return (rows,)

    def params(self, shapes: Sequence[Shape]) -> int:
        return self.macs(shapes) if self.learned else 0

    def macs(self, shapes: Sequence[Shape]) -> int:
        rows, columns = self._sides
        return rows * columns

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        import torch
        from torch import nn

        weight = torch.from_numpy(self._weight())
        holder = nn.Module()
        if self.learned:
            holder.register_parameter("weight", nn.Parameter(weight))
        else:
            holder.register_buffer("weight", weight)
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        from torch.nn import functional

        return graph.call_function(functional.linear, (inputs[0], graph.get_attr(f"{name}.weight")))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        words = {"forward": "A", "adjoint": "Aᵀ", "step": "Aᵀ/L", "descent": "I - AᵀA/L"}[self.form]
        return f"learned from {words}" if self.learned else words

    @property
    def _sides(self) -> tuple[int, int]:
        rows, columns = matrix_shape(self.operator)
        return {"forward": (rows, columns), "descent": (columns, columns)}.get(self.form, (columns, rows))

    def _weight(self) -> NDArray[np.float32]:
        a = load_matrix(self.operator)
        if self.form == "forward":
            return a.copy()
        if self.form == "adjoint":
            return np.ascontiguousarray(a.T)
        step = np.ascontiguousarray(a.T / squared_norm(self.operator))
        made = step if self.form == "step" else np.eye(a.shape[1]) - step @ a
        return made.astype(np.float32)
