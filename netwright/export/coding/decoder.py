"""Reads an entropy-coded archive `.nwz` and gives back the ONNX file in it, bit for bit.

Needs only Python and numpy, so that this very text and that of `streams` are the loader that leaves with a model.
The format is described in docs/nwz.md. An archive is not trusted: sizes are checked before memory is taken, and the
file that comes out must have the SHA-256 that the archive states.
"""

from __future__ import annotations

import hashlib
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from netwright.export.coding.streams import LEVELS, SYMBOLS, Bit, DamagedArchive, Source, bit_reader, learner

MAGIC = b"NWZ1"
LIMIT = 1 << 30
GROWTH, FREE = 4096, 1 << 24
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


@dataclass(frozen=True)
class Region:
    """One tensor: where it starts in the file, how many items of how many bytes it has, and its coded bytes.

    Items are read as rows of `columns`, and a row as an image with rows of `period`, or as none where that is 0.
    Of items of 4 or 2 `bits`, which are coded as bytes, the file has two or four in a byte, the first lowest.
    """

    start: int
    count: int
    item: int
    columns: int
    period: int
    payload: bytes
    bits: int = 8

    @property
    def size(self) -> int:
        """How many bytes it has in the file."""
        return -(-self.count * self.item * self.bits // 8)


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
            filled = region.start + region.size
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
        start, (item, bits) = filled + source.number(), ITEMS[source.byte(len(ITEMS) - 1)]
        count, columns, period, length = (source.number() for _ in range(4))
        head = Region(start, count, item, columns, period, b"", bits)
        filled, tensors = start + head.size, tensors + head.size
        if filled > size or not 0 < columns <= count or count % columns or period > columns:
            raise DamagedArchive("the archive is damaged: a tensor lies outside of the file")
        heads.append((head, length))
    method, coded = source.byte(1), source.take(source.number())
    if method:
        unpacked = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=FILTERS).decompress(coded, size - tensors + 1)
    else:
        unpacked = zlib.decompressobj(-15, zdict=WORDS).decompress(coded, size - tensors + 1)
    if len(unpacked) != size - tensors:
        raise DamagedArchive("the archive is damaged: its skeleton has another length than it should")
    regions = [replace(head, payload=source.take(length)) for head, length in heads]
    if source.left():
        raise DamagedArchive(f"the archive is damaged: {source.left()} bytes too many")
    return digest, size, unpacked, regions


ITEMS = ((1, 8), (2, 8), (4, 8), (8, 8), (1, 4), (1, 2))
"""Bytes of an item, and those of their bits that the file has."""
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0}]


def tensor(region: Region) -> bytes:
    """A tensor's bytes: a fill value with the others put where the mask is set, or all values in their order."""
    source = Source(region.payload)
    flags = source.byte(3)
    if not flags & 1:
        places = Places(np.arange(region.count), region.columns, region.period)
        return packed(values(source, region.item, places), region.bits)
    fill = source.take(region.item) if flags & 2 else bytes(region.item)
    kept = mask(source.part(), region)
    whole = np.tile(np.frombuffer(fill, np.uint8), (region.count, 1))
    places = Places(np.flatnonzero(kept), region.columns, region.period)
    whole[places.at] = values(source, region.item, places).reshape(-1, region.item)
    return packed(whole, region.bits)


def packed(items: np.ndarray, bits: int) -> bytes:
    """Bytes as they are, or the lowest 4 or 2 bits of each, two or four to a byte, the first lowest."""
    if bits == 8:
        return items.tobytes()
    share = 8 // bits
    low = np.zeros(-(-items.size // share) * share, np.uint8)
    low[: items.size] = items.reshape(-1) & ((1 << bits) - 1)
    found: np.ndarray = np.bitwise_or.reduce(
        low.reshape(-1, share) << (np.arange(share, dtype=np.uint8) * bits), axis=1
    )
    return found.astype(np.uint8).tobytes()


@dataclass(frozen=True)
class Places:
    """Where values lie: their numbers in the tensor, read as rows of `columns`, and how long a row of pixels is."""

    at: np.ndarray
    columns: int
    period: int

    def __len__(self) -> int:
        return len(self.at)


def values(source: Source, item: int, places: Places) -> np.ndarray:
    """The bytes of the values at some places."""
    return VALUES[source.byte(len(VALUES) - 1)](source, item, places)


def raw_values(source: Source, item: int, places: Places) -> np.ndarray:
    """Values as they are."""
    return np.frombuffer(source.take(len(places) * item), np.uint8)


def plane_values(source: Source, item: int, places: Places) -> np.ndarray:
    """Values cut into their bytes, all first bytes coded, then all second bytes...; 32 bits are rotated by one.

    The rotation puts a float's whole exponent into one byte and its sign beside the lowest bits.
    """
    planes = [symbols(source.part(), 256, places).astype(np.uint8) for _ in range(item)]
    whole = np.ascontiguousarray(np.stack(planes, axis=1)).reshape(-1)
    if item != 4:
        return whole
    word = whole.view("<u4")
    plain: np.ndarray = ((word >> np.uint32(1)) | (word << np.uint32(31))).view(np.uint8)
    return plain


def table_values(source: Source, item: int, places: Places) -> np.ndarray:
    """Values by their numbers in a codebook."""
    size = source.count(1 << 12)
    book = np.frombuffer(source.take(size * item), np.uint8).reshape(size, item)
    found: np.ndarray = book[symbols(source.part(), size, places)]
    return found


def row_table_values(source: Source, item: int, places: Places) -> np.ndarray:
    """Values by their numbers in a codebook of their row, as a scale for each row makes of a shared one."""
    if not len(places):
        return np.zeros(0, np.uint8)
    rows = places.at // places.columns
    most = source.count(1 << 12)
    sizes = symbols(source.part(), most + 1, Places(np.arange(rows[-1] + 1), int(rows[-1]) + 1, 0))
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    if total > len(places):
        raise DamagedArchive("the archive is damaged: codebooks are larger than what they are for")
    book = values(source.part(), item, Places(np.arange(total), max(1, total), 0)).reshape(total, -1)
    numbers = symbols(source.part(), most, places)
    found: np.ndarray = book[(ends - sizes)[rows] + numbers]
    return found


VALUES: tuple[Callable[[Source, int, Places], np.ndarray], ...] = (
    raw_values,
    plane_values,
    table_values,
    row_table_values,
)


def mask(source: Source, region: Region) -> np.ndarray:
    """Which of a tensor's items are not the fill value, as zeros and ones."""
    if source.byte(1) == 0:
        bits = mask_bits(bit_reader(source), region.count, region.columns, region.period)
        return np.frombuffer(bits, np.uint8)
    longest, number = source.count(1 << 12), source.count(region.count)
    gaps = symbols(source, longest + 1, Places(np.arange(number), max(1, number), 0))
    ends = np.cumsum(np.where(gaps == longest, longest, gaps + 1))[gaps != longest] - 1
    found = np.zeros(region.count, np.uint8)
    if len(ends) and ends[-1] >= region.count:
        raise DamagedArchive("the archive is damaged: a value lies outside of its tensor")
    found[ends] = 1
    return found


def mask_bits(bit: Bit, count: int, columns: int, period: int) -> bytearray:
    """A mask's bits, row by row, each likely by its column, its row, and its neighbours with the column's density.

    Neighbours are the two before it and the three of the row of pixels before it, where a row of the tensor is an
    image with rows of `period` pixels (below 3: it is none).
    """
    learn = learner(bit)
    image = period if period > 2 else 0
    edge = image + 2
    above = np.zeros(columns, np.int64)
    weights = [[0.4, 0.4, 0.4] for _ in range(len(LEVELS) // 3 + 1)]
    found = bytearray()
    for row in range(count // columns):
        classes = np.searchsorted(LEVELS, (above * 10 + 3) * 4096 // (10 * row + 30), side="right").tolist()
        line = bytearray(edge + columns)
        for at, level in enumerate(classes, edge):
            near = line[at - 1] | line[at - 2] << 1 | level >> 1 << 5
            if image:
                near |= line[at - image] << 2 | line[at - image + 1] << 3 | line[at - image - 1] << 4
            line[at] = learn(at, row, near, weights[level // 3])
        found += line[edge:]
        above += np.frombuffer(line, np.uint8)[edge:]
    return found


def symbols(source: Source, size: int, places: Places) -> np.ndarray:
    """A number below `size` for each place."""
    if size == 1 or not len(places):
        return np.zeros(len(places), np.int64)
    if size < 1:
        raise DamagedArchive("the archive is damaged: a codebook is empty")
    method = source.byte(len(SYMBOLS))
    if method < len(SYMBOLS):
        return SYMBOLS[method](source, len(places), size)
    middle = source.count(size)
    found = np.array(learned_symbols(bit_reader(source), (size - 1).bit_length(), middle, places), np.int64)
    if found.max() >= size:
        raise DamagedArchive("the archive is damaged: a number lies outside of its codebook")
    return found


def learned_symbols(bit: Bit, depth: int, middle: int, places: Places) -> list[int]:
    """Numbers of `depth` bits, the highest first; what is likely follows from how those before it went on from there.

    Each bit, known by the bits above it, is told by all of the tensor, by the side of `middle` that its neighbours
    are on (those of `mask_bits`), and by how far from it the last 8 numbers of its row were.
    """
    learn = learner(bit)
    image = places.period if places.period > 2 else 0
    steps = (1, 2, image, image - 1, image + 1) if image else (1, 2)
    edge = image + 2
    weights = [[0.4, 0.4, 0.4] for _ in range(1 << depth)]
    found: list[int] = []
    before = -1
    for row, column in zip(*(part.tolist() for part in np.divmod(places.at, places.columns)), strict=True):
        if row != before:
            before, line, far = row, [-1] * (edge + places.columns), [depth]
        near = [number >= middle for number in (line[edge + column - step] for step in steps) if number >= 0]
        above = sum(near)
        side = (len(near) << 2 | 1 + (2 * above > len(near)) - (2 * above < len(near))) << depth
        last = far[-8:]
        spread = (sum(last) // len(last) + 1) << depth
        node = 1
        for _ in range(depth):
            node = node << 1 | learn(node, side | node, spread | node, weights[node])
        number = node - (1 << depth)
        line[edge + column] = number
        far.append(abs(number - middle))
        found.append(number)
    return found
