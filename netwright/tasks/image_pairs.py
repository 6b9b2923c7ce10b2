"""A folder of images and a folder of their targets, paired by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays
from netwright.tasks.image_folder import SUFFIXES, parts_of, read_numbers, read_parts, same_size

ENDING = re.compile(r"_(mask|label|labels|seg|gt)$", re.IGNORECASE)
COLOURS = 1 << 24
ADVICE = "cut or resize them all to one size"


def read_pairs(folder: Path, *, targets: str, labels: bool) -> Arrays:
    """All pairs of an image in the folder `images` and a file of the same name in the folder `targets`.

    Both may be directly in `folder` or in its sub-folders `train`, `validation` and `test`. Images become [N, C, H, W]
    as `read_parts` gives them; targets too, or with `labels` the numbers stored in them, [N, H, W], colours as
    `colour_numbers` makes them. Raises DataError that names the file or folder at fault.
    """
    found = {part: _paired(place, targets) for part, place in parts_of(folder).items()}
    inputs = read_parts({part: images for part, (images, _) in found.items()}, advice=ADVICE)
    others = {part: paths for part, (_, paths) in found.items()}
    results = {part: _masks(paths) for part, paths in others.items()} if labels else read_parts(others, advice=ADVICE)
    return Arrays.of({part: (inputs[part], results[part]) for part in found})


def _paired(place: Path, targets: str) -> tuple[list[Path], list[Path]]:
    """The images of a part and their targets, in one order."""
    images, others = _files(place / "images"), _files(place / targets)
    lonely = sorted(set(images) ^ set(others))
    if lonely:
        here, missing = ("images", targets) if lonely[0] in images else (targets, "images")
        raise DataError(f"{place / here} has {lonely[0]!r}, {place / missing} has no file of that name; give pairs")
    return [images[name] for name in sorted(images)], [others[name] for name in sorted(images)]


def _files(folder: Path) -> dict[str, Path]:
    """The images in a folder by their name without the ending, and without the `_mask` that masks may have there."""
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; put images and their targets into two folders, paired by name")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            name = ENDING.sub("", path.stem)
            if name in found:
                raise DataError(f"{folder} has {found[name].name} and {path.name}; one name is for one image")
            found[name] = path
    if not found:
        raise DataError(f"{folder} has no images ({', '.join(sorted(SUFFIXES))})")
    return found


def _masks(paths: Sequence[Path]) -> AnyArray:
    same_size(paths, advice=ADVICE)
    return np.stack([_labels(path) for path in paths])


def _labels(path: Path) -> AnyArray:
    """The numbers of a mask, [H, W]; of an image with a palette the places in it, of a coloured one the colours."""
    pixels = read_numbers(path)
    if pixels.ndim == 2:
        return pixels
    return colour_numbers(pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1])


def colour_numbers(colours: AnyArray) -> AnyArray:
    """A number for each colour [..., 3]: of a grey one its value, of others what no grey has; [..., 1] as it is."""
    whole = colours.astype(np.int64)
    if whole.shape[-1] == 1:
        return whole[..., 0]
    grey = (whole == whole[..., :1]).all(axis=-1)
    return np.where(grey, whole[..., 0], COLOURS + whole @ np.array([1 << 16, 1 << 8, 1]))


def colour_of(number: int) -> int | list[int]:
    """What `colour_numbers` made the number of."""
    return number if number < COLOURS else [number >> 16 & 255, number >> 8 & 255, number & 255]
