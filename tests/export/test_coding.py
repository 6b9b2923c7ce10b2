"""Every array comes back bit for bit from every coder, and damage is always noticed."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from export_networks import Exported
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.errors import ExportError
from netwright.export.coding import decoder, streams
from netwright.export.coding.archive import encode
from netwright.export.coding.streams import DamagedArchive
from netwright.export.coding.tensors import Means, code_tensor, layout
from netwright.export.coding.writers import fixed_range, huffman, number
from netwright.export.integer_weights import packed, store_integers

TYPES = ("<f4", "<f8", "<f2", "<i1", "<u1", "<i2", "<i4", "<i8")
CODERS = ("auto", "huffman", "arithmetic")
HEADINGS = 100


def _back(coded: bytes, array: np.ndarray) -> bytes:
    columns, period = layout(array.shape, array.size)
    return decoder.tensor(decoder.Region(0, array.size, array.dtype.itemsize, columns, period, coded))


def _code(array: np.ndarray, coder: str = "auto") -> bytes:
    item, kind = array.dtype.itemsize, array.dtype.kind
    return code_tensor(array.tobytes(), item=item, kind=kind, shape=array.shape, means=Means(coder)).data


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Arrays as networks hold them and as they do not: dense, sparse, of few values, of any bits."""
    shape = tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)))
    kind = np.dtype(draw(st.sampled_from(TYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = int(np.prod(shape))
    style = draw(st.sampled_from(["any bits", "few values", "one value", "sparse", "ramp"]))
    if style == "any bits":
        return np.frombuffer(rng.bytes(size * kind.itemsize), kind).reshape(shape)
    values = rng.normal(size=size) * 20
    if style == "few values":
        values = rng.choice(values[: draw(st.integers(1, 9))], size)
    if style == "one value":
        values[:] = values[0]
    if style == "sparse":
        values *= rng.random(size) < draw(st.floats(0, 0.5))
    if style == "ramp":
        values = np.arange(size) % 100
    unsigned = np.abs(values) if kind.kind == "u" else values
    return unsigned.astype(kind).reshape(shape)


@settings(max_examples=200, deadline=None)
@given(array=arrays(), coder=st.sampled_from(CODERS))
def test_every_array_comes_back_bit_for_bit(array: np.ndarray, coder: str) -> None:
    coded = _code(array, coder)
    assert _back(coded, array) == array.tobytes()
    assert len(coded) <= array.nbytes + 2


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.integers(0, 40), min_size=1, max_size=500), spare=st.integers(0, 300))
def test_coders_of_numbers_give_them_back(values: list[int], spare: int) -> None:
    numbers, size = np.array(values), max(values) + 1 + spare
    for coded, reader in (
        (huffman(numbers, size=size), streams.huffman_symbols),
        (fixed_range(numbers, size=size), streams.range_symbols),
    ):
        found = reader(streams.Source(coded), len(values), size)
        np.testing.assert_array_equal(found, numbers)


def test_long_codes_and_many_lanes_are_right() -> None:
    rng = np.random.default_rng(0)
    skewed = np.repeat(
        np.arange(30), np.minimum(2 ** np.arange(30), 20000)
    )  # a Huffman code of 29 bits without a limit
    rng.shuffle(skewed)
    found = streams.huffman_symbols(streams.Source(huffman(skewed, size=30)), len(skewed), 30)
    np.testing.assert_array_equal(found, skewed)
    many = np.minimum(rng.geometric(0.3, 300_001), 255)
    coded = fixed_range(many, size=256)
    np.testing.assert_array_equal(streams.range_symbols(streams.Source(coded), len(many), 256), many)
    shares = np.bincount(many) / len(many)
    entropy = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum() * len(many) / 8
    assert entropy < len(coded) < 1.01 * entropy + 800


def test_large_sparse_tensors_take_the_gaps() -> None:
    rng = np.random.default_rng(0)
    large = (rng.normal(size=(1100, 1000)) * (rng.random((1100, 1000)) < 0.05)).round(1).astype("<f4") + np.float32(0)
    coded = code_tensor(large.tobytes(), item=4, kind="f", shape=large.shape, means=Means())
    assert coded.way.startswith("sparse (gaps")
    assert _back(coded.data, large) == large.tobytes()
    assert 8 * len(coded.data) < 1.03 * coded.entropy_bits + 2000


def test_structure_in_rows_columns_and_neighbours_pays() -> None:
    rng = np.random.default_rng(0)
    ink = np.outer(np.hanning(16), np.hanning(16)).reshape(-1)
    kept = rng.random((60, 256)) < 0.4 * ink**2
    pixels = np.where(kept, np.where(rng.random((60, 256)) < 0.5, -0.25, 0.5), 0).astype("<f4")
    shuffled = rng.permutation(pixels.reshape(-1)).reshape(pixels.shape)
    with_shape, without = (
        code_tensor(a.tobytes(), item=4, kind="f", shape=a.shape, means=Means()) for a in (pixels, shuffled)
    )
    assert "learned map" in with_shape.way
    assert len(with_shape.data) < 0.85 * with_shape.entropy_bits / 8
    assert len(with_shape.data) < 0.85 * len(without.data)


@pytest.mark.parametrize("kept", [1.0, 0.3])
def test_a_codebook_scaled_for_each_row_stays_one(kept: float) -> None:
    rng = np.random.default_rng(0)
    book, scales = rng.normal(size=16).astype("<f4"), rng.normal(size=(48, 1)).astype("<f4")
    shared = book[rng.integers(0, 16, (48, 600))] * scales * (rng.random((48, 600)) < kept) + np.float32(0)
    coded = code_tensor(shared.tobytes(), item=4, kind="f", shape=shared.shape, means=Means())
    assert "a codebook of up to 16 for each row" in coded.way
    assert _back(coded.data, shared) == shared.tobytes()
    assert len(coded.data) < shared.size * (1 if kept < 1 else 0.8)
    if kept == 1:  # the bound: the bytes of all codebooks, whose sizes are all alike, and the numbers in them
        books = [np.unique(row) for row in shared]
        words = np.concatenate(books).view("<u4")
        planes = np.stack([words << np.uint32(1) | words >> np.uint32(31)], axis=1).view("u1").T
        numbers = np.concatenate([np.searchsorted(book, row) for book, row in zip(books, shared, strict=True)])
        assert coded.entropy_bits == pytest.approx(sum(map(_entropy_bits, [*planes, numbers])))


def _entropy_bits(symbols: np.ndarray) -> float:
    counts = np.unique(symbols, return_counts=True)[1]
    return -float((counts * np.log2(counts / counts.sum())).sum())


@pytest.mark.parametrize("net", ["mlp", "convnet", "separable", "lstm", "gru", "attention"])
def test_files_come_back_with_the_same_sha(net: str, exported: Exported) -> None:
    file = exported.file(net).read_bytes()
    sparse = onnx.load_from_string(file)
    for tensor in sparse.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.raw_data) > 200:
            values = np.frombuffer(tensor.raw_data, "<f4").copy()
            values[np.abs(values) < np.quantile(np.abs(values), 0.8)] = 0
            tensor.raw_data = (np.round(values * 8) / 8 + np.float32(0)).astype("<f4").tobytes()
    for content in (file, sparse.SerializeToString()):
        for coder in CODERS:
            made = encode(content, coder=coder)
            assert hashlib.sha256(decoder.decode(made.data)).digest() == hashlib.sha256(content).digest()
            assert sum(made.bytes_by_kind.values()) == len(made.data)
            assert len(made.data) < len(zlib.compress(content, 9))


PACKED = {"INT4": 4, "UINT4": 4, "INT2": 2, "UINT2": 2}


def _file(shape: tuple[int, ...], kind: str, raw: bytes) -> bytes:
    """A file with one tensor of less than a byte a value, and a float one behind it."""
    graph = onnx.GraphProto(name="packed")
    small = onnx.TensorProto(name="p", dims=shape, data_type=getattr(onnx.TensorProto, kind), raw_data=raw)
    floats = np.arange(40, dtype="<f4").reshape(8, 5)
    graph.initializer.extend([small, onnx.numpy_helper.from_array(floats, "f")])
    return onnx.ModelProto(ir_version=13, graph=graph).SerializeToString()


@settings(max_examples=150, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    kind=st.sampled_from(sorted(PACKED)),
    few=st.sampled_from([1, 2, 3, 16]),
    coder=st.sampled_from(CODERS),
    seed=st.integers(0, 2**32),
)
def test_values_of_less_than_a_byte_come_back_bit_for_bit(
    shape: tuple[int, ...], kind: str, few: int, coder: str, seed: int
) -> None:
    bits = PACKED[kind]
    values = np.random.default_rng(seed).integers(0, min(few, 1 << bits), size=int(np.prod(shape)))
    rows = np.resize(np.append(values, 0), (-(-len(values) * bits // 8), 8 // bits))
    raw = (rows << (np.arange(8 // bits) * bits)).sum(1).astype(np.uint8).tobytes()
    file = _file(shape, kind, raw)
    made = encode(file, coder=coder)
    assert decoder.decode(made.data) == file
    assert sum(made.bytes_by_kind.values()) == len(made.data)
    told = {one.name: one.values for one in made.tensors}
    assert told.get("p", len(values)) == len(values)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("net", ["mlp", "convnet", "separable", "lstm", "gru", "attention"])
def test_stored_integers_come_back_with_the_same_sha(bits: int, net: str, exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "stored.onnx"
    store_integers(exported.file(net), path, bits=bits)
    content = path.read_bytes()
    made = encode(content)
    assert hashlib.sha256(decoder.decode(made.data)).digest() == hashlib.sha256(content).digest()
    # weights drawn evenly cannot be coded by less than they are: headings and checksum then make it a little longer
    assert len(made.data) < len(zlib.compress(content, 9)) + (HEADINGS if bits == 8 else 0)


def test_packed_ternary_weights_take_little_more_than_their_entropy() -> None:
    values = np.random.default_rng(0).choice([-1, 0, 1], p=[0.2, 0.6, 0.2], size=(100, 1000)).astype(np.int8)
    tensor = packed(values, "p", bits=2)
    made = encode(_file((100, 1000), "INT2", tensor.raw_data))
    report = next(one for one in made.tensors if one.name == "p")
    entropy = -(0.6 * np.log2(0.6) + 0.4 * np.log2(0.2))
    assert report.values == 100_000
    assert 0.98 * entropy < report.bits_per_value < 1.03 * entropy


def test_bits_behind_the_last_value_come_back_too() -> None:
    file = _file((9, 7), "UINT2", bytes(range(200, 216)))
    assert decoder.decode(encode(file).data) == file
    with_few = _file((3, 399), "INT4", bytes([0x1F] * 598 + [0xF1]))
    assert decoder.decode(encode(with_few).data) == with_few


def test_a_file_without_tensors_and_no_file_at_all() -> None:
    empty = onnx.ModelProto(ir_version=8).SerializeToString()
    assert decoder.decode(encode(empty).data) == empty
    with pytest.raises(ExportError, match="cannot be read as an ONNX file"):
        encode(b"\x3a\xff\xff\xff")


@pytest.fixture(scope="module")
def archive(exported: Exported) -> bytes:
    return encode(exported.file("mlp").read_bytes()).data


def test_every_cut_is_noticed(archive: bytes) -> None:
    for end in [*range(60), *range(60, len(archive), 97), len(archive) - 1]:
        with pytest.raises(DamagedArchive):
            decoder.decode(archive[:end])
    with pytest.raises(DamagedArchive, match="1 bytes too many"):
        decoder.decode(archive + b"\0")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(archive: bytes, data: st.DataObject) -> None:
    changed = bytearray(archive)
    for place in data.draw(st.lists(st.integers(0, len(archive) - 1), min_size=1, max_size=3, unique=True)):
        changed[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decoder.decode(bytes(changed))
    except DamagedArchive:
        return
    assert found == decoder.decode(archive)  # such as in the bits that fill up the last byte of a stream


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=80), count=st.integers(1, 400), item=st.sampled_from([1, 2, 4, 8]))
def test_any_bytes_give_a_tensor_or_an_error(payload: bytes, count: int, item: int) -> None:
    region = decoder.Region(0, count, item, count, 0, payload)
    try:
        found = decoder.tensor(region)
    except (DamagedArchive, IndexError, ValueError, OverflowError):
        return  # the errors that `decode` makes one of
    assert len(found) == count * item


def test_an_archive_cannot_claim_more_than_it_may() -> None:
    claim = decoder.MAGIC + bytes(32) + number(1 << 40)
    with pytest.raises(DamagedArchive, match="bytes claim to hold 1099511627776"):
        decoder.decode(claim)
    with pytest.raises(DamagedArchive, match="claim to hold"):
        decoder.decode(encode(onnx.ModelProto(ir_version=8).SerializeToString()).data, limit=1)
