"""The task of making an image of an image, such as denoising or super-resolution, from pairs of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Split
from netwright.tasks.image_pairs import read_pairs
from netwright.tasks.images import Layout, channels_first
from netwright.tasks.npz_file import read_arrays, write_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.real_targets import Images
from netwright.tasks.stored import ArraysTask
from netwright.tasks.targets import Targets
from netwright.tasks.tiles import tiled


class ImageToImage(ArraysTask):
    """Make an image of an image, as in denoising or super-resolution; judged by the peak signal-to-noise ratio.

    An .npz file holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`, both images of
    uint8 or float; a folder has the folders `images` and `targets` with pairs of one name, and may have `train`,
    `validation` and `test` around them. Targets may have another size and other channels than the inputs.
    """

    path: DataPath = Field(description=".npz file, or folder with the folders images and targets")
    loss_function: Literal["l1", "l2"] = Field(
        default="l2", description="mean absolute or mean squared error of the standardised pixels"
    )
    peak: float | None = Field(
        default=None, gt=0, description="range of a pixel in the ratio; default: 255 for uint8, else as in training"
    )
    tile: PositiveInt | None = Field(
        default=None,
        description="cut inputs into squares of this many pixels and targets likewise, after the splitting",
    )
    layout: Layout = Field(default="auto", description="axes of the images in the file, as for image_classification")

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        rows, columns = np.mgrid[:12, :16]
        slopes = rng.uniform(-1, 1, (48, 2, 1, 1))
        clean = 128 + 6 * (slopes[:, 0] * (rows - 6) + slopes[:, 1] * (columns - 8))
        noisy = clean + rng.normal(0, 20, clean.shape)
        pair = (np.clip(np.rint(images), 0, 255).astype(np.uint8) for images in (noisy, clean))
        return {"path": str(write_arrays(*pair, folder=folder))}

    def targets(self) -> Targets:
        return Images(loss_kind=self.loss_function, peak=self.peak)

    def cut(self, split: Split) -> Split:
        return split if self.tile is None else tiled(split, self.tile, where=self.where())

    def prepared(self) -> str:
        return "" if self.tile is None else f"images are cut into tiles of {self.tile}x{self.tile} pixels"

    def load(self) -> Arrays:
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; give the path of an .npz file or of a folder of images")
        if self.path.is_dir():
            return read_pairs(self.path, targets="targets", labels=False)
        return read_arrays(self.path).with_inputs(self._arranged).with_targets(self._arranged)

    def _arranged(self, images: AnyArray) -> AnyArray:
        return channels_first(images, layout=self.layout, where=self.where())
