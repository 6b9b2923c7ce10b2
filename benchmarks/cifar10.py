"""CIFAR-10 from the folder named by NETWRIGHT_DATA, for the benchmarks."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

FILES = {"train": "cifar10_train_jpeg95.npz", "test": "cifar10_test_lossless.npz"}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
TILE = 50
"""A stored picture is a square of 50 by 50 images."""


class NoDataError(Exception):
    """Data that cannot be read here; the message says what to do."""


def images(count: int, *, part: str = "train") -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The first images [count, 3, 32, 32] of a part, and their classes [count]."""
    path = (
        Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[1] / "../shared/data")) / "cifar10" / FILES[part]
    )
    if not path.is_file():
        raise NoDataError(f"no data at {path}: set NETWRIGHT_DATA to the folder that holds cifar10/{FILES[part]}")
    with np.load(path) as stored:
        offsets, labels, packed = stored["offsets"], stored["labels"].astype(np.int64), stored["tiles"]
    tiles = []
    for index in range(-(-count // TILE**2)):
        picture = np.asarray(Image.open(io.BytesIO(packed[offsets[index] : offsets[index + 1]].tobytes())))
        squares = picture.reshape(TILE, 32, TILE, 32, 3).transpose(0, 2, 4, 1, 3)
        tiles.append(squares.reshape(-1, 3, 32, 32))
    return np.concatenate(tiles)[:count], labels[:count]
