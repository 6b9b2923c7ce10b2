"""A matrix kept in a numpy file, such as a task's measurement operator; reads it without torch."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netwright.core.errors import SpaceError

EXPECTED = "expected file.npz:key, the place of a matrix (measurements × unknowns)"


def load_matrix(place: str) -> NDArray[np.float32]:
    """The matrix at `file.npz:key` as 32-bit floats; raises SpaceError when there is none."""
    path, _, key = place.rpartition(":")
    if not path or not key:
        raise SpaceError(f"{EXPECTED}, came {place!r}")
    file = Path(os.path.expandvars(path)).expanduser()
    if not file.is_file():
        raise SpaceError(f"no file at {str(file.absolute())!r}; {EXPECTED}")
    return _read(file.absolute(), key, file.stat().st_mtime_ns)


def matrix_shape(place: str) -> tuple[int, int]:
    """(rows, columns) of the matrix at `file.npz:key`; raises SpaceError when there is none."""
    rows, columns = load_matrix(place).shape
    return rows, columns


@lru_cache(maxsize=8)
def squared_norm(place: str) -> float:
    """The square of the matrix's largest singular value, which bounds the step of a gradient method."""
    return float(np.linalg.norm(load_matrix(place), 2)) ** 2


@lru_cache(maxsize=8)
def _read(file: Path, key: str, changed: int) -> NDArray[np.float32]:
    del changed  # part of the cache's key: a file that was written anew is read anew
    try:
        with np.load(file) as arrays:
            if key not in arrays:
                raise SpaceError(f"{str(file)!r} holds no {key!r}; it holds {', '.join(arrays)}")
            matrix = np.asarray(arrays[key])
    except (ValueError, OSError, TypeError, AttributeError) as error:
        raise SpaceError(f"{str(file)!r} cannot be read as a .npz file: {error}") from None
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.number) or np.iscomplexobj(matrix):
        raise SpaceError(f"{str(file)!r}:{key} is {matrix.dtype} of shape {matrix.shape}; expected a real matrix")
    if not np.isfinite(matrix).all() or not matrix.any():
        raise SpaceError(f"{str(file)!r}:{key} must have finite values that are not all zero")
    stored: NDArray[np.float32] = matrix.astype(np.float32)
    stored.setflags(write=False)
    return stored
