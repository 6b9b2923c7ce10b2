"""What every task must keep; a new file in `netwright/tasks/kinds` is found and checked by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netwright.core import plugins
from netwright.evaluation.metric import Metric
from netwright.tasks.data import AnyArray, Preprocessing, TaskData
from netwright.tasks.task import Task
from netwright.tasks.training import Training, evaluate, fit


def example(name: str, folder: Path) -> Task:
    cls = plugins.load("task", name)
    assert issubclass(cls, Task)
    return cls.parse(cls.example_settings(folder))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    return {name: example(name, tmp_path_factory.mktemp(name)) for name in plugins.names("task")}


@pytest.fixture(scope="module", params=plugins.names("task"))
def task(request: pytest.FixtureRequest, tasks: dict[str, Task]) -> Task:
    return tasks[request.param]


def linear(task: Task) -> nn.Module:
    torch.manual_seed(0)
    shapes = task.shapes()
    output = shapes.output_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(shapes.input_size, prod(output)), nn.Unflatten(1, output))


def rows(*parts: AnyArray) -> Counter[bytes]:
    """Each sample as bytes, with how often it is there."""
    return Counter(sample.tobytes() for part in parts for sample in part)


def split_inputs(data: TaskData) -> list[AnyArray]:
    return [data.train.inputs, data.validation.inputs, data.test.read().inputs]


def test_every_split_has_a_target_per_input(task: Task) -> None:
    data = task.data()
    train = data.train
    for split in (train, data.validation, data.test.read(), data.calibration):
        assert len(split.inputs) == len(split.targets) == len(split) > 0
        assert split.inputs.dtype in (np.uint8, np.float32)
        assert split.targets.dtype == train.targets.dtype
        assert split.targets.shape[1:] == train.targets.shape[1:]
        assert np.isfinite(split.targets).all()


def test_class_numbers_are_names_and_every_class_is_trained_on(task: Task) -> None:
    data = task.data()
    assert len(set(data.classes)) == len(data.classes) != 1
    if data.train.targets.ndim > 1:
        return
    assert data.train.targets.dtype == np.int64
    for split in (data.train, data.validation, data.test.read(), data.calibration):
        assert set(np.unique(split.targets)) <= set(range(len(data.classes)))
    assert set(np.unique(data.train.targets)) == set(range(len(data.classes)))


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
    one, two = task.load(), other.load()
    if len(one.parts()) == 3 and np.array_equal(one.train[0], two.train[0]):  # nothing is left to split
        assert other.data().fingerprint == task.data().fingerprint
        return
    assert other.data().fingerprint != task.data().fingerprint
    assert rows(other.data().validation.inputs) != rows(task.data().validation.inputs)


def test_statistics_are_those_of_train_alone(task: Task) -> None:
    data = task.data()
    assert data.preprocessing == task.preprocess(data.train.inputs)
    ready = data.preprocessing(data.train.inputs)
    assert ready.dtype == np.float32
    assert ready.shape == data.train.inputs.shape
    assert np.isfinite(ready).all()
    if task.shapes().tokens or task.shapes().edges:  # numbers of words and edges mean nothing when they are scaled
        assert np.array_equal(ready, data.train.inputs)
        return
    rest = tuple(axis for axis in range(ready.ndim) if axis != data.preprocessing.axis)
    assert np.allclose(ready.mean(axis=rest, dtype=np.float64), 0, atol=1e-3)
    assert np.all(ready.std(axis=rest, dtype=np.float64) < 1.01)


def test_preprocessing_survives_json(task: Task) -> None:
    preprocessing = task.data().preprocessing
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


def test_shapes_come_from_the_data(task: Task) -> None:
    shapes, data = task.shapes(), task.data()
    assert all(inputs.shape[1:] == shapes.input for inputs in split_inputs(data))
    assert len(shapes.input) + 1 in task.targets().input_axes
    assert task.targets().gives(shapes.output)
    if isinstance(shapes.output, int) and data.classes:
        assert shapes.output == len(data.classes)


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


def test_another_process_finds_the_same_data(tasks: dict[str, Task]) -> None:
    code = (
        "import json, sys; from netwright.core import plugins;"
        "[print(plugins.build('task', spec).data().fingerprint) for spec in json.loads(sys.argv[1])]"
    )
    specs = json.dumps([plugins.spec_of(task) for task in tasks.values()])
    done = subprocess.run([sys.executable, "-c", code, specs], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [task.data().fingerprint for task in tasks.values()]


def random_outputs(task: Task, samples: int) -> AnyArray:
    shape = (samples, *task.shapes().output_shape)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_loss_and_score_agree(task: Task) -> None:
    targets = task.data().validation.targets
    outputs = random_outputs(task, len(targets))
    score = task.score(outputs, targets)
    loss = float(task.loss(torch.tensor(outputs), torch.tensor(targets)))
    assert np.isfinite(list(score.values())).all()
    assert task.primary().metric in score
    assert task.primary().direction in ("maximize", "minimize")
    assert score["loss"] == pytest.approx(loss, rel=1e-4)


def test_what_a_model_is_judged_by_is_a_metric_with_the_same_direction(task: Task) -> None:
    metric = plugins.load("metric", task.primary().metric)
    assert issubclass(metric, Metric)
    assert metric.direction == task.primary().direction


def test_settings_of_the_answers_are_plain_and_summaries_name_the_figure(task: Task) -> None:
    data, kind = task.data(), task.targets()
    settings = json.loads(json.dumps(dict(data.answers)))
    targets = data.validation.targets
    outputs = random_outputs(task, len(targets))
    found = kind.answers.scores(outputs, targets, settings)
    assert found == task.score(outputs, targets)
    metric = task.primary().metric
    assert f"{metric} {found[metric]!r}" in kind.answers.summary(found, len(targets))
    assert len(kind.answers.answers(outputs, settings)) == len(targets)
    assert kind.same(outputs, outputs, settings) in (1.0, None)


def test_an_answer_without_a_network_is_scored_as_one_of_a_network(task: Task) -> None:
    found = task.naive()
    if found is None:
        return
    words, scores = found
    assert words
    assert set(scores) == set(task.score(random_outputs(task, 4), task.data().validation.targets[:4]))
    assert np.isfinite(list(scores.values())).all()


def test_a_teachers_own_outputs_cost_least(task: Task) -> None:
    teacher = torch.tensor(random_outputs(task, 8))
    best = float(task.soft_loss(teacher, teacher, temperature=2.0))
    assert best < float(task.soft_loss(-teacher, teacher, temperature=2.0))


def test_one_epoch_trains_with_and_without_augmentation(task: Task) -> None:
    images = len(task.shapes().input) == 3
    moves = len(task.shapes().input) > 1 and not task.targets().aligned and not task.shapes().edges
    for shift, flip in ((0, False), (2 if moves else 0, images)):
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
