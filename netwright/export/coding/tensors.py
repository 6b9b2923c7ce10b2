"""Codes one tensor in every way there is and keeps the shortest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from netwright.export.coding import decoder
from netwright.export.coding.onnx_regions import Tensor
from netwright.export.coding.writers import fixed_range, huffman, huffman_bytes, learned, number, part

Integers = np.ndarray[Any, np.dtype[np.int64]]
Coder = Literal["auto", "huffman", "arithmetic"]
LARGEST_BOOK = 1 << 10
LEARNED_BITS = 1 << 20
"""So many bits of a file get learned probabilities, at some millionths of a second each."""
MASKED_FROM, MASKED_ABOVE = 0.125, 0.5
"""Shares of the most common value from which it is also, and above which it is only, coded by its places."""
NOISE = 7.0
"""Bits per byte above which a plane of bytes is taken for noise."""
ROW_GAIN = 3
"""So many times more values than entries in its rows' codebooks must a tensor have to be worth them."""
GAPS = (15, 31, 63, 127, 255)
RAW, PLANES, TABLE, ROW_TABLES = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Coded:
    """A stream and where its bytes go; `entropy_bits` is the zeroth-order bound of what it codes."""

    data: bytes
    way: str
    parts: dict[str, int] = field(default_factory=dict)
    entropy_bits: float = 0.0


@dataclass(slots=True)
class Means:
    """The entropy coders that may be used, and how many more bits may be coded with learned probabilities."""

    coder: Coder = "auto"
    learned_bits: int = LEARNED_BITS

    def learns(self, bits: int) -> bool:
        """Whether so many bits may be learned; they are then taken from those that are left."""
        allowed = self.coder != "huffman" and 0 < bits <= self.learned_bits
        self.learned_bits -= bits if allowed else 0
        return allowed


def code_tensor(data: bytes, *, item: int, kind: str, shape: Sequence[int], means: Means) -> Coded:
    """The shortest coding of a tensor's bytes.

    `item` is the size of one value in bytes, 1, 2, 4 or 8, `kind` what it is, by numpy's letters: f, i or u.
    """
    whole = _Values.of(data, item, kind, shape)
    candidates = [Coded(bytes([0, RAW]) + data, "raw", {"weights": len(data)}, 8.0 * len(data))]
    common = int(np.argmax(whole.counts))
    share = whole.counts[common] / len(whole.numbers)
    if len(whole.book) > 1 and (share >= MASKED_FROM or not whole.book[common]):
        candidates.append(_masked(whole, common, means))
    if share < MASKED_ABOVE or len(whole.book) == 1:
        coded = _values(whole, means)
        candidates.append(replace(coded, data=b"\0" + coded.data))
    return min(candidates, key=lambda found: len(found.data))


def unpacked(data: bytes, tensor: Tensor) -> bytes | None:
    """Values of 4 or 2 bits as one byte each, signed ones with their sign; None where a tensor has no such values, or
    bits that belong to none."""
    if tensor.bits == 8:
        return None
    share, count = 8 // tensor.bits, math.prod(tensor.shape)
    whole = np.frombuffer(data, np.uint8)[:, None] >> (np.arange(share, dtype=np.uint8) * tensor.bits)
    values = (whole & ((1 << tensor.bits) - 1)).reshape(-1)
    if not 0 <= len(values) - count < share or values[count:].any():
        return None
    signs = values & (1 << tensor.bits - 1) if tensor.letter == "i" else 0
    extended: bytes = (values - 2 * signs).astype(np.uint8)[:count].tobytes()
    return extended


def layout(shape: Sequence[int], count: int) -> tuple[int, int]:
    """Columns and period by which a tensor is read: a row for each output, whose inputs are often pixels in rows."""
    if len(shape) < 2 or count == 0:
        return max(1, count), 0
    first = shape[0] * shape[1] if len(shape) == 3 and shape[0] <= 2 else shape[0]
    columns = max(1, count // max(1, first))
    if count % columns:
        # integers of less than a byte: its bytes do not fall into rows
        return count, 0
    if len(shape) == 4:
        return columns, shape[2] * shape[3] if 2 < shape[2] * shape[3] <= columns else 0
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
        bits, numbers, counts = _occurring(np.frombuffer(data, f"<u{item}"))
        signed = bits.view(f"<{kind}{item}")
        order = np.argsort(signed, kind="stable")
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        columns, period = layout(shape, len(numbers))
        places = decoder.Places(np.arange(len(numbers)), columns, period)
        middle = int((signed < 0).sum())
        return cls(bits[order], ranks[numbers], counts[order], middle, places)

    def without(self, common: int) -> _Values:
        """All but those of one number."""
        kept = self.numbers != common
        numbers = self.numbers[kept]
        places = replace(self.places, at=self.places.at[kept])
        middle = self.middle - (common < self.middle)
        return _Values(
            np.delete(self.book, common), numbers - (numbers > common), np.delete(self.counts, common), middle, places
        )


def _occurring(values: Any) -> tuple[Any, Integers, Integers]:
    """The values that occur, in order, the number among them of each value, and how often each occurs."""
    if values.dtype.itemsize > 1:
        bits, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
        return bits, numbers.reshape(-1), counts
    counts = np.bincount(values, minlength=256)
    return np.flatnonzero(counts).astype(np.uint8), (np.cumsum(counts > 0) - 1)[values], counts[counts > 0]


def _masked(whole: _Values, common: int, means: Means) -> Coded:
    """The most common value left out, the places of the others coded by themselves."""
    fill = whole.book[common : common + 1].tobytes()
    head = b"\3" + fill if any(fill) else b"\1"
    inner = _values(whole.without(common), means)
    places = _positions(whole, whole.numbers != common, means)
    body = part(places.data)
    parts = {**inner.parts, "positions": len(body)}
    bound = inner.entropy_bits + places.entropy_bits
    return Coded(head + body + inner.data, f"sparse ({places.way}) + {inner.way}", parts, bound)


def _positions(whole: _Values, kept: Any, means: Means) -> Coded:
    count, ones = len(kept), int(kept.sum())
    found = [_gaps(kept, means)]
    if means.learns(count):
        shape = (count, whole.places.columns, whole.places.period)
        stream = learned(lambda bit: decoder.mask_bits(bit, *shape), kept.astype(np.uint8).tolist())
        found.append(Coded(b"\0" + stream, "learned map"))
    best = min(found, key=lambda one: len(one.data))
    return replace(best, entropy_bits=_entropy_bits(np.array([ones, count - ones])))


def _gaps(kept: Any, means: Means) -> Coded:
    """Distances between places, as in Deep Compression: a distance of `longest` skips so many and ends nowhere."""
    distances = np.diff(np.flatnonzero(kept), prepend=-1) - 1
    ways = [(longest, _skipping(distances, longest)) for longest in GAPS]
    longest, numbers = min(ways, key=lambda way: _entropy_bits(np.bincount(way[1])) + 8 * way[0])
    coded = _shortest(numbers, longest + 1, means)
    return Coded(b"\1" + number(longest) + number(len(numbers)) + coded.data, f"gaps, {coded.way}")


def _skipping(distances: Integers, longest: int) -> Integers:
    ends = np.cumsum(distances // longest + 1) - 1
    numbers = np.full(int(ends[-1]) + 1 if len(ends) else 0, longest, np.int64)
    numbers[ends] = distances % longest
    return numbers


def _values(whole: _Values, means: Means) -> Coded:
    """Values by codebook, by planes of their bytes, or as they are."""
    count, item, size = len(whole.numbers), whole.book.dtype.itemsize, len(whole.book)
    raw = whole.book[whole.numbers]
    found = [Coded(bytes([RAW]) + raw.tobytes(), "raw", {"weights": count * item}, 8.0 * count * item)]
    if size <= LARGEST_BOOK and (size * 2 < count or size == 1 or item == 1):
        book = number(size) + whole.book.tobytes()
        coded = _symbols(whole.numbers, size, whole.middle, whole.places, means)
        data = bytes([TABLE]) + book + part(coded.data)
        bound = _entropy_bits(whole.counts) + 8.0 * len(book)
        way = f"codebook of {size}, {coded.way}"
        found.append(Coded(data, way, {"codebooks": len(book), "indices": len(data) - len(book)}, bound))
    if count and (len(found) == 1 or size > 256):
        found += _row_tables(whole, means) or [_planes(raw, whole.places, means)]
    return min(found, key=lambda one: len(one.data))


def _row_tables(whole: _Values, means: Means) -> list[Coded]:
    """A codebook for each row, where rows have far fewer values than all of them: a scale for each row, as a folded
    batch norm leaves it, makes of one shared codebook as many as there are rows. Empty where that is not so."""
    rows = whole.places.at // whole.places.columns
    keys, numbers = np.unique(rows * len(whole.book) + whole.numbers, return_inverse=True)
    sizes = np.bincount(keys // len(whole.book), minlength=int(rows[-1]) + 1)
    if len(keys) * ROW_GAIN > len(rows) or len(sizes) < 2 or sizes.max() >= LARGEST_BOOK:
        return []
    ranks = keys % len(whole.book)
    middle = round(int((ranks < whole.middle).sum()) / len(sizes))
    starts = np.cumsum(sizes) - sizes
    most = int(sizes.max())
    told = _shortest(sizes, most + 1, means)
    flat = decoder.Places(np.arange(len(keys)), len(keys), 0)
    books = _planes(whole.book[ranks], flat, means)
    inner = numbers.reshape(-1) - starts[rows]
    coded = _symbols(inner, most, min(middle, most), whole.places, means)
    head = bytes([ROW_TABLES]) + number(most) + part(told.data) + part(books.data)
    data = head + part(coded.data)
    bound = books.entropy_bits + _entropy_bits(np.bincount(sizes)) + _entropy_bits(np.bincount(inner))
    way = f"a codebook of up to {most} for each row, {coded.way}"
    return [Coded(data, way, {"codebooks": len(head), "indices": len(data) - len(head)}, bound)]


def _planes(raw: Any, places: decoder.Places, means: Means) -> Coded:
    item = raw.dtype.itemsize
    word = (raw << np.uint32(1)) | (raw >> np.uint32(31)) if item == 4 else raw
    planes = np.ascontiguousarray(word).view(np.uint8).reshape(-1, item)
    coded = [_plane(planes[:, place].astype(np.int64), places, means) for place in range(item)]
    data = bytes([PLANES]) + b"".join(part(one.data) for one in coded)
    bound = sum(_entropy_bits(np.bincount(planes[:, place])) for place in range(item))
    return Coded(data, "bytes, " + "/".join(one.way for one in coded), {"weights": len(data)}, bound)


def _plane(numbers: Integers, places: decoder.Places, means: Means) -> Coded:
    """One byte of every value; what looks like noise is not worth learning."""
    if _entropy_bits(np.bincount(numbers)) > NOISE * len(numbers):
        return _shortest(numbers, 256, means)
    return _symbols(numbers, 256, 128, places, means)


def _symbols(values: Integers, size: int, middle: int, places: decoder.Places, means: Means) -> Coded:
    """Numbers below `size` by the shortest of the entropy coders that `means` allows."""
    fast = _shortest(values, size, means)
    depth = (size - 1).bit_length()
    if not means.learns(len(values) * depth):
        return fast
    truth = ((values[:, None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(-1).tolist()
    stream = learned(lambda bit: decoder.learned_symbols(bit, depth, middle, places), truth)
    return min(fast, Coded(b"\3" + number(middle) + stream, "learned"), key=lambda one: len(one.data))


def _shortest(values: Integers, size: int, means: Means) -> Coded:
    """Numbers below `size` by the shortest of the coders that know only how often each occurs."""
    if size <= 1 or not len(values):
        return Coded(b"", "constant")
    found = [Coded(b"\0" + values.astype(np.uint8 if size <= 256 else "<u2").tobytes(), "raw")]
    if means.coder != "huffman":
        found.append(Coded(b"\2" + fixed_range(values, size=size), "rANS"))
    best = min(len(one.data) for one in found)
    if means.coder != "arithmetic" and huffman_bytes(np.bincount(values, minlength=size)) + 1 < best:
        found.append(Coded(b"\1" + huffman(values, size=size), "Huffman"))
    return min(found, key=lambda one: len(one.data))


def _entropy_bits(counts: Any) -> float:
    """The zeroth-order entropy of symbols with these counts, in bits in all."""
    total = int(counts.sum())
    return -sum(int(c) * math.log2(int(c) / total) for c in counts if c) if total else 0.0
