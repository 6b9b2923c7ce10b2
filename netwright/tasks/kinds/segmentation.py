"""The task of telling the class of every pixel, in images and masks of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Split
from netwright.tasks.image_folder import parts_of
from netwright.tasks.image_pairs import colour_numbers, colour_of, read_pairs
from netwright.tasks.images import Layout, channels_first
from netwright.tasks.label_targets import Masks
from netwright.tasks.npz_file import read_arrays, write_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.stored import ArraysTask
from netwright.tasks.targets import Targets
from netwright.tasks.tiles import tiled

MOST_CLASSES = 64
"""Masks of more values than these are no list of classes that somebody would write."""
JPEG = (".jpg", ".jpeg", ".jfif")


class Segmentation(ArraysTask):
    """Tell the class of every pixel: an .npz file of images and masks, or a folder `images` beside one `masks`.

    The file holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`; masks are whole
    numbers [N, height, width] from 0. In a folder, an image and its mask have one name (or that
    of the mask ends in `_mask`); `train`, `validation` and
    `test` folders may be around both. Judged by the mean intersection over union.
    """

    path: DataPath = Field(description=".npz file, or folder with the folders images and masks")
    ignore_label: int | None = Field(default=None, description="pixels of this label are neither learnt nor scored")
    mask_values: tuple[int | tuple[int, int, int], ...] = Field(
        default=(),
        description="the values in the masks that stand for class 0, 1 and so on, such as [0, 255], or colours such as "
        "[[0, 0, 0], [255, 0, 0]]",
    )
    tile: PositiveInt | None = Field(
        default=None,
        description="cut images and masks into squares of this many pixels, after the splitting; the rest is dropped",
    )
    layout: Layout = Field(default="auto", description="axes of the images in the file, as for image_classification")

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        rows, columns = np.mgrid[:12, :16]
        centres = rng.integers(3, 9, (40, 2, 1, 1))
        masks = ((rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < 12).astype(np.uint8)
        images = 60 + 120 * masks + rng.integers(0, 60, masks.shape)
        masks[:, 0] = 255
        path = write_arrays(images.astype(np.uint8), masks, folder=folder, classes=("ground", "disc"))
        return {"path": str(path), "ignore_label": 255}

    def targets(self) -> Targets:
        return Masks(ignored=self.ignore_label, values=self.mask_values)

    def cut(self, split: Split) -> Split:
        return split if self.tile is None else tiled(split, self.tile, where=self.where())

    def prepared(self) -> str:
        return "" if self.tile is None else f"images are cut into tiles of {self.tile}x{self.tile} pixels"

    def load(self) -> Arrays:
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; give the path of an .npz file or of a folder of images")
        found = self._read()
        if self.path.is_dir() and not self.mask_values:
            self._check_values(found.train[1])
        return found.with_targets(self._numbered) if self.mask_values else found

    def _folder(self) -> str:
        """The name of the folders of masks."""
        there = {entry.name for place in parts_of(self.path).values() for entry in place.iterdir()}
        return "labels" if "labels" in there and "masks" not in there else "masks"

    def _read(self) -> Arrays:
        if self.path.is_dir():
            return read_pairs(self.path, targets=self._folder(), labels=True)
        return read_arrays(self.path).with_inputs(
            lambda images: channels_first(images, layout=self.layout, where=self.where())
        )

    def _check_values(self, masks: AnyArray) -> None:
        """Raise DataError with the list to write when few values, far apart, stand for the classes."""
        values = [value for value in np.unique(masks).tolist() if value != self.ignore_label]
        if values == list(range(len(values))):
            return
        if (len(values) > MOST_CLASSES and values[-1] > 255) or self._in_jpeg():
            raise self._changed(len(values))
        if len(values) <= MOST_CLASSES:
            raise DataError(
                f"{self.path} has masks that hold {', '.join(map(str, map(colour_of, values)))}; say which class each "
                f"stands for, from 0 on, by `mask_values: {list(map(colour_of, values))}`, or set `ignore_label`"
            )

    def _in_jpeg(self) -> bool:
        places = [place / self._folder() for place in parts_of(self.path).values()] if self.path.is_dir() else []
        return any(path.suffix.lower() in JPEG for place in places for path in place.iterdir())

    def _changed(self, values: int) -> DataError:
        return DataError(
            f"{self.path} has masks of {values} different values; save them without compression that changes values, "
            "as .png"
        )

    def _numbered(self, masks: AnyArray) -> AnyArray:
        """Masks with class numbers in place of the values that stand for them."""
        numbers = np.full(masks.shape, -1, np.int64)
        for number, given in enumerate(self.mask_values):
            value = given if isinstance(given, int) else colour_numbers(np.array(given))
            numbers[masks == value] = number
        if self.ignore_label is not None:
            numbers[masks == self.ignore_label] = self.ignore_label
        strange = masks[(numbers < 0) & (numbers != self.ignore_label)]
        if strange.size and self._in_jpeg():
            raise self._changed(len(np.unique(masks)))
        if strange.size:
            known = [list(value) if isinstance(value, tuple) else value for value in self.mask_values]
            raise DataError(
                f"{self.path} has masks with the value {colour_of(int(strange[0]))}, which is not among the "
                f"mask_values {known}; add it, or name it as ignore_label"
            )
        return numbers
