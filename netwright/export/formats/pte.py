"""PTE: a program for ExecuTorch, PyTorch's runtime for phones and microcontrollers, with XNNPACK's kernels."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from netwright.core.errors import ExportError, MissingPackageError
from netwright.core.files import write_atomic
from netwright.export.format import Format
from netwright.export.loaders import template
from netwright.export.torch_program import Runnable, reason, traced, write_proven

if TYPE_CHECKING:
    from torch import nn


class Pte(Format):
    """One file for ExecuTorch, whose XNNPACK kernels run it on phones and on this machine; needs an extra package.

    The file is run in ExecuTorch and compared with the network at three batch sizes before it is kept. Memory is
    planned for `largest_batch` samples, with recurrent layers for one; the length of sequences is fixed.
    """

    suffix: ClassVar[str] = ".pte"
    needs: ClassVar[str] = "executorch numpy"
    largest_batch: int = Field(default=64, ge=16, description="samples of one call, for which memory is planned")

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        del architecture
        with _quiet():
            content = self._lowered(model, example)
            write_proven(
                path,
                write=lambda target: write_atomic(target, content),
                opened=self.opened,
                model=model,
                example=example[: self.largest_batch],
            )
        return path

    def scripts(self, path: Path) -> Mapping[str, str]:
        del path
        return {"load.py": template("load_pte.py")}

    def calls(self, path: Path) -> Mapping[str, Any]:
        del path
        return {"batch": 1, "options": {}}

    def opened(self, path: Path) -> Runnable:
        import torch

        with _quiet():
            try:
                from executorch.runtime import Runtime
            except ImportError as error:
                raise _missing(error) from None
            program = Runtime.get().load_program(path)
            # the runtime crashes when a program ends before its methods, so both are held by what is given back
            held = (program, program.load_method("forward"))
        largest = held[1].metadata.input_tensor_meta(0).sizes()[0]

        def run(inputs: np.ndarray) -> np.ndarray:
            parts = torch.split(torch.from_numpy(np.ascontiguousarray(inputs)), largest)
            return np.concatenate([held[1].execute([part])[0].numpy().copy() for part in parts])

        return run

    def _lowered(self, model: nn.Module, example: np.ndarray) -> bytes:
        """The file's content."""
        from torch import nn

        # the state that a lowered recurrent layer begins with is of one size
        recurrent = any(isinstance(layer, nn.RNNBase) for layer in model.modules())
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
        except ImportError as error:
            raise _missing(error) from None
        program = traced(model, example, largest_batch=1 if recurrent else self.largest_batch)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
                return bytes(lowered.to_executorch().buffer)
        except Exception as error:
            # the stages of lowering raise errors of many kinds for what they cannot express
            raise ExportError(f"{type(model).__name__} cannot be lowered to ExecuTorch: {reason(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Show what ExecuTorch and its imports write to stderr, such as their look at the machine, only where they fail."""
    shown = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as written, redirect_stderr(written):
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            os.write(shown, written.read().encode())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def _missing(error: ImportError) -> MissingPackageError:
    return MissingPackageError(
        f"ExecuTorch is needed for .pte files and cannot be imported ({error}); pip install 'netwright[executorch]'"
    )
