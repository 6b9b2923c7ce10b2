"""Large images cut into squares, inputs and targets alike."""

from __future__ import annotations

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Split


def tiled(split: Split, size: int, *, where: str) -> Split:
    """Squares of `size` pixels of the inputs [N, C, H, W] and the same places of the targets [N, ..., H', W'].

    Targets may be an integer number of times as large or as small. What is left at the edges is dropped. Raises
    DataError when an image is smaller than a square, or the sizes do not match.
    """
    height, width = split.inputs.shape[2:]
    if height < size or width < size:
        raise DataError(
            f"{where}: images of {height}x{width} pixels have no tile of {size}x{size}; make `tile` smaller"
        )
    other = split.targets.shape[-2:]
    if other[0] * width != other[1] * height or (other[0] * size) % height:
        raise DataError(
            f"{where}: tiles of {size}x{size} of images of {height}x{width} pixels have no whole counterpart in "
            f"targets of {other[0]}x{other[1]}; choose another `tile`"
        )
    return Split(_squares(split.inputs, size), _squares(split.targets, other[0] * size // height))


def _squares(images: AnyArray, size: int) -> AnyArray:
    """Images [N, ..., H, W] as [N * rows * columns, ..., size, size], image by image."""
    rows, columns = images.shape[-2] // size, images.shape[-1] // size
    kept = images[..., : rows * size, : columns * size]
    parts = kept.reshape(*images.shape[:-2], rows, size, columns, size)
    ordered = np.moveaxis(parts, (-4, -2), (1, 2))
    return np.ascontiguousarray(ordered.reshape(-1, *images.shape[1:-2], size, size))
