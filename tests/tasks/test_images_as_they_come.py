"""Masks that are turned as their images are, and images of more than 8 bits."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from netwright.tasks import data
from netwright.tasks.checks import checked
from netwright.tasks.data import Preprocessing
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


def test_one_part_of_an_image_folder_may_have_16_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, kind in (("train", np.uint8), ("test", np.uint16)):
        for number in range(12):
            pixels = rng.integers(0, 256, (6, 6), dtype=np.uint8)
            for name, stored in (
                ("images", pixels.astype(kind) * (257 if kind is np.uint16 else 1)),
                ("masks", pixels % 2),
            ):
                place = tmp_path / part / name
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(stored).save(place / f"{number:02}.png")
    found = Segmentation(path=tmp_path).data()
    images, masks = found.test.read().inputs, found.test.read().targets
    assert np.array_equal(images[:, 0] % 2, masks)
    assert found.train.inputs.dtype == images.dtype == np.float32


def peak_of(made: Callable[[], Any]) -> int:
    """The most bytes that are taken at once while something is made the second time, after all imports."""
    made()
    tracemalloc.start()
    made()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_reading_images_of_16_bits_takes_little_more_memory_than_they_do(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 1 << 16, (40, 128, 128)).astype(np.uint16)
    for number, one in enumerate(pixels):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(one).save(tmp_path / "ab"[number % 2] / f"{number:02}.png")
    task = ImageClassification(path=tmp_path)
    assert peak_of(lambda: checked(task.load(), task.targets(), where="")) < 1.5 * pixels.size * 4


def test_statistics_are_taken_of_a_bounded_number_of_values_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 255, (400, 3, 16, 16), dtype=np.uint8)
    whole = Preprocessing.of(images)
    monkeypatch.setattr(data, "VALUES_AT_ONCE", 20_000)
    assert peak_of(lambda: Preprocessing.of(images)) < 4 * 8 * 20_000 < 4 * images.size
    assert Preprocessing.of(images).std == pytest.approx(whole.std)
