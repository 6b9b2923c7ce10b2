"""A folder of images, one sub-folder per class, read into arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Pair
from netwright.tasks.images import Size, resized

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".jfif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
PARTS = {
    "train": ("train", "training", "train_set", "training_set"),
    "validation": ("validation", "valid", "val", "dev", "val_set", "validation_set"),
    "test": ("test", "testing", "test_set"),
}
BYTES_AT_MOST = 16 * 2**30
"""What images held in memory may take: more is a mistake of size, which is said before they are read."""
LYING = 4
"""Orientations from here on turn an image by a quarter, as cameras note beside the pixels."""
RESIZE = "set `size: [height, width]` to resize them all"
GREY_MODES = frozenset({"1", "L", "LA"})

Sample = tuple[Path, int]


def read_folder(folder: Path, *, size: Size | None = None) -> Arrays:
    """All images below `folder` as uint8 [N, C, H, W], C being 1 when all of them are grey, else 3.

    Where some have 16 bits, all are float32, of the same range from 0 to 255. The classes are the sub-folders in
    alphabetical order, directly in `folder` or in its sub-folders `train`, `validation` and `test`. Raises DataError
    that names the file or folder at fault.
    """
    parts = parts_of(folder)
    classes = _folder_names(parts["train"])
    if len(classes) == 1 and _folder_names(parts["train"] / classes[0]):
        inside = parts["train"] / classes[0]
        raise DataError(f"{parts['train']} holds one folder alone, and that others; give {inside} as `path`")
    samples = {part: _samples(place, classes, folder) for part, place in parts.items()}
    images = read_parts({part: [path for path, _ in listed] for part, listed in samples.items()}, size=size)
    pairs: dict[str, Pair] = {
        part: (images[part], np.array([number for _, number in listed], dtype=np.int64))
        for part, listed in samples.items()
    }
    return Arrays.of(pairs, classes=tuple(classes))


def read_parts(
    parts: Mapping[str, Sequence[Path]], *, size: Size | None = None, advice: str = RESIZE
) -> dict[str, AnyArray]:
    """Images by part as [N, C, H, W], C being 1 when all of them are grey, else 3, made one size if one is given.

    They are uint8, or float32 of the same range from 0 to 255 where any has 16 bits. Raises DataError that ends with
    `advice` if they differ in size or are too many.
    """
    paths = [path for listed in parts.values() for path in listed]
    if size is None:
        same_size(paths, advice=advice)
        _check_memory(paths, advice)
    ends = np.cumsum([len(listed) for listed in parts.values()])
    return dict(zip(parts, np.split(_stacked(paths, size=size), ends[:-1]), strict=True))


def parts_of(folder: Path) -> dict[str, Path]:
    """The sub-folders of the parts, in upper or lower case; without one for training the folder itself is that."""
    by_name = {name.lower(): folder / name for name in _folder_names(folder)}
    found = {part: by_name[name] for part, names in PARTS.items() for name in names if name in by_name}
    return found if "train" in found else {"train": folder}


def _folder_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not _is_hidden(entry))


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, but those that a system or a program hides."""
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.is_dir() and not _is_hidden(entry):
                yield from _files(entry)
            elif entry.is_file() and not _is_hidden(entry):
                yield entry


def _is_hidden(path: Path) -> bool:
    """Whether it is what a system writes beside the files, such as `._1.png`."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def _check_memory(paths: Sequence[Path], advice: str) -> None:
    width, height = _header(paths[0])[1]
    needed = len(paths) * width * height * (3 if _in_colour(paths) else 1) * (4 if any(map(_is_wide, paths)) else 1)
    if needed > BYTES_AT_MOST:
        raise DataError(f"{len(paths)} images of {width}x{height} pixels take {needed / 2**30:.0f} GiB; {advice}")


def _samples(place: Path, classes: Sequence[str], root: Path) -> list[Sample]:
    unknown = sorted(set(_folder_names(place)) - set(classes))
    if unknown:
        raise DataError(f"{place / unknown[0]} is a class without training images; add some or remove it")
    found: list[Sample] = []
    for number, name in enumerate(classes):
        found += [(path, number) for path in sorted(_files(place / name)) if path.suffix.lower() in SUFFIXES]
    if not found:
        others = passed_over(place)
        raise DataError(
            f"{place} has no images; put them into one sub-folder per class, such as {root.name}/cat/1.png "
            f"({', '.join(sorted(SUFFIXES))})" + (f"; it has {others}" if others else "")
        )
    return found


def passed_over(folder: Path) -> str:
    """The endings of files in a folder that are read as no images, each with how many there are; empty for none."""
    others = (path for path in _files(folder) if path.suffix.lower() not in SUFFIXES)
    counts = Counter(path.suffix.lower() or path.name for path in others)
    return ", ".join(f"{ending} ({count})" for ending, count in sorted(counts.items()))


def _in_colour(paths: Sequence[Path]) -> bool:
    modes = (_header(path)[0] for path in paths)
    return not all(mode in GREY_MODES or mode.startswith("I;16") for mode in modes)


def _is_wide(path: Path) -> bool:
    return _header(path)[0].startswith("I;16")


def read_numbers(path: Path) -> AnyArray:
    """The numbers stored in an image as it is seen, [H, W] or [H, W, C]; of one with a palette, the places in it."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None


def same_size(paths: Sequence[Path], *, advice: str) -> None:
    """Raise DataError when images differ in height or width."""
    first = _header(paths[0])[1]
    for path in paths:
        other = _header(path)[1]
        if other != first:
            raise DataError(
                f"the images differ in size: {paths[0]} is {first[0]}x{first[1]} pixels, {path} is "
                f"{other[0]}x{other[1]}; {advice}"
            )


def _header(path: Path) -> tuple[str, Size]:
    """Mode and (width, height) of an image as it is seen, without decoding it."""
    from PIL import ExifTags, Image

    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) > LYING
            return image.mode, image.size[::-1] if turned else image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None


def _stacked(paths: Sequence[Path], *, size: Size | None) -> AnyArray:
    colour, wide = _in_colour(paths), any(map(_is_wide, paths))
    found: AnyArray = np.empty(0)
    for place, path in enumerate(paths):
        planes = _read(path, colour=colour, size=size)
        if place == 0:
            found = np.empty((len(paths), *planes.shape), np.float32 if wide else np.uint8)
        found[place] = planes
    return found


def _read(path: Path, *, colour: bool, size: Size | None) -> AnyArray:
    """One image as [C, H, W], uint8, or of 16 bits as float32 of the same range."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as stored:
            if stored.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits; save it with 8 or 16")
            image = ImageOps.exif_transpose(stored)
            wide = image.mode.startswith("I;16")
            pixels = np.asarray(image if wide else _opaque(image).convert("RGB" if colour else "L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None
    if wide:
        # Pillow would clip 16 bits to 8, which makes nearly every pixel white; whole numbers would lose the steps.
        pixels = pixels / np.float32(257)
    planes = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    planes = np.repeat(planes, 3, axis=0) if colour and len(planes) == 1 else planes
    return resized(planes[None], size=size)[0] if size else planes


def _opaque(image: Image.Image) -> Image.Image:
    """An image on white where it is transparent: what is stored there may be any colour, and is not seen."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    there = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", there.size, "white"), there)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as an image ({error}); mend or remove it")
