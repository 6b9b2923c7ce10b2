"""PTE: a program for ExecuTorch, PyTorch's runtime for phones and microcontrollers, with XNNPACK's kernels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from netwright.core.errors import ExportError, MissingPackageError
from netwright.core.files import write_atomic
from netwright.export.format import Format
from netwright.export.torch_program import Runnable, reason, traced, write_loader, write_proven

if TYPE_CHECKING:
    from torch import nn


class Pte(Format):
    """One file for ExecuTorch, whose XNNPACK kernels run it on phones and on this machine; needs an extra package.

    The file is run in ExecuTorch and compared with the network at three batch sizes before it is kept. Memory is
    planned for `largest_batch` samples; the length of sequences is fixed, and recurrent layers are refused.
    """

    suffix: ClassVar[str] = ".pte"
    largest_batch: int = Field(default=64, ge=16, description="samples of one call, for which memory is planned")

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        del architecture
        content = self._lowered(model, example)
        written = write_proven(
            path,
            write=lambda target: write_atomic(target, content),
            opened=self.opened,
            model=model,
            example=example[: self.largest_batch],
        )
        write_loader(written, "load_pte.py")
        return path

    def opened(self, path: Path) -> Runnable:
        import torch

        try:
            from executorch.runtime import Runtime
        except ImportError as error:
            raise _missing(error) from None
        program = Runtime.get().load_program(path)
        # the runtime crashes when a program ends before its methods, so both are held by what is given back
        held = (program, program.load_method("forward"))

        def run(inputs: np.ndarray) -> np.ndarray:
            forward = held[1]
            batches = np.split(inputs, range(self.largest_batch, len(inputs), self.largest_batch))
            found = [
                forward.execute([torch.from_numpy(np.ascontiguousarray(one))])[0].numpy().copy() for one in batches
            ]
            return np.concatenate(found)

        return run

    def _lowered(self, model: nn.Module, example: np.ndarray) -> bytes:
        """The file's content."""
        from torch import nn

        recurrent = [path for path, layer in model.named_modules() if isinstance(layer, nn.RNNBase)]
        if recurrent:
            # lowering unrolls them for minutes, into a program that then refuses other batch sizes
            raise ExportError(
                f"{recurrent[0]} is a recurrent layer, whose lowered program does not run at every batch size in "
                "ExecuTorch; export the network as onnx or pt2"
            )
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
        except ImportError as error:
            raise _missing(error) from None
        program = traced(model, example, largest_batch=self.largest_batch)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
                return bytes(lowered.to_executorch().buffer)
        except Exception as error:
            # the stages of lowering raise errors of many kinds for what they cannot express
            raise ExportError(f"{type(model).__name__} cannot be lowered to ExecuTorch: {reason(error)}") from error


def _missing(error: ImportError) -> MissingPackageError:
    return MissingPackageError(
        f"ExecuTorch is needed for .pte files and cannot be imported ({error}); pip install 'netwright[executorch]'"
    )
