"""safetensors: the weights as plain arrays, with the architecture as JSON beside them; never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.export.format import Format
from netwright.export.weights import describe, write_weights

if TYPE_CHECKING:
    from torch import nn


class Safetensors(Format):
    """Weights in a safetensors file and the architecture in a JSON file of the same name."""

    suffix: ClassVar[str] = ".safetensors"

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        return write_weights(model, path, architecture=architecture or describe(model, input_shape=example.shape[1:]))
