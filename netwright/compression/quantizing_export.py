"""The float file that quantizing passes start from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from netwright.core.errors import CompressionError
from netwright.core.files import content_hash
from netwright.core.plugins import name_of

if TYPE_CHECKING:
    from netwright.compression.compression_pass import Pass
    from netwright.compression.context import Context
    from netwright.compression.model import Model


def exported(model: Model, context: Context, one: Pass) -> Path:
    """The module's export in the workspace, named by the model and the settings of the pass; it is made only once.

    Raises CompressionError when an earlier pass has already made a file, ExportError when the export fails.
    """
    from netwright.compression.store import model_identity
    from netwright.export.to_onnx import export_onnx

    if model.file is not None:
        raise CompressionError(f"{name_of(one)} works on the module's export, but the model already has a file")
    identity = model_identity(model)
    key = content_hash([identity, one.model_dump(mode="json"), context.seed])[:16]
    same = context.workspace / f"{identity[:16]}.onnx"
    if not same.exists():
        export_onnx(model.module.eval(), same, example=context.example)
    source = context.workspace / f"{key}.float.onnx"
    shutil.copyfile(same, source)
    return source
