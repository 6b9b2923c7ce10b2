"""Masks that are turned as their images are, and images of more than 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.segmentation import Segmentation

QUARTER = 6


def turned(pixels: np.ndarray, path: Path) -> None:
    """Write an image as a camera that was held upright: a quarter to the left, with a note to turn it back."""
    note = Image.Exif()
    note[ExifTags.Base.Orientation] = QUARTER
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rot90(pixels)).save(path, exif=note)


def test_masks_are_turned_as_their_images_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (8, 6, 6), dtype=np.uint8)
    for number, mask in enumerate(masks):
        turned(mask * 100 + 50, tmp_path / "images" / f"{number}.png")
        turned(mask, tmp_path / "masks" / f"{number}.png")
    images, found = Segmentation(path=tmp_path).load().train
    assert np.array_equal(found, masks)
    assert np.array_equal(images[:, 0], masks * 100 + 50)


def test_images_of_12_bits_in_16_keep_their_steps(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (16, 6, 6)).astype(np.uint16)
    for number, one in enumerate(pixels):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(one).save(tmp_path / "ab"[number % 2] / f"{number:02}.png")
    task = ImageClassification(path=tmp_path)
    found = task.load().train[0]
    assert np.array_equal(np.unique(found), np.unique(pixels.astype(np.float32) / 257))
    assert "16 bits divided by 257" in task.prepared()


def test_images_that_stand_in_two_parts_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 255, (6, 6), dtype=np.uint8)
        for part in ("train", "test") if number < 4 else ("validation" if number > 19 else "train",):
            place = tmp_path / part / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number}.png")
    assert ImageClassification(path=tmp_path).remarks() == (
        "4 of 8 validation and test samples are among the training samples too: scores will be better than on new ones",
    )
    assert ImageClassification(path=tmp_path / "train").remarks() == ()
