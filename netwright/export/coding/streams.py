"""Reads the streams in an archive: numbers, Huffman codes, and rANS with fixed or learned probabilities.

Needs only Python and numpy: its text is part of the loader that leaves with a model, as that of `decoder` is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BITS = 16
LOW = 1 << 32
WORD = (1 << 16) - 1
LONGEST = 15
Bit = Callable[[int], int]
"""Gives the next bit when told how likely a one is, in 65,536ths: a reader takes it from the archive, a writer from
what is to be written, so that one text serves both."""


class DamagedArchive(ValueError):  # noqa: N818  what is wrong, not that something is
    """The bytes are no archive, or not the ones that were written."""


class Source:
    """Bytes that are read from the front; every number in them is one of 7 bits a byte, the lowest first."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise DamagedArchive("the archive is damaged: it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self, highest: int = 255) -> int:
        value = self.take(1)[0]
        if value > highest:
            raise DamagedArchive(f"the archive is damaged, or newer than this reader: it has the code {value}")
        return value

    def number(self) -> int:
        value = 0
        for shift in range(0, 49, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise DamagedArchive("the archive is damaged: a number in it is too long")

    def count(self, highest: int) -> int:
        """A number that sizes memory."""
        value = self.number()
        if value > highest:
            raise DamagedArchive(f"the archive is damaged: {value} where at most {highest} is possible")
        return value

    def part(self) -> Source:
        """The next bytes with a length before them."""
        return Source(self.take(self.number()))


def learner(bit: Bit) -> Callable[[int, int, int, list[float]], int]:
    """A function that codes the next bit under three keys, one for each table, mixed by weights that it learns.

    A table has the share of ones seen under each key. Shares are mixed as log odds (Mahoney, 2005), and the weights
    given move down the gradient of the code length. Only sums and products of doubles are used, in this order, which
    give the same on every machine. It is written out for three tables because it is what takes the time.
    """
    tables: tuple[dict[int, list[Any]], ...] = ({}, {}, {})
    first, second, third = tables

    def learn(one: int, two: int, three: int, weights: list[float]) -> int:
        a, b, c = first.get(one), second.get(two), third.get(three)
        if a is None:
            a = first[one] = [0.0, 0.5, 0]
        if b is None:
            b = second[two] = [0.0, 0.5, 0]
        if c is None:
            c = third[three] = [0.0, 0.5, 0]
        odds = int((weights[0] * a[0] + weights[1] * b[0] + weights[2] * c[0]) * 128.0)
        share = SHARES[ODDS + (odds if -ODDS < odds < ODDS else -ODDS if odds < 0 else ODDS)]
        value = bit(share)
        error = (value - share / 65536.0) * 0.005
        weights[0] += error * a[0]
        weights[1] += error * b[0]
        weights[2] += error * c[0]
        for state in (a, b, c):
            _, seen_share, seen = state
            seen_share += (value - seen_share) * RATES[seen]
            state[:] = LOG_ODDS[int(seen_share * 4096.0)], seen_share, seen + 1 if seen < 255 else 255
        return value

    return learn


ODDS = 1280
RATES = [1.0 / (seen + 1.5) for seen in range(256)]


def _tables() -> tuple[list[int], list[float], np.ndarray]:
    """Shares in 65,536ths by log odds in 128ths, log odds by shares in 4,096ths, and classes of density."""
    powers, levels = [1.0], [1.0]
    for _ in range(ODDS):
        powers.append(powers[-1] * 1.0078430972064479)
    for _ in range(18):
        levels.append(levels[-1] * 1.2599210498948732)
    ones = [1.0 / (1.0 + power) for power in powers]
    shares = [*ones[:0:-1], *(1.0 - one for one in ones)]
    odds = np.searchsorted(np.array(shares), (np.arange(4097) + 0.5) / 4097) - ODDS
    level = np.array([int(64 * (step - 1)) for step in levels[1:]])
    return [min(max(int(one * 65536), 16), 65520) for one in shares], (odds / 128).tolist(), level


SHARES, LOG_ODDS, LEVELS = _tables()


def raw_symbols(source: Source, count: int, size: int) -> np.ndarray:
    """Numbers of 8 or 16 bits as they are."""
    found = np.frombuffer(source.take(count * (1 if size <= 256 else 2)), np.uint8 if size <= 256 else "<u2")
    if found.max() >= size:
        raise DamagedArchive("the archive is damaged: a number lies outside of its codebook")
    return found.astype(np.int64)


def huffman_symbols(source: Source, count: int, size: int) -> np.ndarray:
    """Canonical Huffman: code lengths of 4 bits, 0 for numbers that do not occur, then the codes, high bits first."""
    nibbles = np.frombuffer(source.take((size + 1) // 2), np.uint8)
    lengths = np.stack([nibbles & 15, nibbles >> 4], axis=1).reshape(-1)[:size].astype(np.int64)
    order = np.argsort(lengths, kind="stable")[int((lengths == 0).sum()) :]
    spans = 1 << (LONGEST - lengths[order])
    if not len(order) or spans.sum() > 1 << LONGEST:
        raise DamagedArchive("the archive is damaged: its Huffman code is none")
    number = np.repeat(order, spans)
    step = np.repeat(lengths[order], spans)
    found: list[int] = []
    at = 0
    data = np.frombuffer(source.take(source.left()) + bytes(4), np.uint8).astype(np.int64)
    last = 8 * (len(data) - 4)
    while len(found) < count:
        begin = at >> 3
        block = data[begin : begin + 65536 + 2]
        windows = (block[:-2] << 16) | (block[1:-1] << 8) | block[2:]
        peeks = ((windows[:, None] >> (9 - np.arange(8))) & ((1 << LONGEST) - 1)).reshape(-1)
        if len(peeks) == 0 or peeks[: last - 8 * begin].max(initial=0) >= len(number):
            raise DamagedArchive("the archive is damaged: a code is not among those that were told")
        peeks = np.minimum(peeks, len(number) - 1)
        steps, numbers = step[peeks].tolist(), number[peeks].tolist()
        at -= 8 * begin
        while at < len(steps) and len(found) < count:
            found.append(numbers[at])
            at += steps[at]
        at += 8 * begin
        if at > last:
            raise DamagedArchive("the archive is damaged: it ends too early")
    return np.array(found, np.int64)


def range_symbols(source: Source, count: int, size: int) -> np.ndarray:
    """Asymmetric numeral systems (rANS) with fixed frequencies, in one or more lanes that take turns."""
    shares = np.array([source.number() for _ in range(size)], np.int64)
    if (shares > 1 << BITS).any() or shares.sum() != 1 << BITS:
        raise DamagedArchive("the archive is damaged: frequencies do not add up")
    number = np.repeat(np.arange(size), shares)
    offset = np.arange(1 << BITS) - np.repeat(np.cumsum(shares) - shares, shares)
    lanes = source.count(min(count, 4096))
    if lanes == 0:
        raise DamagedArchive("the archive is damaged: no lane")
    head = np.frombuffer(source.take(6 * lanes), "<u2").reshape(lanes, 3).astype(np.int64)
    state = head[:, 0] | (head[:, 1] << 16) | (head[:, 2] << 32)
    words = np.frombuffer(source.take(source.left()), "<u2").astype(np.int64)
    if lanes == 1:
        return _one_lane(int(state[0]), words.tolist(), count, number.tolist(), shares.tolist(), offset.tolist())
    found = np.empty(-(-count // lanes) * lanes, np.int64)
    at = 0
    for begin in range(0, count, lanes):
        live = state[: min(lanes, count - begin)]
        slot = live & WORD
        taken = number[slot]
        found[begin : begin + len(live)] = taken
        live[:] = shares[taken] * (live >> BITS) + offset[slot]
        low = np.flatnonzero(live < LOW)
        live[low] = (live[low] << 16) | words[at : at + len(low)]
        at += len(low)
    return found[:count]


def _one_lane(
    state: int, words: list[int], count: int, number: list[int], shares: list[int], offset: list[int]
) -> np.ndarray:
    found, at = [0] * count, 0
    for place in range(count):
        slot = state & WORD
        one = found[place] = number[slot]
        state = shares[one] * (state >> BITS) + offset[slot]
        if state < LOW:
            state = (state << 16) | words[at]
            at += 1
    return np.array(found, np.int64)


SYMBOLS: tuple[Callable[[Source, int, int], np.ndarray], ...] = (raw_symbols, huffman_symbols, range_symbols)


def bit_reader(source: Source) -> Bit:
    """A function that takes the probability of a one, in 65,536ths, and gives the next bit of a rANS stream."""
    head = source.take(6)
    state = int.from_bytes(head, "little")
    words = np.frombuffer(source.take(source.left()), "<u2").tolist()
    at = 0

    def bit(share: int) -> int:
        nonlocal state, at
        slot = state & WORD
        if slot < share:
            state = share * (state >> BITS) + slot
            value = 1
        else:
            state = (WORD + 1 - share) * (state >> BITS) + slot - share
            value = 0
        if state < LOW:
            state = (state << 16) | words[at]
            at += 1
        return value

    return bit
