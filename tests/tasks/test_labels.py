"""Labels are taken as people store them, and become class numbers with names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netwright.core.errors import ConfigurationError, DataError
from netwright.tasks.answers import classes
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.sequence_classification import SequenceClassification

IMAGES = np.zeros((60, 4, 4), np.uint8)
TEXTS = np.array(["dog", "cat", "owl"])[np.arange(60) % 3]


def task(folder: Path, **arrays: Any) -> ImageClassification:
    np.savez(folder / "data.npz", **arrays)
    return ImageClassification(path=folder / "data.npz")


def test_texts_become_classes_in_the_order_of_the_alphabet(tmp_path: Path) -> None:
    found = task(tmp_path, x_train=IMAGES, y_train=TEXTS, x_test=IMAGES[:3], y_test=TEXTS[:3]).data()
    assert found.classes == ("cat", "dog", "owl")
    assert found.test.read().targets.tolist() == [1, 0, 2]


def test_given_names_keep_their_order(tmp_path: Path) -> None:
    made = task(tmp_path, x_train=IMAGES, y_train=TEXTS, class_names=["owl", "dog", "cat"])
    assert made.data().classes == ("owl", "dog", "cat")
    assert sorted(np.unique(made.data().train.targets).tolist()) == [0, 1, 2]


def test_texts_of_sequences_are_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(60, 5)), y=TEXTS[:, None])
    assert SequenceClassification(path=tmp_path / "data.npz").data().classes == ("cat", "dog", "owl")


def test_a_text_that_no_training_sample_has_is_refused(tmp_path: Path) -> None:
    made = task(tmp_path, x_train=IMAGES, y_train=TEXTS, x_test=IMAGES[:2], y_test=np.array(["dgo", "cat"]))
    with pytest.raises(DataError, match=r"the label 'dgo' is no class of the training samples; did you mean 'dog'"):
        made.data()


@pytest.mark.parametrize("labels", [np.arange(60) % 2 == 1, (np.arange(60) % 2).astype(float)])
def test_truth_values_and_whole_floats_are_class_numbers(tmp_path: Path, labels: Any) -> None:
    assert task(tmp_path, x=IMAGES, y=labels).data().classes == ("0", "1")


def test_floats_with_a_fraction_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="targets of the type float64; whole numbers from 0"):
        task(tmp_path, x=IMAGES, y=np.arange(60) / 7).data()


def test_python_objects_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds Python objects.*texts as numpy\.array\(texts, dtype=str\)"):
        task(tmp_path, x=IMAGES, y=TEXTS.astype(object)).data()


@pytest.mark.parametrize("size", [0, -3, "big", [16, 12, 3], True, 2.5])
def test_a_size_that_is_none_is_explained_once(tmp_path: Path, size: object) -> None:
    with pytest.raises(
        ConfigurationError, match=r"size: give a number of pixels, such as 32, or \[height, width\]"
    ) as e:
        ImageClassification.parse({"path": tmp_path, "size": size})
    assert "constrained" not in str(e.value)


def test_balanced_accuracy_counts_every_class_alike() -> None:
    targets = np.array([0] * 8 + [1] * 2)
    found = classes.scores(np.tile([1.0, 0.0], (10, 1)), targets, {})
    assert found["accuracy"] == 0.8
    assert found["balanced_accuracy"] == 0.5
