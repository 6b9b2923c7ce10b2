"""Writes the streams that `streams` reads: numbers, Huffman codes, and rANS with fixed or learned probabilities."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from netwright.export.coding.streams import BITS, LONGEST, LOW, WORD

Integers = np.ndarray[Any, np.dtype[np.int64]]
ONE_LANE = 1 << 18
"""Up to so many symbols one lane is fast enough; each further lane costs six bytes."""
BLOCK = 1 << 16
"""So many symbols are turned into bits at once."""
LANE_SYMBOLS, MOST_LANES = 1 << 12, 1 << 12


def number(value: int) -> bytes:
    """A number in 7 bits a byte, the lowest first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def part(data: bytes) -> bytes:
    """Bytes with their length before them."""
    return number(len(data)) + data


def huffman(values: Integers, *, size: int) -> bytes:
    """A canonical Huffman code's lengths and the codes of `values`, of which there is at least one."""
    lengths = code_lengths(np.bincount(values, minlength=size).tolist())
    order = np.argsort(lengths, kind="stable")[int((lengths == 0).sum()) :]
    spans = 1 << (LONGEST - lengths[order])
    codes = np.zeros(size, np.int64)
    codes[order] = (np.cumsum(spans) - spans) >> (LONGEST - lengths[order])
    nibbles = np.append(lengths, 0)[: size + size % 2].reshape(-1, 2)
    table = (nibbles[:, 0] | nibbles[:, 1] << 4).astype(np.uint8)
    bits = []
    for begin in range(0, len(values), BLOCK):
        block = values[begin : begin + BLOCK]
        steps = lengths[block][:, None]
        shown = (codes[block][:, None] >> np.maximum(steps - 1 - np.arange(LONGEST), 0)) & 1
        bits.append(shown[np.arange(LONGEST) < steps].astype(np.uint8))
    coded: bytes = table.tobytes() + np.packbits(np.concatenate(bits)).tobytes()
    return coded


def huffman_bytes(counts: Integers) -> int:
    """How many bytes `huffman` gives for symbols that occur so often."""
    return (len(counts) + 1) // 2 + (int((counts * code_lengths(counts.tolist())).sum()) + 7) // 8


def code_lengths(counts: Sequence[int]) -> Integers:
    """Lengths of an optimal prefix code, at most 15: where it is deeper, rare symbols count for more."""
    floor = 0
    while True:
        heap: list[tuple[int, int, tuple[int, ...]]] = []
        for symbol, count in enumerate(counts):
            if count:
                heap.append((max(count, floor), symbol, (symbol,)))
        heapq.heapify(heap)
        lengths = np.zeros(len(counts), np.int64)
        if len(heap) == 1:
            lengths[heap[0][1]] = 1
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            together = first[2] + second[2]
            lengths[list(together)] += 1
            heapq.heappush(heap, (first[0] + second[0], first[1], together))
        if lengths.max(initial=0) <= LONGEST:
            return lengths
        floor = max(1, 2 * floor, sum(counts) >> (LONGEST + 1))


def fixed_range(values: Integers, *, size: int) -> bytes:
    """Frequencies and a rANS stream of `values`, in lanes that take turns when there are many."""
    shares = _shares(np.bincount(values, minlength=size))
    starts = np.cumsum(shares) - shares
    count = len(values)
    lanes = 1 if count <= ONE_LANE else min(MOST_LANES, count // LANE_SYMBOLS)
    table = b"".join(number(int(share)) for share in shares) + number(lanes)
    if lanes == 1:
        return table + _ended([(int(starts[v]), int(shares[v])) for v in values.tolist()])
    state = np.full(lanes, LOW, np.int64)
    words: list[Any] = []
    for begin in range((count - 1) // lanes * lanes, -1, -lanes):
        taken = values[begin : begin + lanes]
        live = state[: len(taken)]
        share = shares[taken]
        full = np.flatnonzero(live >= share << 32)
        words.append((live[full] & WORD).astype("<u2"))
        live[full] >>= 16
        live[:] = (live // share << BITS) + live % share + starts[taken]
    head = np.stack([state & WORD, state >> 16 & WORD, state >> 32], axis=1).astype("<u2")
    return table + head.tobytes() + np.concatenate(words[::-1]).tobytes()


def _shares(counts: Integers) -> Integers:
    """Counts scaled to a sum of 65,536, at least one for all that occur."""
    whole = 1 << BITS
    shares = np.where(counts > 0, np.maximum(1, counts * whole // counts.sum()), 0)
    excess = int(shares.sum()) - whole
    while excess:
        place = int(np.argmax(shares))
        step = min(excess, int(shares[place]) - 1) if excess > 0 else excess
        shares[place] -= step
        excess -= step
    return shares


def learned(model: Callable[[Callable[[int], int]], object], truth: Iterable[int]) -> bytes:
    """A rANS stream of the bits in `truth`, with the probabilities that `model` gives them one after the other."""
    coming = iter(truth)
    intervals: list[tuple[int, int]] = []

    def bit(share: int) -> int:
        value = next(coming)
        intervals.append((0, share) if value else (share, WORD + 1 - share))
        return value

    model(bit)
    return _ended(intervals)


def _ended(intervals: Sequence[tuple[int, int]]) -> bytes:
    """The state and words of one lane, from the (start, share) of its symbols; the last one is coded first."""
    state, words = LOW, []
    for start, share in reversed(intervals):
        if state >= share << 32:
            words.append(state & WORD)
            state >>= 16
        state = (state // share << BITS) + state % share + start
    return state.to_bytes(6, "little") + np.array(words[::-1], "<u2").tobytes()
