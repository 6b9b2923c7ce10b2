"""Runs a network that is said as calls of torch's operators in a JSON file; needs torch alone.

`calls` lists `[name, operator, arguments, keywords]` in order: the operator is one of torch.ops.aten, or of Python's
`operator` for sizes. An argument `{"value": name}` stands for a weight, a constant, the `input` or an earlier result,
`{"torch": name}` for a type or layout. The result is called `output`. No other program can be said so.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

SIZES = ("add", "sub", "mul", "floordiv", "mod", "neg", "getitem")
"""What of Python's `operator` a network may use: arithmetic with sizes, and one of several results."""

NAMED = (torch.dtype, torch.layout, torch.memory_format)


def read_calls(path: Path) -> Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]:
    """The network in a file: it takes weights by name and preprocessed inputs [N, *shape], and gives the outputs.

    Raises ValueError for an operator that no network needs.
    """
    said = json.loads(path.read_text(encoding="utf-8"))
    constants = {name: torch.tensor(one["data"], dtype=_named(one["dtype"])) for name, one in said["constants"].items()}
    steps = [(name, _operator(called), arguments, keywords) for name, called, arguments, keywords in said["calls"]]

    def run(weights: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        values: dict[str, Any] = {**weights, **constants, "input": inputs}
        for name, called, arguments, keywords in steps:
            values[name] = called(*_filled(arguments, values), **_filled(keywords, values))
        found: torch.Tensor = values["output"]
        return found

    return run


def _operator(name: str) -> Callable[..., Any]:
    package, _, called = name.partition(".")
    if package == "operator" and called in SIZES:
        return getattr(operator, called)  # type: ignore[no-any-return]
    short, _, overload = called.partition(".")
    if package != "aten" or short == "from_file":
        raise ValueError(f"{name} is no operator of a network")
    return getattr(getattr(torch.ops.aten, short), overload)  # type: ignore[no-any-return]


def _filled(part: Any, values: Mapping[str, Any]) -> Any:
    """Arguments with what they stand for."""
    if isinstance(part, list):
        return [_filled(one, values) for one in part]
    if not isinstance(part, dict):
        return part
    if set(part) == {"value"}:
        return values[part["value"]]
    return _named(part["torch"]) if set(part) == {"torch"} else {key: _filled(one, values) for key, one in part.items()}


def _named(name: str) -> Any:
    found = getattr(torch, name)
    if not isinstance(found, NAMED):
        raise ValueError(f"torch.{name} is no type or layout")
    return found
