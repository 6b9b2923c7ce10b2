"""Values that people have as printed Python, such as `NAME = Genotype(normal=[...], normal_concat=range(2, 6))`.

Text is parsed, never run.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 100_000
"""More characters than any architecture needs; parsing takes many times the memory of the text."""
NO_NAMES: Mapping[str, Any] = {}


def printed_value(text: str, *, fields: Sequence[str], names: Mapping[str, Any] = NO_NAMES) -> Any:
    """The value of a Python literal, or of `Name(...)` as a dictionary; `NAME =` may stand before it.

    `fields` are the names of arguments given without one, in order, as those of a named tuple. `names` are
    constants that may stand for themselves. `range`, `list` and `tuple` are understood, and JSON's constants.

    >>> printed_value("V = Genotype([('skip', 0)], concat=range(2, 4))", fields=("normal", "concat"))
    {'normal': [['skip', 0]], 'concat': [2, 3]}

    Raises ValueError for anything else.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{len(text)} characters")
    try:
        body = ast.parse(text.strip()).body
        if len(body) != 1 or not isinstance(body[0], ast.Expr | ast.Assign) or body[0].value is None:
            raise ValueError(text)
        return _value(body[0].value, fields, {"true": True, "false": False, "null": None, **names})
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from None


def _value(node: ast.expr, fields: Sequence[str], names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Call):
        return _called(node, fields, names)
    if isinstance(node, ast.Name | ast.Attribute):
        name = _name(node)
        if name not in names:
            raise ValueError(name)
        return names[name]
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(element, fields, names) for element in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {ast.literal_eval(key): _value(value, fields, names) for key, value in pairs if key}
    return ast.literal_eval(node)


def _called(node: ast.Call, fields: Sequence[str], names: Mapping[str, Any]) -> Any:
    """`range`, `list` and `tuple` of values, `array` of a list, and the arguments of any other name."""
    name, values = _name(node.func), [_value(argument, fields, names) for argument in node.args]
    if name == "range" and not node.keywords:
        return _range(values)
    if name in ("list", "tuple", "array") and len(values) == 1 and isinstance(values[0], list):
        return values[0]
    if len(values) > len(fields):
        raise ValueError(name)
    given = {keyword.arg: _value(keyword.value, fields, names) for keyword in node.keywords if keyword.arg}
    return {**dict(zip(fields, values, strict=False)), **given}


def _name(node: ast.expr) -> str:
    """The last part of a dotted name; ValueError for what is none."""
    if isinstance(node, ast.Attribute) and _name(node.value):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError(ast.dump(node)[:100])


def _range(arguments: list[Any]) -> list[int]:
    numbers = range(*arguments)
    if len(numbers) > 1000:
        raise ValueError(numbers)
    return list(numbers)
