"""Small training sets: smaller batches, and several times through the samples in one epoch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netwright.compression.recipe import Recipe
from netwright.nas.relaxed_training import RelaxedTraining
from netwright.nas.supernet_training import SupernetTraining
from netwright.runs.specification import RunSpecification, Search
from netwright.tasks.batches import Batches
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.settings import Training
from netwright.tasks.training import fit
from netwright.tasks.training_hook import TrainingHook


class Counted(TrainingHook):
    """Counts the steps of each epoch, and what the hook was told of them."""

    def __init__(self) -> None:
        self.told = 0
        self.made: list[int] = [0]

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        self.told = steps

    def stepped(self) -> None:
        self.made[-1] += 1

    def epoch_done(self, epoch: int) -> None:
        self.made.append(0)


@pytest.fixture
def waves(tmp_path: Path) -> SequenceClassification:
    """Fifty sequences of two classes: as many as in the smallest sets of the UCR archive."""
    rng = np.random.default_rng(0)
    labels = np.arange(50) % 2
    places = np.linspace(0, 6, 20) * (1 + labels[:, None])
    inputs = np.sin(places)[..., None] + 0.1 * rng.normal(size=(50, 20, 1))
    path = tmp_path / "waves.npz"
    np.savez(path, x_train=inputs.astype("float32"), y_train=labels, x_test=inputs.astype("float32"), y_test=labels)
    return SequenceClassification(path=path)


@pytest.mark.parametrize(
    ("samples", "batch"), [(20, 16), (400, 16), (640, 32), (1279, 32), (1280, 64), (2560, 128), (10**6, 128)]
)
def test_an_epoch_of_a_small_set_has_smaller_batches(samples: int, batch: int) -> None:
    assert Training().batch_of(samples) == batch
    assert Training(batch_size=100).batch_of(samples) == 100


def test_supernets_and_relaxed_networks_take_more_steps_on_a_small_set_too(waves: SequenceClassification) -> None:
    samples = len(waves.data().train)
    assert len(Batches(waves, batch_size=None, seed=0)) == math.ceil(samples / 16)
    assert SupernetTraining().batch_size is RelaxedTraining().batch_size is None


def _trained(task: SequenceClassification, training: Training) -> tuple[Counted, list[Any]]:
    counted = Counted()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    return counted, fit(model, task, training=training, seed=0, hooks=[counted]).rows


def test_an_epoch_goes_through_a_small_set_until_there_are_enough_steps(waves: SequenceClassification) -> None:
    train = len(waves.data().train)
    once = -(-train // 16)
    counted, rows = _trained(waves, Training(epochs=3, steps=30))
    assert counted.made == [counted.told] * 3 + [0]
    assert counted.told * 3 == pytest.approx(30, abs=1.5 * once)
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_epochs_that_were_asked_for_are_what_they_say(waves: SequenceClassification) -> None:
    counted, _ = _trained(waves, Training(epochs=2, batch_size=16))
    assert counted.told == -(-len(waves.data().train) // 16)
    assert counted.made == [counted.told] * 2 + [0]


def test_a_setting_left_out_is_the_usual_one_of_its_place() -> None:
    search = Search.parse({"executor": "inline", "training": {"learning_rate": 0.01}})
    assert (search.training.epochs, search.training.steps, search.training.learning_rate) == (3, 200, 0.01)
    recipe = Recipe.parse({"passes": ["quantize"], "fine_tune": {"batch_size": 8}})
    assert (recipe.fine_tune.epochs, recipe.fine_tune.learning_rate, recipe.fine_tune.batch_size) == (2, 0.001, 8)


def test_whoever_gives_epochs_gives_the_steps_too() -> None:
    data = {"task": "digits", "space": "mlp", "winner": {"training": {"epochs": 4}}}
    specification = RunSpecification.parse(data)
    assert (specification.winner.training.epochs, specification.winner.training.steps) == (4, None)
    again = RunSpecification.parse(specification.to_json())
    assert again.winner.training == specification.winner.training
    assert again.search.training == specification.search.training == Training(epochs=3, steps=200)


def test_the_last_rung_says_the_epochs_where_other_settings_are_given() -> None:
    given = {"training": {"batch_size": 32}, "fidelity": {"rungs": [2, 8]}}
    assert Search.parse(given).training.epochs == 8


def test_the_length_of_a_training_is_told_and_that_it_is_too_short() -> None:
    assert Training(epochs=12, steps=500).told(42) == "12 epochs of 42 steps"
    assert Training(epochs=12).told(10_000) == "12 epochs of 79 steps"
    assert Training(epochs=1, samples=320, batch_size=2).told(10_000) == "160 steps"
    assert Training(epochs=5).told(42) == "5 epochs of 3 steps, few for a network: more epochs may help"
