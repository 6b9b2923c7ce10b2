"""Where in an ONNX file's bytes the raw values of its initializers lie, read from the bytes alone.

An ONNX file is a protocol buffer: a sequence of fields, each a key (number and wire type) and a value. Only the path
model (7: graph) -> graph (5: initializer) -> tensor (1: dims, 2: type, 8: name, 9: raw data) is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netwright.core.errors import ExportError

GRAPH, INITIALIZER = 7, 5
DIMS, TYPE, NAME, RAW = 1, 2, 8, 9
FLOAT = 1
INT8 = (2, 3)
BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""Bytes of one value, by ONNX's number of the type."""
BITS = {21: 4, 22: 4, 25: 2, 26: 2}
"""Bits of one value, of types that have several values in a byte."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An initializer's raw data: its place in the file, its type, the size of one value in bytes, its shape."""

    name: str
    start: int
    size: int
    kind: int
    item: int
    shape: tuple[int, ...]

    @property
    def letter(self) -> str:
        """What a value is, by numpy's letter: a float it knows, a signed or an unsigned integer."""
        return "f" if self.kind in (FLOAT, 10, 11) else "i" if self.kind in (3, 5, 6, 7, 22, 26) else "u"

    @property
    def bits(self) -> int:
        """Bits of one value, 8 for all that have whole bytes."""
        return BITS.get(self.kind, 8)


def tensors(file: bytes) -> list[Tensor]:
    """All initializers with raw data, in the order of the file; raises ExportError when it cannot be read."""
    try:
        found = []
        for field, start, end in _fields(file, 0, len(file)):
            if field == GRAPH:
                for inner, begin, stop in _fields(file, start, end):
                    if inner == INITIALIZER and (one := _tensor(file, begin, stop)) is not None:
                        found.append(one)
        return found
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise ExportError(f"the bytes cannot be read as an ONNX file: {error}") from None


def positive_zeros(file: bytes) -> bytes:
    """The file with every negative zero among its 32-bit float initializers made positive.

    Pruning by a product and folded batch norms leave both kinds of zero, which compute the same and cost to tell
    apart. Raises ExportError as `tensors` does.
    """
    found = bytearray(file)
    for one in tensors(file):
        if one.kind == FLOAT:
            values = np.frombuffer(found, "<u4", one.size // 4, one.start)
            values[values == 1 << 31] = 0
    return bytes(found)


def holds_int8(file: bytes) -> bool:
    """Whether some initializer is of 8-bit integers, as quantizers leave them; raises ExportError as `tensors` does."""
    return any(one.kind in INT8 for one in tensors(file))


def _tensor(file: bytes, start: int, end: int) -> Tensor | None:
    dims: list[int] = []
    name, kind, raw = "", 0, (0, 0)
    for field, begin, stop in _fields(file, start, end):
        if field == DIMS:
            at = begin
            while at < stop:
                size, at = _number(file, at)
                dims.append(size)
        elif field == TYPE:
            kind, _ = _number(file, begin)
        elif field == NAME:
            name = file[begin:stop].decode()
        elif field == RAW:
            raw = (begin, stop - begin)
    item = BYTES.get(kind, 1)
    if not raw[1] or raw[1] % item:
        return None
    return Tensor(name, raw[0], raw[1], kind, item, tuple(dims))


def _fields(file: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, first byte, byte after) of the values in a message."""
    at = start
    while at < end:
        key, at = _number(file, at)
        kind = key & 7
        if kind == 0:
            begin = at
            _, at = _number(file, at)
        elif kind == 2:
            size, begin = _number(file, at)
            at = begin + size
        elif kind in (1, 5):
            begin, at = at, at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"unknown wire type {kind}")
        if at > end:
            raise ValueError("a field ends after its message")
        yield key >> 3, begin, at


def _number(file: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = file[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
