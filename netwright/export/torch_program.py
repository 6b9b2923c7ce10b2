"""Networks as programs of torch.export, from which `.pt2` and `.pte` files are made, and the proof of such files."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netwright.core.errors import ExportError
from netwright.export.parity import check_parity

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

Runnable = Callable[[np.ndarray], np.ndarray]
"""Takes a preprocessed float32 batch [N, *shape] and gives the outputs [N, ...]."""

SIZES = (1, 2, 5)
ROWS = 16
"""Samples to trace with: recurrent layers fix the batch axis of a small example."""


def traced(model: nn.Module, example: np.ndarray, *, largest_batch: int | None = None) -> ExportedProgram:
    """The network in evaluation mode as a program for any batch size, for at most `largest_batch` samples, or for one.

    `example` is a preprocessed float32 batch [batch, *shape]. The program says nothing of this machine. The model is
    not changed. Raises ExportError when torch.export cannot follow the network, or the batch axis came out fixed.
    """
    import torch
    from torch.export import Dim, export

    plain = copy.deepcopy(model).cpu().eval()
    rows = 1 if largest_batch == 1 else ROWS
    batch = torch.from_numpy(np.resize(example, (rows, *example.shape[1:])).astype(np.float32, copy=False))
    # an example as large as the largest batch would fix the axis
    axis = Dim("batch") if largest_batch is None else Dim("batch", min=1, max=max(largest_batch, ROWS + 1))
    free = None if rows == 1 else ({0: axis},)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = export(plain, (batch,), dynamic_shapes=free)
    except Exception as error:
        # torch.export raises errors of a dozen kinds for what it cannot follow
        raise ExportError(f"{type(model).__name__} cannot be followed by torch.export: {reason(error)}") from error
    program.example_inputs = None  # they would be written as a pickle
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if hasattr(graph, "graph") else ():
            node.meta.pop("stack_trace", None)
    return program


def write_proven(
    path: Path,
    *,
    write: Callable[[Path], None],
    opened: Callable[[Path], Runnable],
    model: nn.Module,
    example: np.ndarray,
) -> Path:
    """Write a file, run it in its runtime at batch sizes 1, 2 and 5, and only then give it its name.

    Raises ParityError when the file does not compute what the model does, and ExportError when it does not run.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        try:
            run = opened(temporary)
            check_parity(run, model, example.astype(np.float32, copy=False), sizes=SIZES)
        except RuntimeError as error:
            raise ExportError(f"the {path.suffix} file does not run: {reason(error)}") from error
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def reason(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
