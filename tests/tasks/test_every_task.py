"""What every task must keep; a new file in `netwright/tasks/kinds` is found and checked by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netwright.core import plugins
from netwright.tasks.data import AnyArray, Preprocessing, TaskData
from netwright.tasks.task import Task
from netwright.tasks.training import Training, evaluate, fit


@cache
def example(name: str, folder: Path) -> Task:
    cls = plugins.load("task", name)
    assert issubclass(cls, Task)
    return cls.parse(cls.example_settings(folder))


@pytest.fixture(scope="module", params=plugins.names("task"))
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return example(request.param, tmp_path_factory.mktemp(request.param))


def linear(task: Task) -> nn.Module:
    torch.manual_seed(0)
    shapes = task.shapes()
    return nn.Sequential(nn.Flatten(), nn.Linear(shapes.input_size, shapes.output))


def rows(*parts: AnyArray) -> Counter[bytes]:
    """Each sample as bytes, with how often it is there."""
    return Counter(sample.tobytes() for part in parts for sample in part)


def split_inputs(data: TaskData) -> list[AnyArray]:
    return [data.train.inputs, data.validation.inputs, data.test.read().inputs]


def test_targets_are_class_numbers_and_every_class_is_trained_on(task: Task) -> None:
    data = task.data()
    for split in (data.train, data.validation, data.test.read(), data.calibration):
        assert len(split.inputs) == len(split.targets) == len(split) > 0
        assert split.targets.dtype == np.int64
        assert split.inputs.dtype in (np.uint8, np.float32)
        assert set(np.unique(split.targets)) <= set(range(len(data.classes)))
    assert set(np.unique(data.train.targets)) == set(range(len(data.classes)))
    assert len(set(data.classes)) == len(data.classes) >= 2


def test_splits_share_no_sample_and_lose_none(task: Task) -> None:
    dtype = task.data().train.inputs.dtype
    given = [np.asarray(inputs, dtype) for inputs, _ in task.load().parts().values()]
    assert rows(*split_inputs(task.data())) == rows(*given)


def test_calibration_is_a_part_of_train(task: Task) -> None:
    data = task.data()
    assert len(data.calibration) == min(task.calibration_samples, len(data.train))
    assert rows(data.calibration.inputs) <= rows(data.train.inputs)


def test_the_split_seed_decides_the_split(task: Task) -> None:
    again = type(task).model_validate({**task.model_dump(), "flip": False})
    other = type(task).model_validate({**task.model_dump(), "split_seed": 1})
    assert again.data().fingerprint == task.data().fingerprint
    assert other.data().fingerprint != task.data().fingerprint
    assert rows(other.data().validation.inputs) != rows(task.data().validation.inputs)


def test_statistics_are_those_of_train_alone(task: Task) -> None:
    data = task.data()
    assert data.preprocessing == Preprocessing.of(data.train.inputs)
    ready = data.preprocessing(data.train.inputs)
    assert ready.dtype == np.float32
    assert ready.shape == data.train.inputs.shape
    assert np.isfinite(ready).all()
    rest = tuple(axis for axis in range(ready.ndim) if axis != data.preprocessing.axis)
    assert np.allclose(ready.mean(axis=rest, dtype=np.float64), 0, atol=1e-3)
    assert np.all(ready.std(axis=rest, dtype=np.float64) < 1.01)


def test_preprocessing_survives_json(task: Task) -> None:
    preprocessing = task.data().preprocessing
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


def test_shapes_come_from_the_data(task: Task) -> None:
    shapes, data = task.shapes(), task.data()
    assert shapes.output == len(data.classes)
    assert all(inputs.shape[1:] == shapes.input for inputs in split_inputs(data))
    assert len(shapes.input) in (2, 3)


def test_the_specification_makes_the_same_task(task: Task) -> None:
    spec = json.loads(json.dumps(plugins.spec_of(task)))
    assert plugins.build("task", spec) == task


def test_data_is_loaded_once_and_cannot_be_changed(task: Task) -> None:
    data = task.data()
    assert type(task).model_validate(task.model_dump()).data() is data
    for split in (data.train, data.validation, data.test.read(), data.calibration):
        for array in (split.inputs, split.targets):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_another_process_finds_the_same_data(task: Task) -> None:
    code = (
        "import json, sys; from netwright.core import plugins;"
        "print(plugins.build('task', json.loads(sys.argv[1])).data().fingerprint)"
    )
    spec = json.dumps(plugins.spec_of(task))
    done = subprocess.run([sys.executable, "-c", code, spec], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == task.data().fingerprint


def test_loss_and_score_agree(task: Task) -> None:
    data = task.data()
    targets = data.validation.targets
    logits = np.random.default_rng(0).normal(size=(len(targets), len(data.classes))).astype(np.float32)
    score = task.score(logits, targets)
    loss = float(task.loss(torch.tensor(logits), torch.tensor(targets)))
    assert np.isfinite(loss)
    assert task.primary_metric in score
    assert score["loss"] == pytest.approx(loss, rel=1e-5)


def test_one_epoch_trains_with_and_without_augmentation(task: Task) -> None:
    images = len(task.shapes().input) == 3
    for shift, flip in ((0, False), (2, images)):
        changed = type(task).model_validate({**task.model_dump(), "shift": shift, "flip": flip})
        model = linear(task)
        (row,) = fit(model, changed, training=Training(epochs=1, samples=40, batch_size=16), seed=0).rows
        assert all(np.isfinite(value) for value in row.values())
        assert evaluate(model, task, "validation")["loss"] == pytest.approx(row["validation_loss"])


def test_the_test_split_is_read_only_when_asked_for(task: Task) -> None:
    before = task.test_reads()
    fit(linear(task), task, training=Training(epochs=1, samples=20, batch_size=10), seed=0)
    evaluate(linear(task), task, "validation")
    assert task.test_reads() == before
    evaluate(linear(task), task, "test")
    assert task.test_reads() == before + 1


def test_the_task_says_what_it_is_and_describes_its_settings(task: Task) -> None:
    assert len(plugins.summary("task", plugins.name_of(task))) > 20
    assert all(field.description for field in type(task).model_fields.values())
