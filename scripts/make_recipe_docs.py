"""The field tables of docs/recipes.md, made from the settings themselves.

python scripts/make_recipe_docs.py            renew the tables
python scripts/make_recipe_docs.py --check    exit code 1 when they are out of date
"""

from __future__ import annotations

import re
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from netwright.compression.recipe import Bounds, Recipe
from netwright.core.files import canonical_json
from netwright.core.plugins import KINDS, Plugin, load, name_of, names, summary
from netwright.core.records import Objective
from netwright.evaluation.latency import LatencyProtocol
from netwright.nas.fidelity import Fidelity
from netwright.runs.specification import RunSpecification, Search, Winner
from netwright.tasks.settings import Distillation, Training

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
PARTS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        RunSpecification,
        Objective,
        Search,
        Fidelity,
        Winner,
        Recipe,
        Bounds,
        Training,
        Distillation,
        LatencyProtocol,
    )
}
MARKED = re.compile(r"(<!-- fields: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def renewed(text: str) -> str:
    """The page with the text between every pair of marks made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{_tables(found[2])}{found[3]}", text)


def _tables(what: str) -> str:
    """The table of a part of a run description, or of what all plugins of a kind have, then what each adds."""
    if what in PARTS:
        return _table(_rows(PARTS[what]))
    kind = next(kind for kind in KINDS.values() if what == f"all {kind.plural}")
    module, _, base = kind.base.partition(":")
    shared = _rows(getattr(import_module(module), base))
    parts = [f"Every {kind.name}:\n\n{_table(shared)}"] if shared else []
    for name in names(kind.name):
        own = [row for row in _rows(load(kind.name, name)) if row not in shared]
        parts.append(f"`{name}`: {summary(kind.name, name)}\n" + (f"\n{_table(own)}" if own else ""))
    return "\n".join(parts)


def _table(rows: list[str]) -> str:
    return "\n".join(["| field | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _rows(model: type[BaseModel]) -> list[str]:
    return [
        f"| `{name}` | {_words(field.annotation)} | {_default(field)} | {_said(field)} |"
        for name, field in model.model_fields.items()
    ]


def _said(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Plugin):
        return f"`{name_of(value)}`"
    if isinstance(value, BaseModel):
        changed = value.model_dump(mode="json", exclude_unset=True)
        return f"`{canonical_json(changed)}`" if changed else "its defaults"
    return "none" if value is None else f"`{canonical_json(value)}`"


def _words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {_words(inner[0])}" if Ellipsis in inner else f"[{', '.join(map(_words, inner))}]"
    if isinstance(annotation, type) and issubclass(annotation, Plugin):
        kind = next(kind for kind in KINDS.values() if kind.base.endswith(f":{annotation.__name__}"))
        return kind.name
    known = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
    return known.get(annotation, getattr(annotation, "__name__", str(annotation)))


def main() -> None:
    """Renew the page, or check it."""
    before = PAGE.read_text(encoding="utf-8")
    after = renewed(before)
    if "--check" in sys.argv[1:]:
        sys.exit(int(before != after))
    PAGE.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
