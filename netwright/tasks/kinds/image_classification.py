"""The task of classifying images of one's own: an .npz file or a folder with one sub-folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt, field_validator

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays
from netwright.tasks.image_folder import SUFFIXES, passed_over, read_folder, read_parts
from netwright.tasks.images import Layout, Size, channels_first, resized
from netwright.tasks.npz_file import read_arrays, write_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.stored import ArraysTask, LabelledRows
from netwright.tasks.table import is_table
from netwright.tasks.tag_targets import SampleLabels


class ImageClassification(LabelledRows, ArraysTask):
    """Classify images from an .npz file or from a folder with one sub-folder per class.

    The file holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`; the
    images may be uint8 or float, and grey or coloured. A folder may have `train`, `validation` and `test`
    sub-folders around the classes. A table has a row of names and a row for each image, with its file and its class.
    """

    path: DataPath = Field(
        description=".npz file, folder with one sub-folder of images per class, or table that names files and classes"
    )
    file: str = Field(default="file", description="name of a table's column of files")
    folder: DataPath | None = Field(
        default=None, description="folder that the files of a table lie in; default: the table's"
    )
    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = Field(
        default=None, description="resize all images to this height and width"
    )
    layout: Layout = Field(
        default="auto",
        description="axes of the arrays in the file; auto: an axis of 1, 3 or 4 values is the channels, "
        "and where both the second and the last one would do, the second is taken",
    )

    @field_validator("size", mode="before")
    @classmethod
    def _pixels(cls, size: object) -> object:
        given = [size] if isinstance(size, int) else size
        if given is None:
            return None
        if not isinstance(given, list | tuple) or len(given) not in (1, 2) or not all(_positive(one) for one in given):
            raise ValueError("give a number of pixels, such as 32, or [height, width], such as [32, 48]")
        return size

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        targets = np.arange(60) % 3
        images = rng.integers(0, 60, (60, 8, 10, 3)) + 60 * targets[:, None, None, None]
        path = write_arrays(images.astype(np.uint8), targets, folder=folder, classes=("low", "middle", "high"))
        return {"path": str(path)}

    def prepared(self) -> str:
        said = []
        if self.path.is_dir() or is_table(self.path):
            said = [
                "files are read by Pillow, turned by ImageOps.exif_transpose, put on white where they are transparent, "
                f"16 bits divided by 257, and made {'grey' if self.shapes().input[0] == 1 else 'RGB'}"
            ]
        if self.size is not None:
            height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
            said += [
                f"images are resized to height {height} and width {width} (bilinear with anti-aliasing, as by Pillow)"
            ]
        return "; then ".join(said)

    def remarks(self) -> tuple[str, ...]:
        others = passed_over(self.path) if self.path.is_dir() else ""
        names = ", ".join(sorted(SUFFIXES))
        said = f"files passed over, since their names are not those of images ({names}): {others}"
        return (*super().remarks(), *([said] if others else []))

    def load(self) -> Arrays:
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; give the path of an .npz file or of a folder of images")
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        if is_table(self.path):
            return self._listed(size)
        self.check_no_columns()
        if self.path.is_dir() and isinstance(self.targets(), SampleLabels):
            raise DataError(
                f"{self.path}: a folder per class gives an image one class; for several labels name the images in a "
                "table with a column for each label, and give that as `path`"
            )
        if self.path.is_dir():
            return read_folder(self.path, size=size)

        def made(images: AnyArray) -> AnyArray:
            images = channels_first(images, layout=self.layout, where=self.where())
            return resized(images, size=size) if size and images.dtype.kind in "buif" else images

        return self.numbered(read_arrays(self.path).with_inputs(made))

    def _listed(self, size: Size | None) -> Arrays:
        """The images that a table names, and their classes or labels."""
        found, folder = self.numbered(self.rows("file")), self.folder or self.path.parent
        parts = found.parts()
        files = {part: [folder / name for name in names.tolist()] for part, (names, _) in parts.items()}
        paths = [path for listed in files.values() for path in listed]
        if missing := [path for path in paths if not path.is_file()]:
            more = f", nor are {len(missing) - 1} more of {len(paths)}" if len(missing) > 1 else ""
            raise DataError(
                f"{self.path}: {missing[0]} is not there{more}; `file` names the column of files with their endings, "
                "`folder` the folder that they lie in"
            )
        images = iter(read_parts(files, size=size).values())
        return found.with_inputs(lambda _: next(images))


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
