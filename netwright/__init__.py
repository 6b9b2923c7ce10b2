"""netwright: find a neural network that fits a task and a device, make it smaller, prove that it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "search": "netwright.api",
    "resume": "netwright.api",
    "compress": "netwright.api",
    "compress_model": "netwright.api",
    "report": "netwright.api",
    "export_trial": "netwright.api",
    "run": "netwright.api",
    "quickstart": "netwright.api",
    "bench": "netwright.api",
    "list_runs": "netwright.api",
    "open_run": "netwright.runs.view",
    "RunSpecification": "netwright.runs.specification",
    "SearchSpace": "netwright.search_spaces.space",
    "Task": "netwright.tasks.task",
    "NetwrightError": "netwright.core.errors",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `import netwright` itself is instant."""
    if name not in _LAZY:
        raise AttributeError(f"module 'netwright' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
