"""A folder of images and a folder of their targets, paired by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Pair
from netwright.tasks.image_folder import PARTS, SUFFIXES, read_images, read_numbers, same_size


def read_pairs(folder: Path, *, targets: str, labels: bool) -> Arrays:
    """All pairs of an image in the folder `images` and a file of the same name in the folder `targets`.

    Both may be directly in `folder` or in its sub-folders `train`, `validation` and `test`. Images become uint8
    [N, C, H, W]; targets too, or with `labels` the numbers stored in them, [N, H, W]. Raises DataError that names
    the file or folder at fault.
    """
    found = {part: folder / name for part, names in PARTS.items() for name in names if (folder / name).is_dir()}
    places = found if "train" in found else {"train": folder}
    pairs = {part: _pair(place, targets, labels=labels) for part, place in places.items()}
    return Arrays(train=pairs["train"], validation=pairs.get("validation"), test=pairs.get("test"))


def _pair(place: Path, targets: str, *, labels: bool) -> Pair:
    images, others = _files(place / "images"), _files(place / targets)
    lonely = sorted(set(images) ^ set(others))
    if lonely:
        here, missing = ("images", targets) if lonely[0] in images else (targets, "images")
        raise DataError(f"{place / here} has {lonely[0]!r}, {place / missing} has no file of that name; give pairs")
    names = sorted(images)
    inputs = read_images([images[name] for name in names])
    if labels:
        same_size([others[name] for name in names])
        return inputs, np.stack([_labels(others[name]) for name in names])
    return inputs, read_images([others[name] for name in names])


def _files(folder: Path) -> dict[str, Path]:
    """The images in a folder by their name without the ending."""
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; put images and their targets into two folders, paired by name")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in found:
                raise DataError(f"{folder} has {found[path.stem].name} and {path.name}; one name is for one image")
            found[path.stem] = path
    if not found:
        raise DataError(f"{folder} has no images ({', '.join(sorted(SUFFIXES))})")
    return found


def _labels(path: Path) -> AnyArray:
    """The numbers of a mask, [H, W]; of an image with a palette, the places in it."""
    pixels = read_numbers(path)
    if pixels.ndim != 2:
        raise DataError(
            f"{path} is a mask of shape {pixels.shape}; save one class number per pixel, as a grey or palette image"
        )
    return pixels
