"""netwright: find a neural network that fits a task and a device, make it smaller, prove that it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netwright.api import (
        bench,
        compress,
        compress_model,
        export_trial,
        list_runs,
        open_run,
        plan_compression,
        quickstart,
        report,
        resume,
        resume_run,
        run,
        search,
        sensitivity,
    )
    from netwright.core.errors import NetwrightError
    from netwright.runs.specification import RunSpecification
    from netwright.search_spaces.from_model import space_from_model
    from netwright.search_spaces.space import SearchSpace
    from netwright.tasks.task import Task

__version__ = "0.1.0"

_LAZY = {
    "search": "netwright.api",
    "resume": "netwright.api",
    "resume_run": "netwright.api",
    "compress": "netwright.api",
    "compress_model": "netwright.api",
    "plan_compression": "netwright.api",
    "sensitivity": "netwright.api",
    "report": "netwright.api",
    "export_trial": "netwright.api",
    "run": "netwright.api",
    "quickstart": "netwright.api",
    "bench": "netwright.api",
    "list_runs": "netwright.api",
    "open_run": "netwright.api",
    "RunSpecification": "netwright.runs.specification",
    "space_from_model": "netwright.search_spaces.from_model",
    "SearchSpace": "netwright.search_spaces.space",
    "Task": "netwright.tasks.task",
    "NetwrightError": "netwright.core.errors",
}

__all__ = [
    "NetwrightError",
    "RunSpecification",
    "SearchSpace",
    "Task",
    "__version__",
    "bench",
    "compress",
    "compress_model",
    "export_trial",
    "list_runs",
    "open_run",
    "plan_compression",
    "quickstart",
    "report",
    "resume",
    "resume_run",
    "run",
    "search",
    "sensitivity",
    "space_from_model",
]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `import netwright` itself is instant."""
    if name not in _LAZY:
        raise AttributeError(f"module 'netwright' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
