"""The base of every export format: a model as a file that another program can open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.core.plugins import Plugin

if TYPE_CHECKING:
    from torch import nn


class Format(Plugin, ABC):
    """A file format; `suffix` is the end of its files' names, with the dot."""

    suffix: ClassVar[str]
    needs: ClassVar[str] = ""
    """The packages that its loader imports, as pip calls them."""
    any_length: ClassVar[bool] = False
    """Whether its files take sequences of other lengths than the example's."""

    @abstractmethod
    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        """Write a model in evaluation mode to `path`, whole or not at all; gives the path.

        `example` is a preprocessed float32 batch [batch, *shape]. `architecture` is a plain-JSON description
        of the network for formats that store weights only. The model is not changed.
        Raises ExportError when the format refuses the model.
        """

    def from_onnx(self, file: Path, path: Path) -> Path | None:
        """Write the format's file from a finished ONNX file, which a pass may have made; None if it cannot be."""
        del file, path
        return None

    def opened(self, path: Path) -> Callable[[np.ndarray], np.ndarray] | None:
        """The file ready to run in its runtime: preprocessed inputs [N, *shape] to outputs; None if it holds no graph.

        Raises MissingPackageError when the runtime is not installed.
        """
        del path
        return None

    def scripts(self, path: Path) -> Mapping[str, str]:
        """The scripts that leave with the file, by their names, the loader first; none if netwright has no loader."""
        del path
        return {}

    def calls(self, path: Path) -> Mapping[str, Any]:
        """How the loader runs the file: at most `batch` samples a call, and `options` of the runtime by name."""
        del path
        return {"batch": 256, "options": {}}
