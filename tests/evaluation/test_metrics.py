"""Every metric plugin keeps the contract of its kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netwright.core.cost import Cost
from netwright.core.files import canonical_json
from netwright.core.plugins import build, load, names, spec_of, summary
from netwright.core.records import Measurement
from netwright.evaluation.metric import Metric
from netwright.evaluation.subject import Subject


def _refuse() -> None:
    raise AssertionError("a metric asked for more than its declared cost allows")


ALL = names("metric")
ALLOWED = {"cheap": {"cost"}, "measured": {"session", "file", "cost"}, "trained": {"scores", "session", "file", "cost"}}


def _subject(folder: Path, allowed: set[str]) -> Subject:
    file = folder / "model.onnx"
    file.write_bytes(b"x" * 123)
    answers = {
        "cost": lambda: Cost(params=10, macs=20, peak_activation_bytes=30),
        "scores": lambda: {"accuracy": 0.75, "loss": 0.5},
        "session": lambda: lambda x: x * 2,
        "file": lambda: file,
    }
    given = {name: answer if name in allowed else _refuse for name, answer in answers.items()}
    return Subject(**given, example=np.zeros((4, 3), np.float32))


@pytest.mark.parametrize("name", ALL)
def test_metric_keeps_its_contract(name: str, tmp_path: Path) -> None:
    metric = build("metric", name)
    assert isinstance(metric, Metric)
    assert metric.direction in {"maximize", "minimize"}
    found = metric.measure(_subject(tmp_path, ALLOWED[metric.cost]))
    assert found.metric == name
    assert found.unit == metric.unit
    assert (found.value is None) == bool(found.reason)
    assert Measurement.from_json(json.loads(canonical_json(found.to_json()))) == found
    assert build("metric", spec_of(metric)) == metric
    assert summary("metric", name).endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 0.75),
        ("validation_loss", 0.5),
        ("params", 10),
        ("macs", 20),
        ("peak_activation_bytes", 30),
        ("size_bytes", 123),
    ],
)
def test_metric_reads_the_right_fact(name: str, value: float, tmp_path: Path) -> None:
    assert build("metric", name).measure(_subject(tmp_path, ALLOWED["trained"])).value == value


def test_a_score_the_task_lacks_is_absent_with_a_reason(tmp_path: Path) -> None:
    subject = _subject(tmp_path, {"scores"})
    without = Subject(
        cost=subject.cost,
        scores=lambda: {"loss": 1.0},
        session=subject.session,
        file=subject.file,
        example=subject.example,
    )
    found = load("metric", "accuracy")().measure(without)
    assert found.value is None
    assert found.reason == "the task gives no score 'accuracy'; it gives loss"
