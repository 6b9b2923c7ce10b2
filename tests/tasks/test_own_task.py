"""What goes wrong in a task of somebody's own is told as theirs to mend."""

from __future__ import annotations

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.tasks.data import Arrays
from netwright.tasks.task import Task


class Forgotten(Task):
    """Has no `load`."""


class WrongAnswer(Task):
    """Its `load` gives an array."""

    def load(self) -> Arrays:
        return np.zeros(3)  # type: ignore[return-value]


class NoPair(Task):
    """Its `load` gives inputs alone."""

    def load(self) -> Arrays:
        return Arrays(train=np.zeros((3, 4)))  # type: ignore[arg-type]


class MissingFile(Task):
    """Its `load` opens a file that is not there."""

    def load(self) -> Arrays:
        return Arrays(train=np.load("/nowhere/data.npy"))


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (Forgotten, r"Forgotten\.load failed: .*must define load"),
        (WrongAnswer, r"WrongAnswer\.load gave a ndarray; return Arrays"),
        (NoPair, r"NoPair\.load gave no pair of inputs and targets as train"),
        (MissingFile, r"MissingFile\.load failed: FileNotFoundError: .*/nowhere/data\.npy"),
    ],
)
def test_a_load_that_fails_is_named_with_its_reason(task: type[Task], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        task().data()
