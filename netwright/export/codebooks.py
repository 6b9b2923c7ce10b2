"""Weights of few values as indices into a codebook in an ONNX file: exact whatever the values are.

A runtime looks the values up once, when a session opens, because nothing but constants goes into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

INDICES, LOOKED_UP = "_indices", "_from_codebook"
"""What the names of the indices of a weight, and of the nodes that look them up, end in."""
_SHARE = 0.5
"""Of a weight's bytes as floats: what indices and books may take."""
_SIGNED = {8: TensorProto.INT8, 4: TensorProto.INT4, 2: TensorProto.INT2}
_UNSIGNED = {8: TensorProto.UINT8, 4: TensorProto.UINT4, 2: TensorProto.UINT2}


@dataclass(frozen=True, slots=True)
class Codebook:
    """A weight as numbers of entries: `books` [rows, entries], one for all of it or for each row of its first axis."""

    name: str
    shape: tuple[int, ...]
    indices: npt.NDArray[np.uint8]
    books: npt.NDArray[np.float32]
    bits: int
    relative_error: float = 0.0

    @classmethod
    def of(cls, name: str, weights: npt.NDArray[Any], *, bits: int, by_row: bool) -> Codebook | None:
        """The codebook that has every value of a weight, or None where so few bits cannot number them or the
        values take too many bytes themselves.

        `by_row` allows one for each row of the first axis, where one for all does not do.
        """
        for rows in (1, len(weights)) if by_row else (1,):
            found = [np.unique(row, return_inverse=True) for row in weights.reshape(rows, -1)]
            size = max(len(values) for values, _ in found)
            if size > 2**bits:
                continue
            books = np.stack([np.pad(values, (0, size - len(values)), mode="edge") for values, _ in found])
            indices = np.stack([numbers.reshape(-1) for _, numbers in found]).astype(np.uint8)
            made = cls(name, weights.shape, indices, books.astype(np.float32), bits)
            if made.size_bytes <= _SHARE * 4 * weights.size:
                return made
        return None

    @property
    def size_bytes(self) -> int:
        """What indices and books take in the file."""
        return -(-prod(self.shape) * self.bits // 8) + self.books.nbytes

    def put(self, graph: Any, tensor: Any) -> list[Any]:
        """Replace the float tensor by indices and books; gives the nodes that look its values up."""
        whole, book, numbers = f"{self.name}{INDICES}", f"{self.name}_codebook", f"{self.name}_numbers"
        one = len(self.books) == 1
        graph.initializer.remove(tensor)
        indices = self.indices.reshape(self.shape) if one else self.indices
        graph.initializer.append(packed(indices, whole, bits=self.bits, signed=False))
        graph.initializer.append(numpy_helper.from_array(self.books[0] if one else self.books, book))
        name = f"{self.name}{LOOKED_UP}"
        cast = helper.make_node("Cast", [whole], [numbers], name=f"{name}0", to=TensorProto.INT32)
        if one:
            return [cast, helper.make_node("Gather", [book, numbers], [self.name], name=f"{name}1")]
        rows, shape = f"{self.name}_rows", f"{self.name}_shape"
        graph.initializer.append(numpy_helper.from_array(np.array(self.shape, np.int64), shape))
        return [
            cast,
            helper.make_node("GatherElements", [book, numbers], [rows], name=f"{name}1", axis=1),
            helper.make_node("Reshape", [rows, shape], [self.name], name=f"{name}2"),
        ]


def packed(values: npt.NDArray[Any], name: str, *, bits: int, signed: bool = True) -> Any:
    """Integers as a tensor of an ONNX file, the first of a byte in its lowest bits."""
    flat = np.ascontiguousarray(values).reshape(-1).astype(np.int8).view(np.uint8)
    share = 8 // bits
    parts = np.zeros(-(-flat.size // share) * share, np.uint8)
    parts[: flat.size] = flat & (2**bits - 1)
    shifts = (np.arange(share) * bits).astype(np.uint8)
    raw = np.bitwise_or.reduce(parts.reshape(-1, share) << shifts, axis=1).astype(np.uint8)
    tensor = TensorProto(name=name, data_type=(_SIGNED if signed else _UNSIGNED)[bits], raw_data=raw.tobytes())
    tensor.dims.extend(values.shape)
    return tensor
