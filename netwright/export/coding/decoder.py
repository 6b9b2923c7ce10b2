"""Reads an entropy-coded archive `.nwz` and gives back the ONNX file in it, bit for bit.

Needs only Python and numpy, and imports nothing else, so that this very text is also the loader that leaves with a
model. The format is described in docs/nwz.md. An archive is not trusted: sizes are checked before memory is taken,
and the file that comes out must have the SHA-256 that the archive states.
"""

from __future__ import annotations

import hashlib
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MAGIC = b"NWZ1"
LIMIT = 1 << 30
GROWTH, FREE = 4096, 1 << 24
BITS = 16
LOW = 1 << 32
WORD = (1 << 16) - 1
LONGEST = 15
WORDS = (
    b"pkg.torch.onnx.original_node_name\x12pkg.torch.export.graph_signature.InputSpec.kind\x12\nUSER_INPUT"
    b"pkg.torch.export.graph_signature.InputSpec.persistent\x12\x04NonePARAMETERBUFFER\x12\x04True\x12\x05False"
    b"pkg.torch.export.graph_signature.OutputSpec.kind\x12\x0bUSER_OUTPUTquant_pre_process.onnxruntime.quant"
    b'onnx.infer\x12\x04DequantizeLinear_zero_point_quantized_scaleQuantizeLinear"\x10DequantizeLinear"\x0eQuantizeLinear'
    b"\n\x0bsqueeze_dimgetitem_hidden_sizedirectionforwardbidirectionallinear_before_resetGRULSTMTransposeConcatSlice"
    b"AddMulReshapeSqueezeUnsqueezeGatherShapeMatMulSoftmaxSigmoidTanhGlobalAveragePoolReduceMeanaxeskeepdims"
    b"auto_padNOTSETdilationsgroupkernel_shapepadsstridesMaxPoolAveragePoolceil_modecount_include_padstorage_order"
    b"conv2dnode_conv2dConvBatchNormalizationepsilonmomentumtraining_mode.weight_bias.running_mean.running_var"
    b"pytorch\x12\x06main_graphallowzeroflattennode_flattenFlattenaxis.weight.bias\n\x04input\x12\x05\x12\x03\n\x01batch"
    b'relunode_relu"\x04Relunode_Reshape_val_\n\x06linear\x12\x06output\x1a\x0bnode_linear"\x04Gemm*\x0f\n\x04beta'
    b"\x15\x00\x00\x80?\xa0\x01\x01*\r\n\x06transB\x18\x01\xa0\x01\x02*\x10\n\x05alpha\x15\x00\x00\x80?\xa0\x01\x01*\r\n\x06transA\x18\x00\xa0\x01\x02"
)
"""What the graphs of exported networks often say; the skeleton is compressed with this text as its past."""


class DamagedArchive(ValueError):  # noqa: N818  what is wrong, not that something is
    """The bytes are no archive, or not the ones that were written."""


@dataclass(frozen=True)
class Region:
    """One tensor's place: where it starts in the file, how many items of how many bytes, columns, its coded bytes."""

    start: int
    count: int
    item: int
    columns: int
    payload: bytes


def decode(archive: bytes, limit: int = LIMIT) -> bytes:
    """The ONNX file in an archive.

    Raises DamagedArchive when the archive is cut short, was changed, or asks for more than `limit` bytes.
    """
    try:
        digest, size, skeleton, regions = parse(archive, limit)
        file = bytearray(size)
        filled = used = 0
        for region in regions:
            gap = region.start - filled
            file[filled : region.start] = skeleton[used : used + gap]
            used += gap
            filled = region.start + region.count * region.item
            file[region.start : filled] = tensor(region)
        file[filled:] = skeleton[used:]
    except DamagedArchive:
        raise
    except (IndexError, ValueError, OverflowError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DamagedArchive(f"the archive is damaged: {error}") from None
    if len(file) != size or hashlib.sha256(file).digest() != digest:
        raise DamagedArchive("the archive is damaged: the file in it does not have the SHA-256 that was written")
    return bytes(file)


def parse(archive: bytes, limit: int = LIMIT) -> tuple[bytes, int, bytes, list[Region]]:
    """SHA-256 and size of the file, its skeleton, and its tensors, still coded."""
    if archive[:4] != MAGIC:
        raise DamagedArchive(f"this is not an archive of this kind: it begins with {archive[:4]!r}, not {MAGIC!r}")
    source = Source(archive, 4)
    digest, size = source.take(32), source.number()
    if size > min(limit, GROWTH * len(archive) + FREE):
        raise DamagedArchive(f"the archive is damaged or not safe: {len(archive)} bytes claim to hold {size}")
    heads, filled, tensors = [], 0, 0
    for _ in range(source.count(size)):
        start, item = filled + source.number(), 1 << source.byte(3)
        count, columns, length = source.number(), source.number(), source.number()
        filled, tensors = start + count * item, tensors + count * item
        if filled > size or not 0 < columns <= count:
            raise DamagedArchive("the archive is damaged: a tensor lies outside of the file")
        heads.append((start, count, item, columns, length))
    method, coded = source.byte(1), source.take(source.number())
    if method:
        unpacked = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=FILTERS).decompress(coded, size - tensors + 1)
    else:
        unpacked = zlib.decompressobj(-15, zdict=WORDS).decompress(coded, size - tensors + 1)
    if len(unpacked) != size - tensors:
        raise DamagedArchive("the archive is damaged: its skeleton has another length than it should")
    regions = [Region(start, count, item, columns, source.take(n)) for start, count, item, columns, n in heads]
    if source.left():
        raise DamagedArchive(f"the archive is damaged: {source.left()} bytes too many")
    return digest, size, unpacked, regions


FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0}]


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


def tensor(region: Region) -> bytes:
    """A tensor's bytes: a fill value with the others put where the mask is set, or all values in their order."""
    source = Source(region.payload)
    flags = source.byte(3)
    values = region.count
    if flags & 1:
        fill = source.take(region.item) if flags & 2 else bytes(region.item)
        kept = mask(source.part(), region.count, region.columns)
        values = int(kept.sum())
    found = VALUES[source.byte(len(VALUES) - 1)](source, values, region.item)
    if not flags & 1:
        return found.tobytes()
    whole = np.tile(np.frombuffer(fill, np.uint8), (region.count, 1))
    whole[kept.view(bool)] = found.reshape(values, region.item)
    return whole.tobytes()


def raw_values(source: Source, count: int, item: int) -> np.ndarray:
    """Values as they are."""
    return np.frombuffer(source.take(count * item), np.uint8)


def plane_values(source: Source, count: int, item: int) -> np.ndarray:
    """Values cut into their bytes, all first bytes coded, then all second bytes...; 32 bits are rotated by one.

    The rotation puts a float's whole exponent into one byte and its sign beside the lowest bits.
    """
    planes = [symbols(source.part(), count, 256).astype(np.uint8) for _ in range(item)]
    whole = np.ascontiguousarray(np.stack(planes, axis=1))
    if item != 4:
        return whole
    word = whole.view("<u4")
    plain: np.ndarray = ((word >> np.uint32(1)) | (word << np.uint32(31))).view(np.uint8)
    return plain


def table_values(source: Source, count: int, item: int) -> np.ndarray:
    """Values by their numbers in a codebook."""
    size = source.count(1 << 12)
    book = np.frombuffer(source.take(size * item), np.uint8).reshape(size, item)
    values: np.ndarray = book[symbols(source.part(), count, size)]
    return values


VALUES: tuple[Callable[[Source, int, int], np.ndarray], ...] = (raw_values, plane_values, table_values)


def mask(source: Source, count: int, columns: int) -> np.ndarray:
    """Which of `count` items are not the fill value, as zeros and ones."""
    method = source.byte(2)
    if method < 2:
        rows = -(-count // columns)
        if rows * columns != count:
            raise DamagedArchive("the archive is damaged: a tensor has no whole number of rows")
        shape = (columns, rows) if method else (rows, columns)
        grid = np.array(mask_bits(bit_reader(source), *shape), np.uint8).reshape(shape)
        return np.ascontiguousarray(grid.T if method else grid).reshape(-1)
    longest, number = source.count(1 << 12), source.count(count)
    gaps = symbols(source, number, longest + 1)
    ends = np.cumsum(np.where(gaps == longest, longest, gaps + 1))[gaps != longest] - 1
    found = np.zeros(count, np.uint8)
    if len(ends) and ends[-1] >= count:
        raise DamagedArchive("the archive is damaged: a value lies outside of its tensor")
    found[ends] = 1
    return found


def mask_bits(bit: Callable[[int], int], rows: int, columns: int) -> bytearray:
    """A mask's bits, row by row: how likely a one is follows from the column above it and the row before it.

    Both densities are put into classes; each pair of classes counts its own ones. `bit` takes the probability of a
    one in 65,536ths and gives the bit: a reader takes it from the archive, a writer from what is to be written.
    """
    steps = len(LEVELS) + 1
    seen = [2] * (steps * steps)
    ones = [1] * (steps * steps)
    above = np.zeros(columns, np.int64)
    found = bytearray()
    for row in range(rows):
        average = (int(above.sum()) * 65536) // max(1, row * columns)
        share = (above * 65536 + 2 * average) // (row + 2)
        classes = (np.searchsorted(LEVELS, share) * steps).tolist()
        expected = np.cumsum(share).tolist()
        line = bytearray(columns)
        had = 0
        beside = steps // 2
        for column in range(columns):
            context = classes[column] + beside
            total, one = seen[context], ones[context]
            value = bit((one << 16) // total or 1)
            seen[context] = total + 2
            if value:
                ones[context] = one + 2
                had += 1
                line[column] = 1
            if column & 7 == 7:
                beside = ratio_class(had, expected[column])
        above += np.frombuffer(line, np.uint8)
        found += line
    return found


LEVELS = np.array([int(65536 * 2.0 ** (-step / 2)) for step in range(14, 0, -1)])


def ratio_class(had: int, expected: int) -> int:
    """How much more or less than expected, in the classes of `LEVELS`: 7 is as much."""
    share = ((had << 16) + 131072) * 8 // (expected + 131072)
    return min(14, max(0, share - 1 if share < 9 else 5 + share.bit_length()))


def symbols(source: Source, count: int, size: int) -> np.ndarray:
    """`count` numbers below `size`."""
    if not count:
        return np.zeros(0, np.int64)
    if size == 1:
        return np.zeros(count, np.int64)
    if size < 1:
        raise DamagedArchive("the archive is damaged: a codebook is empty")
    return SYMBOLS[source.byte(len(SYMBOLS) - 1)](source, count, size)


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


def adaptive_symbols(source: Source, count: int, size: int) -> np.ndarray:
    """Numbers bit by bit, the highest first, each bit with a probability learned from those before it."""
    found = np.array(tree_symbols(bit_reader(source), count, (size - 1).bit_length()), np.int64)
    if found.max() >= size:
        raise DamagedArchive("the archive is damaged: a number lies outside of its codebook")
    return found


def tree_symbols(bit: Callable[[int], int], count: int, depth: int) -> list[int]:
    """Numbers of `depth` bits; every node of the binary tree of their bits counts its own ones. `bit` as above."""
    seen = [2] * (1 << depth)
    ones = [1] * (1 << depth)
    found = []
    for _ in range(count):
        node = 1
        for _ in range(depth):
            total, one = seen[node], ones[node]
            value = bit((one << 16) // total or 1)
            seen[node] = total + 2
            ones[node] = one + 2 * value
            node = 2 * node + value
        found.append(node - (1 << depth))
    return found


SYMBOLS: tuple[Callable[[Source, int, int], np.ndarray], ...] = (
    raw_symbols,
    huffman_symbols,
    range_symbols,
    adaptive_symbols,
)


def bit_reader(source: Source) -> Callable[[int], int]:
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
