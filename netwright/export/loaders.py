"""The scripts that leave with a model: text that runs without netwright, needing a runtime and numpy alone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib.resources import files

from netwright.core.errors import ExportError

TASK = "task.py"
"""What the loaders of all formats share: raw inputs as numbers, scores, the command line."""


def template(name: str) -> str:
    """A script in `netwright/export/templates`."""
    return files("netwright.export").joinpath("templates", name).read_text(encoding="utf-8")


def task_script(*, reader: str, answers: str) -> str:
    """The text of `task.py` from the sources of modules as in `netwright.tasks.readers` and `netwright.tasks.answers`.

    Empty ones stand for inputs that are numbers and for classes.
    """
    tasks = files("netwright.tasks")
    reader = reader or tasks.joinpath("readers", "arrays.py").read_text(encoding="utf-8")
    answers = answers or tasks.joinpath("answers", "classes.py").read_text(encoding="utf-8")
    return merged([answers, reader, template(TASK)])


def merged(sources: Sequence[str]) -> str:
    """One module out of several that import each other from netwright; it opens with the last one's docstring.

    Raises ExportError when one imports what neither Python nor numpy has, or two define the same name.
    """
    trees = [ast.parse(source) for source in sources]
    imports: dict[str, None] = {}
    names: set[str] = set()
    bodies = []
    for source, tree in zip(sources, trees, strict=True):
        nodes = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        imports |= dict.fromkeys(ast.unparse(node) for node in nodes if _is_allowed(node))
        found = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        if twice := sorted(names & found):
            raise ExportError(f"what reads inputs and outputs must not define {twice[0]}, which the loader has already")
        names |= found
        start = max((node.end_lineno or 0 for node in nodes), default=1)
        bodies.append("\n".join(source.splitlines()[start:]).strip())
    opening = "\n".join(sources[-1].splitlines()[: trees[-1].body[0].end_lineno])
    future = "from __future__ import annotations"
    written = "\n".join([future, "", *sorted(imports.keys() - {future})])
    return "\n\n\n".join([f"{opening}\n\n{written}", *bodies]) + "\n"


def _is_allowed(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether an import is written into the module: netwright's own are not; raises ExportError for other packages."""
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    roots = {module.partition(".")[0] for module in modules}
    if unknown := roots - sys.stdlib_module_names - {"numpy", "netwright"}:
        raise ExportError(
            f"what reads inputs and outputs may import Python's own modules and numpy, not {min(unknown)}"
        )
    return "netwright" not in roots
