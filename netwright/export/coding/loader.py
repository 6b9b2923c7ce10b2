"""The script that leaves with an archive: the decoder's own text with a few lines that run what is in it."""

from __future__ import annotations

import ast
import inspect
from importlib.resources import files

from netwright.export.coding import decoder

LOADER = "load_nwz.py"
IMPORTED = "from netwright.export.coding.decoder import decode\n"


def loader_text(name: str) -> str:
    """The script for the archive `name` beside it; it needs onnxruntime and numpy alone."""
    source = inspect.getsource(decoder)
    lines = source.splitlines()
    imports = [node for node in ast.parse(source).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    template = files("netwright.export").joinpath("templates", LOADER).read_text(encoding="utf-8")
    needed = [text for node in imports if (text := ast.unparse(node)) not in template]
    body = "\n".join(lines[max(node.end_lineno or 0 for node in imports) :]).strip()
    return template.replace(IMPORTED, "\n".join(needed) + "\n\n" + body + "\n\n").replace("model.FILE", name)
