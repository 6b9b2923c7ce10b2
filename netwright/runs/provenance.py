"""Where a run comes from: versions, machine, code, data, command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from netwright.core.clock import SystemClock
from netwright.evaluation.machine import this_machine

PACKAGES = (
    "netwright", "torch", "numpy", "optuna", "ray", "torch-pruning", "tensorly", "onnx", "onnxscript", "onnxruntime",
    "pandas", "plotly", "pydantic", "safetensors", "scikit-learn",
)  # fmt: skip


def environment(*, seed: int, data_fingerprint: str) -> dict[str, Any]:
    """The facts needed to judge and to repeat a run; an allow-list, so that no secret can slip in."""
    return {
        "started": SystemClock().now(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": _machine(),
        "git": _git(),
        "seed": seed,
        "data": data_fingerprint,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, Any]:
    import dataclasses

    machine = this_machine()
    facts = dataclasses.asdict(machine) if dataclasses.is_dataclass(machine) else dict(machine)
    return {**facts, "system": platform.platform(), "cores": os.cpu_count()}


def _git() -> str:
    """The commit of the working folder, with `-dirty` when it was changed; empty outside a repository.

    Nothing is written there: `git describe --dirty` would renew the index, under a lock that others then meet.
    """
    commit = _told_by_git("describe", "--always", "--abbrev=12")
    changed = commit and _told_by_git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def _told_by_git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 -- whichever git the user has
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
