"""The script that leaves with an archive: the reader's own text with a few lines that run what is in it."""

from __future__ import annotations

import ast
import inspect
from importlib.resources import files

from netwright.export.coding import decoder, streams

LOADER = "load_nwz.py"
IMPORTED = "from netwright.export.coding.decoder import decode\n"


def loader_text(name: str) -> str:
    """The script for the archive `name` beside it; it needs onnxruntime and numpy alone."""
    template = files("netwright.export").joinpath("templates", LOADER).read_text(encoding="utf-8")
    imports, bodies = [], []
    for source in (inspect.getsource(module) for module in (streams, decoder)):
        nodes = [node for node in ast.parse(source).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        imports += [text for node in nodes if "netwright" not in (text := ast.unparse(node)) and text not in template]
        bodies.append("\n".join(source.splitlines()[max(node.end_lineno or 0 for node in nodes) :]).strip())
    written = "\n\n\n".join(["\n".join(dict.fromkeys(imports)), *bodies])
    return template.replace(IMPORTED, written + "\n\n").replace("model.FILE", name)
