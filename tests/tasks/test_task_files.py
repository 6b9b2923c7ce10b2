"""Images and sequences of one's own: layouts, names of arrays, folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netwright.core import plugins
from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays
from netwright.tasks.images import channels_first
from netwright.tasks.kinds.fashion_mnist import FashionMnist
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.npz_file import read_arrays
from netwright.tasks.splitting import stratified_order
from netwright.tasks.task import Task

LABELS = np.arange(12) % 3


class Spirals(Task):
    """Tell two spirals apart: a task that defines nothing but `load`."""

    def load(self) -> Arrays:
        angle = np.linspace(0, 6, 20)
        turned = [np.stack([np.cos(angle + a), np.sin(angle * s)], 1) for a in range(5) for s in (1, -1)]
        return Arrays(train=(np.stack(turned), np.arange(10) % 2))


def draw(path: Path, *, size: tuple[int, int] = (6, 4), mode: str = "RGB", value: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode != "RGB" else (value, 0, 0)).save(path)


def folder_of_images(root: Path, *, mode: str = "RGB") -> Path:
    for number in range(4):
        draw(root / "cat" / f"{number}.png", mode=mode, value=10 * number)
        draw(root / "dog" / f"{number}.png", mode=mode, value=200 + number)
    return root


def test_one_method_makes_a_task() -> None:
    task = plugins.build("task", f"{__name__}:Spirals")
    assert isinstance(task, Task)
    assert task.shapes().input == (20, 2)
    assert task.data().classes == ("0", "1")


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((5, 8, 9), "auto", (5, 1, 8, 9)),
        ((5, 8, 9, 3), "auto", (5, 3, 8, 9)),
        ((5, 3, 8, 9), "auto", (5, 3, 8, 9)),
        ((5, 3, 8, 3), "auto", (5, 3, 8, 3)),
        ((5, 3, 8, 3), "NHWC", (5, 3, 3, 8)),
        ((5, 7, 8, 9), "NCHW", (5, 7, 8, 9)),
    ],
)
def test_images_become_channels_first(shape: tuple[int, ...], layout: str, expected: tuple[int, ...]) -> None:
    assert channels_first(np.zeros(shape), layout=layout, where="x").shape == expected


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("x_train", "y_train"),
        ("X_train", "Y_train"),
        ("train_images", "train_labels"),
        ("inputs", "targets"),
        ("images", "labels"),
        ("data", "target"),
        ("train_x", "train_y"),
    ],
)
def test_the_usual_names_of_arrays_are_known(tmp_path: Path, x: str, y: str) -> None:
    named: dict[str, Any] = {x: np.ones((12, 2)), y: LABELS, "x_val": [[1, 2]], "val_y": [0]}
    np.savez(tmp_path / "a.npz", **named)
    arrays = read_arrays(tmp_path / "a.npz")
    assert arrays.train[0].shape == (12, 2)
    assert arrays.validation is not None
    assert arrays.test is None


def test_given_test_samples_stay_the_test_split(tmp_path: Path) -> None:
    test = (np.full((3, 5, 2), 7.0), np.arange(3))
    task = SequenceClassification.from_arrays(
        np.zeros((12, 5, 2)), LABELS, folder=tmp_path, test=test, classes=("a", "b", "c")
    )
    assert np.array_equal(task.test_split().inputs, test[0])
    assert task.data().classes == ("a", "b", "c")
    assert len(task.data().train) + len(task.data().validation) == 12


def test_equal_arrays_share_one_file(tmp_path: Path) -> None:
    made = [SequenceClassification.from_arrays(np.zeros((12, 5)), LABELS, folder=tmp_path) for _ in "ab"]
    assert made[0] == made[1]
    assert len(list(tmp_path.iterdir())) == 1
    assert made[0].path.is_absolute()


def test_each_feature_is_standardised_by_itself(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal((0, 100), (1, 50), (12, 30, 2))
    data = SequenceClassification.from_arrays(inputs, LABELS, folder=tmp_path).data()
    ready = data.preprocessing(data.train.inputs)
    assert np.allclose(ready.std(axis=(0, 1)), 1, atol=1e-4)
    assert len(data.preprocessing.mean) == 2


def test_a_constant_channel_is_only_centred(tmp_path: Path) -> None:
    task = ImageClassification.from_arrays(np.full((12, 4, 4), 0.1), LABELS, folder=tmp_path)
    assert task.data().preprocessing.std == (1.0,)
    assert np.abs(task.data().preprocessing(task.data().train.inputs)).max() < 1e-6


def test_arrays_are_resized_on_request(tmp_path: Path) -> None:
    ramp: AnyArray = np.broadcast_to(np.linspace(0, 1, 8), (12, 3, 8, 8)).astype(np.float32)
    task = ImageClassification.from_arrays(ramp, LABELS, folder=tmp_path, size=(2, 4))
    small = task.data().train.inputs[0]
    assert small.shape == (3, 2, 4)
    assert np.all(np.diff(small[0, 0]) > 0.1)


def test_a_folder_is_read_with_its_sub_folders_as_classes(tmp_path: Path) -> None:
    (folder_of_images(tmp_path) / "cat" / "notes.txt").write_text("no image")
    data = ImageClassification(path=tmp_path).data()
    assert data.classes == ("cat", "dog")
    assert data.train.inputs.shape[1:] == (3, 4, 6)
    for pixels, target in zip(data.train.inputs, data.train.targets, strict=True):
        assert (pixels[0, 0, 0] >= 200) == (target == 1)


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    assert ImageClassification(path=folder_of_images(tmp_path, mode="L")).shapes().input == (1, 4, 6)


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    folder_of_images(tmp_path, mode="L")
    draw(tmp_path / "dog" / "deep.png", mode="I;16", value=257 * 90)
    arrays = ImageClassification(path=tmp_path).load()
    assert arrays.train[0][-1].max() == 90


def test_parts_of_a_folder_are_kept(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        folder_of_images(tmp_path / part)
    data = ImageClassification(path=tmp_path).data()
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 8, 8)


def test_a_class_that_is_only_tested_is_refused(tmp_path: Path) -> None:
    folder_of_images(tmp_path / "train")
    draw(tmp_path / "test" / "fox" / "1.png")
    with pytest.raises(DataError, match="fox is a class without training images"):
        ImageClassification(path=tmp_path).data()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no images; put them into one sub-folder per class"):
        ImageClassification(path=tmp_path).data()


@pytest.mark.parametrize("cut", [0, 20, 50])
def test_an_unreadable_image_is_named(tmp_path: Path, cut: int) -> None:
    broken = folder_of_images(tmp_path) / "dog" / "broken.png"
    broken.write_bytes((tmp_path / "dog" / "0.png").read_bytes()[:cut])
    with pytest.raises(DataError, match=r"broken\.png cannot be read as an image"):
        ImageClassification(path=tmp_path).data()


def test_images_of_differing_size_are_refused_with_their_sizes(tmp_path: Path) -> None:
    draw(folder_of_images(tmp_path) / "dog" / "wide.png", size=(32, 24))
    with pytest.raises(DataError, match=r"0\.png is 6x4 pixels, .*wide\.png is 32x24; set `size:"):
        ImageClassification(path=tmp_path).data()
    assert ImageClassification(path=tmp_path, size=5).shapes().input == (3, 5, 5)


def test_every_beginning_of_a_stratified_order_holds_each_class() -> None:
    targets = np.repeat(np.arange(4), (400, 200, 100, 100))
    order = stratified_order(targets, seed=1)
    assert sorted(order) == list(range(800))
    for size in (8, 80, 400):
        shares = np.bincount(targets[order[:size]], minlength=4) / size
        assert np.allclose(shares, (0.5, 0.25, 0.125, 0.125), atol=1 / size)


def test_the_bundled_fashion_mnist_is_balanced() -> None:
    arrays = FashionMnist().load()
    assert arrays.train[0].shape == (10_000, 1, 28, 28)
    assert arrays.test is not None
    assert np.bincount(arrays.train[1]).tolist() == [1000] * 10
    assert np.bincount(arrays.test[1]).tolist() == [200] * 10
    assert "Sneaker" in arrays.classes
