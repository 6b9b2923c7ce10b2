"""What a method of somebody's own task or operation gives of a wrong type is told with the class and the method."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from netwright.core.errors import DataError
from netwright.core.shapes import Shapes
from netwright.runs.score_check import check_scores
from netwright.runs.search import tell_without_network
from netwright.runs.specification import RunSpecification
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.data import Arrays
from netwright.tasks.settings import Training
from netwright.tasks.targets import ClassNumbers
from netwright.tasks.task import Task
from netwright.tasks.training import fit

HERE = __name__


class Wrong(Task):
    """Random images; the method `at` gives something that it should not."""

    at: str
    given: ClassVar[dict[str, Any]] = {
        "data": (1, 2),
        "shapes": (1, 4, 4),
        "targets": ClassNumbers,
        "primary": "accuracy",
        "cut": None,
        "preprocess": None,
        "score": {"loss": 1.0, "accuracy": "high"},
        "naive": 3,
        "loss": 1.0,
        "augment": None,
    }

    def load(self) -> Arrays:
        return Arrays(train=(np.random.default_rng(0).normal(size=(80, 1, 4, 4)), np.arange(80) % 2))

    def __getattribute__(self, name: str) -> Any:
        if name not in Wrong.given or name != object.__getattribute__(self, "at"):
            return super().__getattribute__(name)
        return lambda *arguments, **named: Wrong.given[name]

    def augments(self) -> bool:
        return self.at == "augment"


class Broken(Operation):
    """A layer of which `at` gives 5."""

    at: str

    def output_shape(self, shapes):
        return shapes[0]

    def module(self, shapes):
        return 5 if self.at == "module" else None

    def emit(self, graph, name, inputs):
        return 5 if self.at == "emit" else graph.call_module(name, tuple(inputs))


class Brittle(SearchSpace):
    """One layer that cannot be made."""

    at: str = "module"

    def decide(self, choose):
        return choose.one_of("features", (2, 3))

    def lower(self, plan, net, shapes):
        return net.chain(net.input, Broken(at=self.at), GlobalPool(), Linear(features=shapes.classes))


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("data", "data gives tuple, expected TaskData"),
        ("shapes", "shapes gives tuple, expected Shapes"),
        ("targets", "targets gives the class ClassNumbers, expected Targets"),
        ("primary", "primary gives str, expected Objective"),
        ("cut", "cut gives NoneType, expected Split"),
        ("preprocess", "preprocess gives NoneType, expected Preprocessing"),
        ("score", "score gives 'high' as 'accuracy', expected a number"),
        ("naive", r"naive gives int, expected tuple \| None"),
        ("loss", "loss gives float, expected Tensor"),
        ("augment", "augment gives NoneType, expected Tensor"),
    ],
)
def test_what_a_task_gives_of_a_wrong_type_is_told(at: str, said: str) -> None:
    with pytest.raises(DataError, match=f"{HERE}:Wrong.{said}"):
        _use({"kind": f"{HERE}:Wrong", "at": at})


def _use(task: dict[str, Any]) -> None:
    """What a search does with a task, as far as a first step of training."""
    specification = RunSpecification.parse({"task": task, "space": "mlp"})
    check_scores(specification)
    tell_without_network(specification, lambda event: None)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    fit(model, specification.task, training=Training(epochs=1), seed=0)


@pytest.mark.parametrize(("at", "expected"), [("module", "torch.nn.modules.module.Module"), ("emit", "Node")])
def test_what_an_operation_gives_of_a_wrong_type_is_told(at: str, expected: str) -> None:
    space, shapes = Brittle(at=at), Shapes((1, 4, 4), 2)
    with pytest.raises(DataError, match=f"{HERE}:Broken.{at} gives int, expected {expected}"):
        space.build({"features": 2}, shapes)


@pytest.mark.parametrize(
    ("loss", "came"),
    [
        (lambda outputs: outputs.sum(dim=1), r"a tensor of shape \(\d+,\)"),
        (lambda outputs: outputs.mean().detach(), "a tensor without gradients"),
    ],
)
def test_a_loss_of_many_values_or_without_gradients_is_told(loss, came, monkeypatch) -> None:
    monkeypatch.setattr(Wrong, "loss", lambda self, outputs, targets, **named: loss(outputs))
    with pytest.raises(DataError, match=f"Wrong.loss gives {came}, expected the mean loss"):
        _use({"kind": f"{HERE}:Wrong", "at": "nothing"})
