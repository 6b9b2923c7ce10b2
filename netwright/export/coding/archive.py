"""An ONNX file as an entropy-coded archive `.nwz`, and back: every byte counted, nothing lost."""

from __future__ import annotations

import hashlib
import lzma
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netwright.core.errors import CheckpointError, ExportError
from netwright.core.files import write_atomic
from netwright.export.coding import decoder, onnx_regions
from netwright.export.coding.streams import DamagedArchive
from netwright.export.coding.tensors import Coded, Coder, Means, code_tensor, layout, unpacked
from netwright.export.coding.writers import number

SMALLEST = 48
"""Tensors of fewer bytes stay in the skeleton: a place in the list of tensors costs as much as coding would save."""
KINDS = ("weights", "indices", "positions", "codebooks", "skeleton", "rest")


@dataclass(frozen=True, slots=True)
class TensorReport:
    """What became of one tensor: its coding in words, and its bytes before and after."""

    name: str
    way: str
    values: int
    raw_bytes: int
    coded_bytes: int

    @property
    def bits_per_value(self) -> float:
        return 8 * self.coded_bytes / self.values


@dataclass(frozen=True, slots=True)
class Archive:
    """Coded bytes and their account.

    `bytes_by_kind` has the bytes of weights as they are, indices into codebooks, positions of values, codebooks, the
    file without its tensors (`skeleton`), and of headers and lengths (`rest`); they add up to the archive's size.
    `entropy_bound_bytes` is what a code would need that knows only how often each symbol occurs, per tensor and for
    nothing, plus skeleton and rest as they are: a coder that learns from neighbours can be below it.
    """

    data: bytes
    file_bytes: int
    tensors: tuple[TensorReport, ...]
    bytes_by_kind: dict[str, int]
    entropy_bound_bytes: int


def encode(file: bytes, *, coder: Coder = "auto", prove: bool = True) -> Archive:
    """The archive of an ONNX file's bytes; with `prove` it is decoded again and compared.

    Raises ExportError when they are no ONNX file, or when the archive does not give them back.
    """
    means = Means(coder)
    places = [place for place in onnx_regions.tensors(file) if place.size >= SMALLEST]
    heads, payloads, reports = [], [], []
    kinds, bound, end, skeleton = dict.fromkeys(KINDS, 0), 0.0, 0, bytearray()
    for place in places:
        skeleton += file[end : place.start]
        coded, head = _coded(place, file[place.start : place.start + place.size], means)
        head = number(place.start - end) + head + number(len(coded.data))
        heads.append(head)
        payloads.append(coded.data)
        end = place.start + place.size
        bound += _account(coded, kinds)
        size = len(coded.data) + len(head)
        reports.append(TensorReport(place.name, coded.way, math.prod(place.shape), place.size, size))
    skeleton += file[end:]
    method, packed = _packed(bytes(skeleton))
    kinds["skeleton"] = len(packed)
    front = decoder.MAGIC + hashlib.sha256(file).digest() + number(len(file)) + number(len(places))
    data = front + b"".join(heads) + bytes([method]) + number(len(packed)) + packed + b"".join(payloads)
    kinds["rest"] += len(data) - sum(kinds.values())
    if prove:
        _prove(data, file)
    whole = round(bound / 8) + kinds["skeleton"] + kinds["rest"]
    return Archive(data, len(file), tuple(reports), kinds, whole)


def _coded(place: onnx_regions.Tensor, data: bytes, means: Means) -> tuple[Coded, bytes]:
    """A tensor's payload, and its head but for its place and length: how its items are read.

    Values of less than a byte are coded one by one, and as the bytes that they fill: the shorter one is taken.
    """
    found = [(data, place.item.bit_length() - 1, place.letter, means)]
    if (values := unpacked(data, place)) is not None:
        fast = Means(means.coder, learned_bits=0)
        found = [(values, decoder.ITEMS.index((1, place.bits)), place.letter, means), (data, 0, "u", fast)]
    ways = []
    for items, code, kind, by in found:
        item = decoder.ITEMS[code][0]
        coded = code_tensor(items, item=item, kind=kind, shape=place.shape, means=by)
        columns, period = layout(place.shape, len(items) // item)
        ways.append((coded, bytes([code]) + b"".join(map(number, (len(items) // item, columns, period)))))
    return min(ways, key=lambda way: len(way[0].data) + len(way[1]))


def write_archive(source: Path, target: Path, *, coder: Coder = "auto") -> Archive:
    """Code an ONNX file into an archive, whole or not at all; raises ExportError as `encode` does."""
    made = encode(source.read_bytes(), coder=coder)
    write_atomic(target, made.data)
    return made


def read_archive(source: Path, target: Path | None = None) -> bytes:
    """The ONNX file in an archive, written to `target` if that is given.

    Raises CheckpointError when the archive is damaged, cut short or no archive.
    """
    try:
        file = decoder.decode(source.read_bytes())
    except DamagedArchive as error:
        raise CheckpointError(f"{source.name} cannot be read: {error}; get the file again") from None
    if target is not None:
        write_atomic(target, file)
    return file


def _prove(data: bytes, file: bytes) -> None:
    try:
        back = decoder.decode(data, limit=len(file))
    except DamagedArchive as error:
        raise ExportError(f"the archive cannot be read back: {error}; please report this file") from None
    if back != file:
        raise ExportError("the archive does not give the file back; please report this file")


def _account(coded: Coded, kinds: dict[str, int]) -> float:
    for kind, size in coded.parts.items():
        kinds[kind] += size
    return coded.entropy_bits


def _packed(skeleton: bytes) -> tuple[int, bytes]:
    """The skeleton by the shorter of two compressors, and which it was."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=decoder.WORDS)
    deflated = squeezer.compress(skeleton) + squeezer.flush()
    filters: list[dict[str, Any]] = decoder.FILTERS
    packed = lzma.compress(skeleton, lzma.FORMAT_RAW, filters=filters)
    return (0, deflated) if len(deflated) <= len(packed) else (1, packed)
