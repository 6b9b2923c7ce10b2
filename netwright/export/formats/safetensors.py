"""safetensors: the weights as plain arrays, with the architecture and what is computed as JSON; never a pickle."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.core.errors import ExportError
from netwright.core.files import write_atomic
from netwright.export.format import Format
from netwright.export.loaders import template
from netwright.export.torch_program import Runnable, traced
from netwright.export.weights import describe, write_weights

if TYPE_CHECKING:
    from torch import nn

CALLS = ".calls.json"


class Safetensors(Format):
    """Weights in a safetensors file and the architecture in a JSON file of the same name.

    What is computed lies beside them as a list of calls of torch's operators, `NAME.calls.json`, which torch alone
    runs, for any batch size; it is left out for a network that torch.export cannot follow.
    """

    suffix: ClassVar[str] = ".safetensors"
    needs: ClassVar[str] = "torch safetensors numpy"

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        from safetensors import safe_open

        from netwright.export.calls_writer import calls_of

        write_weights(model, path, architecture=architecture or describe(model, input_shape=example.shape[1:]))
        with safe_open(path, framework="pt") as file:
            stored = file.metadata()  # the names of shared weights, with the name under which they are in the file
        calls = path.with_suffix(CALLS)
        calls.unlink(missing_ok=True)
        try:
            said = calls_of(traced(model, example), stored=stored or {})
        except ExportError:
            return path
        write_atomic(calls, json.dumps(said) + "\n")
        return path

    def opened(self, path: Path) -> Runnable | None:
        import torch
        from safetensors.torch import load_file

        from netwright.export.calls import read_calls

        if not path.with_suffix(CALLS).exists():
            return None
        run, weights = read_calls(path.with_suffix(CALLS)), load_file(path)

        def computed(inputs: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return np.asarray(run(weights, torch.from_numpy(np.ascontiguousarray(inputs))).numpy())

        return computed

    def scripts(self, path: Path) -> Mapping[str, str]:
        from netwright.export import calls

        if not path.with_suffix(CALLS).exists():
            return {}
        return {"load.py": template("load_safetensors.py"), "calls.py": inspect.getsource(calls)}
