"""Weights as safetensors, and what a network is made of as JSON; neither can hold a program."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.core.errors import CheckpointError
from netwright.core.files import write_atomic

if TYPE_CHECKING:
    from torch import nn


def describe(model: nn.Module, *, input_shape: Sequence[int]) -> dict[str, Any]:
    """A network's layers as plain JSON: path, type, settings as torch prints them, shapes of the parameters."""
    layers = [
        {
            "path": path,
            "type": type(module).__name__,
            "settings": module.extra_repr(),
            "params": {name: list(p.shape) for name, p in module.named_parameters(recurse=False)},
        }
        for path, module in model.named_modules()
        if not any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False))
    ]
    return {"type": type(model).__name__, "input_shape": list(input_shape), "layers": layers}


def write_weights(model: nn.Module, path: Path, *, architecture: Mapping[str, Any]) -> Path:
    """Write all parameters and buffers to `path` and the architecture to the same name with `.json`."""
    from safetensors.torch import save_model

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.private")
    try:
        save_model(model, str(temporary))
        write_atomic(path, temporary.read_bytes())  # safetensors makes files that nobody else may read
    finally:
        temporary.unlink(missing_ok=True)
    write_atomic(path.with_suffix(".json"), json.dumps(architecture, indent=1))
    return path


def read_weights(model: nn.Module, path: Path) -> None:
    """Fill a model of the same architecture with the weights in a file.

    Raises CheckpointError when the file is damaged or belongs to another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    try:
        load_model(model, str(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} cannot be read as safetensors: {error}") from error
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckpointError(f"{path.name} does not fit {type(model).__name__}: {lines[-1]}") from error
