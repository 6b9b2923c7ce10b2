"""NWZ: an ONNX file entropy-coded, for where bytes count; given back bit for bit by a decoder in numpy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from netwright.export.format import Format

if TYPE_CHECKING:
    from torch import nn


class Nwz(Format):
    """The ONNX file in an archive that a few lines of numpy unpack; zeros, shared values and int8 cost little.

    The loader with the decoder lies beside it.
    """

    suffix: ClassVar[str] = ".nwz"
    coder: Literal["auto", "huffman", "arithmetic"] = Field(
        default="auto", description="how symbols become bits; `auto` takes the shortest for every tensor"
    )

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        from netwright.export.coding.onnx_regions import positive_zeros
        from netwright.export.to_onnx import export_onnx

        del architecture
        with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
            file = Path(folder) / "model.onnx"
            export_onnx(model, file, example=example)
            file.write_bytes(positive_zeros(file.read_bytes()))
            return self.from_onnx(file, path)

    def from_onnx(self, file: Path, path: Path) -> Path:
        from netwright.core.files import write_atomic
        from netwright.export.coding.archive import write_archive
        from netwright.export.coding.loader import LOADER, loader_text

        write_archive(file, path, coder=self.coder)
        write_atomic(path.with_name(LOADER), loader_text(path.name))
        return path

    def opened(self, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        from netwright.export.coding.archive import read_archive
        from netwright.export.onnx_runtime import Session

        with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
            file = Path(folder) / "model.onnx"
            read_archive(path, file)
            return Session(file)
