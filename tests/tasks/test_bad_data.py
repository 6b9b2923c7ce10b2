"""Data that cannot be used is refused with a sentence that names the source and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netwright.core.errors import ConfigurationError, DataError
from netwright.tasks.data import AnyArray, Arrays, Preprocessing
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.splitting import prepared

IMAGES = np.zeros((12, 1, 4, 4), np.uint8)
LABELS = np.arange(12) % 3


def data(inputs: AnyArray = IMAGES, targets: AnyArray = LABELS, **more: Any) -> object:
    return prepared(
        Arrays(train=(inputs, targets), **more),
        where="mine",
        validation_fraction=0.2,
        test_fraction=0.2,
        calibration_samples=4,
        seed=0,
    )


def with_nan() -> AnyArray:
    images = IMAGES.astype(np.float32)
    images[0, 0, 0, 0] = np.nan
    images[1, 0, 0, 0] = np.inf
    return images


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"inputs": IMAGES[:0]}, "mine: the train part is empty"),
        ({"targets": LABELS[:0]}, "is empty"),
        ({"inputs": IMAGES[:11]}, "has 11 inputs and 12 targets"),
        (
            {"inputs": IMAGES[:, 0, 0, 0]},
            re.escape("inputs of shape (12,); give rows of values [N, values], sequences"),
        ),
        ({"inputs": np.zeros((12, 1, 0, 4))}, "hold no value"),
        ({"inputs": IMAGES.astype(complex)}, "of the type complex128; give numbers"),
        ({"inputs": IMAGES.astype(str)}, "of the type <U3; give numbers"),
        ({"inputs": with_nan()}, "has 2 of 192 input values that are nan, infinite"),
        ({"inputs": np.full(IMAGES.shape, 1e60)}, "too large for float32"),
        ({"targets": LABELS.astype(float)}, "targets of the type float64; whole numbers from 0"),
        ({"targets": LABELS.astype(str)}, "whole numbers from 0 are expected: renumber"),
        ({"targets": np.eye(3, dtype=int)[LABELS]}, re.escape("for one-hot targets: targets.argmax(1)")),
        ({"targets": LABELS - 1}, "has the negative label -1; renumber"),
        ({"targets": LABELS + 1}, "no training sample has the label 0; renumber"),
        ({"targets": LABELS * 2}, "not contiguous: no training sample has the label 1"),
        ({"targets": LABELS + 2**40}, "out of range"),
        ({"targets": LABELS * 0}, "all training samples are of one class"),
        ({"classes": ("a", "b")}, r"the train part has the label 2, out of range for 2 classes \(0 to 1\)"),
        ({"classes": ("a", "b", "c", "d")}, "class 'd' has no training sample"),
        ({"test": (IMAGES, LABELS + 1)}, "the test part has the label 3, out of range for 3 classes"),
        ({"test": (IMAGES[:, :, :2], LABELS)}, r"a test input has the shape \(1, 2, 4\), a train input"),
        ({"validation": (IMAGES / 255, LABELS)}, "the validation inputs are float32, the train inputs uint8"),
        (
            {"targets": np.array([0] * 10 + [1] * 2)},
            r"class '1' has 2 training sample\(s\), too few to split into 3 parts",
        ),
    ],
)
def test_unusable_arrays_are_refused(arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        data(**arrays)


def test_targets_in_one_column_and_whole_numbers_of_any_type_are_taken() -> None:
    assert data(targets=LABELS.astype(np.uint8)[:, None]) is not None
    assert data(inputs=IMAGES.astype(np.int16)) is not None


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("kind", [ImageClassification, SequenceClassification])
def test_a_missing_file_is_named(tmp_path: Path, kind: type[ImageClassification]) -> None:
    with pytest.raises(DataError, match=r"nothing\.npz does not exist; give the path"):
        kind.parse({"path": tmp_path / "nothing.npz"}).data()


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"a": IMAGES, "b": LABELS}, "has no training data: expected x_train and y_train.*it has a, b"),
        ({}, "it has no array"),
        ({"x_train": IMAGES, "y": LABELS, "x": IMAGES}, "has the train inputs twice, as x_train and x"),
        ({"x_train": IMAGES, "y_test": LABELS}, "has x_train but no train targets"),
        ({"x": IMAGES, "X": IMAGES, "y": LABELS}, "differ only by case"),
        ({"x": np.array([{}], dtype=object), "y": LABELS}, "cannot be read.*write plain arrays"),
        ({"x": np.zeros((12, 5, 6, 7)), "y": LABELS}, "have no axis of 1, 3 or 4 channels"),
        ({"x": np.zeros((0, 4, 4)), "y": LABELS}, "the train part is empty"),
    ],
)
def test_a_file_with_the_wrong_arrays_is_refused(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(DataError, match=sentence) as caught:
        ImageClassification(path=path).data()
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_text("not arrays")
    with pytest.raises(DataError, match=r"data\.npz is not an \.npz file; write one with numpy\.savez"):
        ImageClassification(path=path).data()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4), y=LABELS)
    raw = bytearray(path.read_bytes())
    raw[200:216] = bytes(16)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="cannot be read"):
        ImageClassification(path=path).data()


def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, x=IMAGES, y=LABELS)
    with pytest.raises(DataError, match="are not NHW; correct `layout`"):
        ImageClassification(path=path, layout="NHW").data()


def test_sequences_need_a_time_axis(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="are not sequences; give"):
        SequenceClassification(path=saved(tmp_path, x=IMAGES, y=LABELS)).data()


def test_sequences_cannot_be_flipped(tmp_path: Path) -> None:
    task = SequenceClassification(path=saved(tmp_path, x=IMAGES[:, 0], y=LABELS), flip=True)
    with pytest.raises(DataError, match="set flip to false"):
        task.data()


def test_rows_of_unequal_length_cannot_be_written(tmp_path: Path) -> None:
    ragged = np.array([[1, 2], [3]], dtype=object)
    with pytest.raises(DataError, match="perhaps rows of unequal length"):
        SequenceClassification.from_arrays(ragged, LABELS, folder=tmp_path)


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'shift'"):
        ImageClassification.from_arrays(IMAGES, LABELS, folder=tmp_path, shfit=2)


def test_a_batch_that_does_not_fit_the_preprocessing_is_refused() -> None:
    preprocessing = Preprocessing.of(np.zeros((3, 2, 4, 4), np.float32))
    with pytest.raises(DataError, match="2 values along axis 1 was expected"):
        preprocessing(np.zeros((3, 4, 4)))
