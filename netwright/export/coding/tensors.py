"""Codes one tensor in every way there is and keeps the shortest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from netwright.export.coding import decoder
from netwright.export.coding.writers import fixed_range, huffman, learned, number, part

Integers = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Coder = Literal["auto", "huffman", "arithmetic"]
LARGEST_BOOK = 1 << 10
LEARNED_BITS = 1 << 21
"""Up to so many bits are coded with learned probabilities, which takes about two millionths of a second each."""
GAPS = (15, 31, 63, 127, 255)
RAW, PLANES, TABLE = 0, 1, 2
METHODS = ("raw", "huffman", "fixed", "learned")


@dataclass(frozen=True, slots=True)
class Coded:
    """A stream and where its bytes go; `entropy_bits` is the zeroth-order bound of what it codes."""

    data: bytes
    way: str
    parts: dict[str, int] = field(default_factory=dict)
    entropy_bits: float = 0.0


def code_tensor(data: bytes, *, item: int, shape: Sequence[int], coder: Coder = "auto") -> tuple[Coded, int]:
    """The shortest coding of a tensor's bytes, and the columns that it is read by.

    `item` is the size of one value in bytes, 1, 2, 4 or 8.
    """
    count = len(data) // item
    kinds = np.frombuffer(data, f"<u{item}")
    distinct, numbers, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    candidates = [(Coded(bytes([0, RAW]) + data, "raw", {"weights": len(data)}, 8.0 * len(data)), count)]
    whole = _values(kinds, distinct, numbers, counts, item, coder)
    candidates.append((_framed(b"\0", whole), count))
    common = int(np.argmax(counts))
    if len(distinct) > 1 and (counts[common] * 8 >= count or distinct[common] == 0):
        candidates += _masked(kinds, distinct, numbers.astype(np.int64), counts, common, item, shape, coder)
    return min(candidates, key=lambda found: len(found[0].data))


def _framed(head: bytes, values: Coded) -> Coded:
    parts = {**values.parts, "codebooks": values.parts.get("codebooks", 0)}
    return Coded(head + values.data, values.way, parts, values.entropy_bits)


def _masked(
    kinds: Any,
    distinct: Any,
    numbers: Integers,
    counts: Any,
    common: int,
    item: int,
    shape: Sequence[int],
    coder: Coder,
) -> list[tuple[Coded, int]]:
    """The most common value left out, its places coded by themselves."""
    kept = numbers != common
    fill = distinct[common : common + 1].tobytes()
    head = b"\1" if fill == bytes(item) else b"\3" + fill
    rest = np.delete(distinct, common)
    inner = _values(kinds[kept], rest, numbers[kept] - (numbers[kept] > common), np.delete(counts, common), item, coder)
    places, columns = _places(kept, shape, coder)
    body = part(places.data)
    data = head + body + inner.data
    parts = {**inner.parts, "positions": len(body)}
    bound = inner.entropy_bits + places.entropy_bits
    return [(Coded(data, f"sparse ({places.way}) + {inner.way}", parts, bound), columns)]


def _places(kept: Any, shape: Sequence[int], coder: Coder) -> tuple[Coded, int]:
    count = len(kept)
    bound = _entropy_bits(np.array([int(kept.sum()), count - int(kept.sum())]))
    found = [(_gaps(kept, longest, coder), count) for longest in GAPS]
    if coder != "huffman" and count <= LEARNED_BITS:
        for columns in _columns(shape, count):
            grid = kept.reshape(-1, columns)
            for turned, one in ((0, grid), (1, np.ascontiguousarray(grid.T))):
                rows, width = one.shape
                truth = one.reshape(-1).astype(np.uint8).tolist()
                stream = learned(lambda bit, r=rows, w=width: decoder.mask_bits(bit, r, w), truth)  # type: ignore[misc]
                found.append((Coded(bytes([turned]) + stream, "learned map"), columns))
    best, columns = min(found, key=lambda one: len(one[0].data))
    return Coded(best.data, best.way, {}, bound), columns


def _columns(shape: Sequence[int], count: int) -> list[int]:
    """Row lengths by which a tensor's places may be ordered: by the first axis, and by all but the last."""
    if not shape or count == 0:
        return [max(1, count)]
    widths = {count // shape[0], shape[-1]}
    return sorted(width for width in widths if 0 < width <= count and count % width == 0)


def _gaps(kept: Any, longest: int, coder: Coder) -> Coded:
    """Distances between places, as in Deep Compression: a distance of `longest` skips so many and ends nowhere."""
    distances = np.diff(np.flatnonzero(kept), prepend=-1) - 1
    skips = distances // longest
    ends = np.cumsum(skips + 1) - 1
    numbers = np.full(int(ends[-1]) + 1 if len(ends) else 0, longest, np.int64)
    numbers[ends] = distances % longest
    coded = _symbols(numbers, longest + 1, coder)
    data = b"\2" + number(longest) + number(len(numbers)) + coded.data
    return Coded(data, f"gaps, {coded.way}")


def _values(kinds: Any, distinct: Any, numbers: Any, counts: Any, item: int, coder: Coder) -> Coded:
    """Values by codebook, by planes of their bytes, or as they are."""
    count = len(kinds)
    found = [Coded(bytes([RAW]) + kinds.tobytes(), "raw", {"weights": count * item}, 8.0 * count * item)]
    if len(distinct) <= LARGEST_BOOK and (len(distinct) * 2 < count or len(distinct) == 1 or item == 1):
        book = number(len(distinct)) + distinct.tobytes()
        coded = _symbols(numbers.reshape(-1).astype(np.int64), len(distinct), coder)
        data = bytes([TABLE]) + book + part(coded.data)
        bound = _entropy_bits(counts) + 8.0 * len(book)
        way = f"codebook of {len(distinct)}, {coded.way}"
        found.append(Coded(data, way, {"codebooks": len(book), "indices": len(data) - len(book)}, bound))
    if count and (item == 1 or len(found) == 1 or len(distinct) > 256):
        found.append(_planes(kinds, item, coder))
    return min(found, key=lambda one: len(one.data))


def _planes(kinds: Any, item: int, coder: Coder) -> Coded:
    word = (kinds << np.uint32(1)) | (kinds >> np.uint32(31)) if item == 4 else kinds
    planes = np.ascontiguousarray(word).view(np.uint8).reshape(-1, item)
    coded = [_symbols(planes[:, place].astype(np.int64), 256, coder) for place in range(item)]
    data = bytes([PLANES]) + b"".join(part(one.data) for one in coded)
    bound = sum(_entropy_bits(np.bincount(planes[:, place])) for place in range(item))
    return Coded(data, "bytes, " + "/".join(one.way for one in coded), {"weights": len(data)}, bound)


def _symbols(values: Integers, size: int, coder: Coder) -> Coded:
    """Numbers below `size` by the shortest of the entropy coders that `coder` allows."""
    if size <= 1 or not len(values):
        return Coded(b"", "constant")
    plain = values.astype(np.uint8 if size <= 256 else "<u2").tobytes()
    found = [Coded(b"\0" + plain, METHODS[0])]
    if coder != "arithmetic":
        found.append(Coded(b"\1" + huffman(values, size=size), METHODS[1]))
    if coder != "huffman":
        found.append(Coded(b"\2" + fixed_range(values, size=size), METHODS[2]))
        depth = (size - 1).bit_length()
        if len(values) * depth <= LEARNED_BITS // 8:
            bits = (values[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            stream = learned(lambda bit: decoder.tree_symbols(bit, len(values), depth), bits.reshape(-1).tolist())
            found.append(Coded(b"\3" + stream, METHODS[3]))
    return min(found, key=lambda one: len(one.data))


def _entropy_bits(counts: Any) -> float:
    """The zeroth-order entropy of symbols with these counts, in bits in all."""
    total = int(counts.sum())
    return -sum(int(c) * math.log2(int(c) / total) for c in counts if c) if total else 0.0
