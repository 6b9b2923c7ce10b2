"""Codes one tensor in every way there is and keeps the shortest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from netwright.export.coding import decoder
from netwright.export.coding.writers import fixed_range, huffman, learned, number, part

Integers = np.ndarray[Any, np.dtype[np.int64]]
Coder = Literal["auto", "huffman", "arithmetic"]
LARGEST_BOOK = 1 << 10
LEARNED_PLACES, LEARNED_BITS = 1 << 19, 1 << 18
"""Up to so many bits, of a mask and of numbers, get learned probabilities, at some millionths of a second each."""
GAPS = (15, 31, 63, 127, 255)
RAW, PLANES, TABLE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Coded:
    """A stream and where its bytes go; `entropy_bits` is the zeroth-order bound of what it codes."""

    data: bytes
    way: str
    parts: dict[str, int] = field(default_factory=dict)
    entropy_bits: float = 0.0


def code_tensor(data: bytes, *, item: int, kind: str, shape: Sequence[int], coder: Coder = "auto") -> Coded:
    """The shortest coding of a tensor's bytes.

    `item` is the size of one value in bytes, 1, 2, 4 or 8, `kind` what it is, by numpy's letters: f, i or u.
    """
    whole = _Values.of(data, item, kind, shape)
    candidates = [Coded(bytes([0, RAW]) + data, "raw", {"weights": len(data)}, 8.0 * len(data))]
    coded = _values(whole, coder)
    candidates.append(replace(coded, data=b"\0" + coded.data))
    common = int(np.argmax(whole.counts))
    if len(whole.book) > 1 and (whole.counts[common] * 8 >= len(whole.numbers) or not whole.book[common]):
        candidates.append(_masked(whole, common, coder))
    return min(candidates, key=lambda found: len(found.data))


def layout(shape: Sequence[int], count: int) -> tuple[int, int]:
    """Columns and period by which a tensor is read: a row for each output, whose inputs are often pixels in rows."""
    if len(shape) < 2 or count == 0:
        return max(1, count), 0
    first = shape[0] * shape[1] if len(shape) == 3 and shape[0] <= 2 else shape[0]
    columns = max(1, count // max(1, first))
    if len(shape) == 4:
        return columns, shape[2] * shape[3] if shape[2] * shape[3] > 2 else 0
    side = math.isqrt(columns)
    return columns, side if side > 3 and side * side == columns else 0


@dataclass(frozen=True, slots=True)
class _Values:
    """Values at places: `numbers` in the sorted `book` of those that occur, `counts` times, `middle` below zero."""

    book: Any
    numbers: Integers
    counts: Any
    middle: int
    places: decoder.Places

    @classmethod
    def of(cls, data: bytes, item: int, kind: str, shape: Sequence[int]) -> _Values:
        bits, numbers, counts = np.unique(np.frombuffer(data, f"<u{item}"), return_inverse=True, return_counts=True)
        signed = bits.view(f"<{kind}{item}")
        order = np.argsort(signed, kind="stable")
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        columns, period = layout(shape, len(numbers))
        places = decoder.Places(np.arange(len(numbers)), columns, period)
        middle = int((signed < 0).sum())
        return cls(bits[order], ranks[numbers.reshape(-1)], counts[order], middle, places)

    def without(self, common: int) -> _Values:
        """All but those of one number."""
        kept = self.numbers != common
        numbers = self.numbers[kept]
        places = replace(self.places, at=self.places.at[kept])
        middle = self.middle - (common < self.middle)
        return _Values(
            np.delete(self.book, common), numbers - (numbers > common), np.delete(self.counts, common), middle, places
        )


def _masked(whole: _Values, common: int, coder: Coder) -> Coded:
    """The most common value left out, the places of the others coded by themselves."""
    fill = whole.book[common : common + 1].tobytes()
    head = b"\3" + fill if any(fill) else b"\1"
    inner = _values(whole.without(common), coder)
    places = _positions(whole, whole.numbers != common, coder)
    body = part(places.data)
    parts = {**inner.parts, "positions": len(body)}
    bound = inner.entropy_bits + places.entropy_bits
    return Coded(head + body + inner.data, f"sparse ({places.way}) + {inner.way}", parts, bound)


def _positions(whole: _Values, kept: Any, coder: Coder) -> Coded:
    count, ones = len(kept), int(kept.sum())
    found = [_gaps(kept, longest, coder) for longest in GAPS]
    if coder != "huffman" and count <= LEARNED_PLACES:
        shape = (count, whole.places.columns, whole.places.period)
        stream = learned(lambda bit: decoder.mask_bits(bit, *shape), kept.astype(np.uint8).tolist())
        found.append(Coded(b"\0" + stream, "learned map"))
    best = min(found, key=lambda one: len(one.data))
    return replace(best, entropy_bits=_entropy_bits(np.array([ones, count - ones])))


def _gaps(kept: Any, longest: int, coder: Coder) -> Coded:
    """Distances between places, as in Deep Compression: a distance of `longest` skips so many and ends nowhere."""
    distances = np.diff(np.flatnonzero(kept), prepend=-1) - 1
    ends = np.cumsum(distances // longest + 1) - 1
    numbers = np.full(int(ends[-1]) + 1 if len(ends) else 0, longest, np.int64)
    numbers[ends] = distances % longest
    coded = _shortest(numbers, longest + 1, coder)
    return Coded(b"\1" + number(longest) + number(len(numbers)) + coded.data, f"gaps, {coded.way}")


def _values(whole: _Values, coder: Coder) -> Coded:
    """Values by codebook, by planes of their bytes, or as they are."""
    count, item, size = len(whole.numbers), whole.book.dtype.itemsize, len(whole.book)
    raw = whole.book[whole.numbers]
    found = [Coded(bytes([RAW]) + raw.tobytes(), "raw", {"weights": count * item}, 8.0 * count * item)]
    if size <= LARGEST_BOOK and (size * 2 < count or size == 1 or item == 1):
        book = number(size) + whole.book.tobytes()
        coded = _symbols(whole.numbers, size, whole.middle, whole.places, coder)
        data = bytes([TABLE]) + book + part(coded.data)
        bound = _entropy_bits(whole.counts) + 8.0 * len(book)
        way = f"codebook of {size}, {coded.way}"
        found.append(Coded(data, way, {"codebooks": len(book), "indices": len(data) - len(book)}, bound))
    if count and (len(found) == 1 or size > 256):
        found.append(_planes(raw, coder))
    return min(found, key=lambda one: len(one.data))


def _planes(raw: Any, coder: Coder) -> Coded:
    item = raw.dtype.itemsize
    word = (raw << np.uint32(1)) | (raw >> np.uint32(31)) if item == 4 else raw
    planes = np.ascontiguousarray(word).view(np.uint8).reshape(-1, item)
    coded = [_shortest(planes[:, place].astype(np.int64), 256, coder) for place in range(item)]
    data = bytes([PLANES]) + b"".join(part(one.data) for one in coded)
    bound = sum(_entropy_bits(np.bincount(planes[:, place])) for place in range(item))
    return Coded(data, "bytes, " + "/".join(one.way for one in coded), {"weights": len(data)}, bound)


def _symbols(values: Integers, size: int, middle: int, places: decoder.Places, coder: Coder) -> Coded:
    """Numbers below `size` by the shortest of the entropy coders that `coder` allows."""
    fast = _shortest(values, size, coder)
    depth = (size - 1).bit_length()
    if coder == "huffman" or not 0 < len(values) * depth <= LEARNED_BITS:
        return fast
    truth = ((values[:, None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(-1).tolist()
    stream = learned(lambda bit: decoder.learned_symbols(bit, depth, middle, places), truth)
    return min(fast, Coded(b"\3" + number(middle) + stream, "learned"), key=lambda one: len(one.data))


def _shortest(values: Integers, size: int, coder: Coder) -> Coded:
    """Numbers below `size` by the shortest of the coders that know only how often each occurs."""
    if size <= 1 or not len(values):
        return Coded(b"", "constant")
    found = [Coded(b"\0" + values.astype(np.uint8 if size <= 256 else "<u2").tobytes(), "raw")]
    if coder != "arithmetic":
        found.append(Coded(b"\1" + huffman(values, size=size), "Huffman"))
    if coder != "huffman":
        found.append(Coded(b"\2" + fixed_range(values, size=size), "rANS"))
    return min(found, key=lambda one: len(one.data))


def _entropy_bits(counts: Any) -> float:
    """The zeroth-order entropy of symbols with these counts, in bits in all."""
    total = int(counts.sum())
    return -sum(int(c) * math.log2(int(c) / total) for c in counts if c) if total else 0.0
