"""Entropy coding: the file in fewer bytes, as an archive that gives it back bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError, ExportError

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.model import Model, Note
    from netwright.export.coding.archive import Archive


class EntropyCode(Pass):
    """Code the exported file into a `.nwz` archive, in which zeros, shared values and small integers need few bits.

    Lossless: the archive gives back the file that is measured, bit for bit, and the decoder needs only numpy.
    Han, Mao & Dally, 2016, with an adaptive arithmetic coder beside their Huffman code.
    """

    stage: ClassVar[Literal["module", "file"]] = "file"
    gains: ClassVar[tuple[str, ...]] = ("size_bytes",)
    last: ClassVar[bool] = True

    coder: Literal["auto", "huffman", "arithmetic"] = Field(
        default="auto", description="how symbols become bits; `auto` takes the shortest for every tensor"
    )

    def check(self, model: Model, context: Context) -> list[Verdict]:
        del context
        count = sum(parameter.numel() for parameter in model.module.parameters())
        if model.archive is not None:
            return [Verdict("", False, "the model has an archive already")]
        if not count:
            return [Verdict("", False, "it has no weights to code")]
        return [Verdict("", True, f"all {count} weights are coded as the exported file holds them")]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.store import model_identity
        from netwright.core.files import content_hash, write_atomic
        from netwright.export.coding.archive import write_archive
        from netwright.export.coding.onnx_regions import positive_zeros
        from netwright.export.to_onnx import export_onnx

        if not self.check(model, context)[0].applies:
            raise CompressionError(f"nothing to code: {self.check(model, context)[0].reason}")
        key = content_hash([model_identity(model), self.model_dump(mode="json")])[:16]
        source = context.workspace / f"{key}.onnx"
        if model.file is None:
            export_onnx(model.module.eval(), source, example=context.example)
        try:
            write_atomic(source, positive_zeros((model.file or source).read_bytes()))
            archive = context.workspace / f"{key}.nwz"
            made = write_archive(source, archive, coder=self.coder)
        except ExportError as error:
            raise CompressionError(f"the file cannot be coded: {error}") from error
        return replace(model, file=source, archive=archive, coded=made, notes=(*model.notes, *_notes(made)))


def _notes(made: Archive) -> list[Note]:
    """What the archive came to, and each tensor's coding, bits per value and share of the archive."""
    from netwright.compression.model import Note

    size = len(made.data)
    ratio = f"{made.file_bytes / size:.2f}x smaller than the file"
    bound = f"its symbols' zeroth-order entropy comes to {made.entropy_bound_bytes:,} bytes"
    notes = [Note("entropy_code", "", "coded", f"{size:,} bytes, {ratio}; {bound}")]
    for one in made.tensors:
        text = f"{one.way}: {one.bits_per_value:.2f} bits per value, {one.coded_bytes / size:.1%} of the archive"
        notes.append(Note("entropy_code", one.name, "coded", text))
    return notes
