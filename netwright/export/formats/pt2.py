"""PT2: a program of torch.export with its weights, run by torch without the network's Python classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.export.format import Format
from netwright.export.loaders import template
from netwright.export.torch_program import Runnable, traced, write_proven

if TYPE_CHECKING:
    from torch import nn


class Pt2(Format):
    """One file of torch.export: graph and weights without a pickle, any batch size, run by torch alone.

    The file is run and compared with the network at three batch sizes before it is kept. The length of sequences
    is fixed at that of the example, because torch.export fixes it in recurrent layers; ONNX can leave it open.
    """

    suffix: ClassVar[str] = ".pt2"
    needs: ClassVar[str] = "torch numpy"

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        import torch

        del architecture
        program = traced(model, example)

        def write(target: Path) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.export.save(program, target)

        write_proven(path, write=write, opened=self.opened, model=model, example=example)
        return path

    def scripts(self, path: Path) -> Mapping[str, str]:
        del path
        return {"load.py": template("load_pt2.py")}

    def opened(self, path: Path) -> Runnable:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.export.load(path).module()

        def run(inputs: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return np.asarray(network(torch.from_numpy(np.ascontiguousarray(inputs))).numpy())

        return run
