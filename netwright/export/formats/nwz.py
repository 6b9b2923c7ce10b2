"""NWZ: an ONNX file entropy-coded, for where bytes count; given back bit for bit by a decoder in numpy."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from netwright.export.format import Format
from netwright.export.loaders import merged, template

if TYPE_CHECKING:
    from torch import nn

    from netwright.export.onnx_runtime import Session


class Nwz(Format):
    """The ONNX file in an archive that a few lines of numpy unpack; zeros, shared values and int8 cost little.

    The decoder leaves with it, and the loader checks the SHA-256 that the archive states.
    """

    suffix: ClassVar[str] = ".nwz"
    needs: ClassVar[str] = "onnxruntime numpy"
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
        from netwright.export.coding.archive import write_archive

        write_archive(file, path, coder=self.coder)
        return path

    def opened(self, path: Path) -> Session:
        from netwright.export.coding.archive import read_archive
        from netwright.export.onnx_runtime import Session

        with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
            file = Path(folder) / "model.onnx"
            read_archive(path, file)
            return Session(file)

    def scripts(self, path: Path) -> Mapping[str, str]:
        from netwright.export.coding import decoder, streams

        del path
        decoding = merged([inspect.getsource(streams), inspect.getsource(decoder)])
        return {"load_nwz.py": template("load_nwz.py"), "nwz.py": decoding}

    def calls(self, path: Path) -> Mapping[str, Any]:
        return self.opened(path).calls
