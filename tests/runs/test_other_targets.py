"""The whole way on tasks whose targets are no class numbers: what is reported is what the bundle does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netwright as nw
from netwright.core.errors import ConfigurationError
from netwright.core.plugins import load
from netwright.dashboards.payload import report_data
from netwright.runs.rows import table_columns
from netwright.runs.specification import RunSpecification
from netwright.runs.view import RunView, open_run
from netwright.tasks.task import Task

CONTRACT = {"stage", "accuracy", "latency_ms", "params", "macs", "size_bytes", "peak_activation_bytes"}
MLP = {"kind": "mlp", "depth": [1, 1], "neurons": [8, 16]}
CASES: Mapping[str, Mapping[str, Any]] = {
    "regression": MLP,
    "segmentation": {
        "kind": "encoder_decoder", "depth": [1, 1], "filters": [4], "convolutions": ["same"], "decoders": ["levels"],
        "up_samplings": ["nearest"], "residuals": [False],
    },
    "image_to_image": {
        "kind": "encoder_decoder", "depth": [0, 1], "filters": [4], "convolutions": ["same"], "decoders": ["levels"],
        "up_samplings": ["nearest"],
    },
    "sequence_labelling": {"kind": "tcn", "levels": [1, 2], "widths": [4, 8], "kernels": [2, 3]},
}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A run that went the whole way, its result and its specification."""

    view: RunView
    result: Mapping[str, Any]
    specification: RunSpecification


def recipe(name: str, folder: Path) -> dict[str, Any]:
    """A tiny run on the example data of a task."""
    task = load("task", name)
    assert issubclass(task, Task)
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}
    return {
        "task": {"kind": name, **task.example_settings(folder)},
        "space": dict(CASES[name]),
        "search": {"trials": 3, "strategy": "random_search", "executor": "inline", "training": training},
        "winner": {"training": training},
        "compress": {"bounds": {"max_drop": 1000}, "passes": ["quantize"]},
        "latency": {"pairs": 10, "seconds": 0.05, "warmup_seconds": 0.02},
    }


@pytest.fixture(scope="module", params=CASES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp(request.param)
    specification = RunSpecification.parse(recipe(request.param, folder))
    result = nw.run(specification, out=folder / "run")
    return Finished(open_run(folder / "run"), result, specification)


def test_the_search_is_for_the_tasks_own_score(finished: Finished) -> None:
    score = finished.specification.task.primary()
    assert [objective.metric for objective in finished.view.objectives] == [score.metric]
    assert finished.view.score == score
    done = [trial.value(score.metric) for trial in finished.view.trials]
    best = max(done) if score.direction == "maximize" else min(done)  # type: ignore[type-var]  # all have a value
    assert finished.view.trials[finished.view.winner["trial"]].value(score.metric) == best


def test_every_stage_has_the_score_beside_the_columns_that_scripts_rely_on(finished: Finished) -> None:
    score = finished.view.score.metric
    assert [row["stage"] for row in finished.result["stages"]] == ["original", "quantize"]
    for row in finished.result["stages"]:
        assert set(row) >= CONTRACT | {score}
        assert row["accuracy"] is None
        assert np.isfinite(row[score])
    assert f"Test {score} " in finished.result["summary"]


def test_the_loader_reproduces_the_reported_test_score_exactly(finished: Finished, tmp_path: Path) -> None:
    split = finished.specification.task.test_split()
    np.savez(tmp_path / "test.npz", inputs=split.inputs, targets=split.targets)
    assert finished.view.bundle is not None
    assert finished.view.test is not None
    score, tested = finished.view.score.metric, set(finished.view.test) - {"winner"}
    for name in tested:
        command = [sys.executable, "-I", "load.py", str(tmp_path / "test.npz"), "--model", name]
        done = subprocess.run(command, cwd=finished.view.bundle, capture_output=True, text=True, check=True)
        assert f"{score} {finished.view.test[name][score]!r}" in done.stdout
    assert "model.onnx" in tested


def test_the_bundle_gives_answers_in_the_users_terms(finished: Finished, tmp_path: Path) -> None:
    split, task = finished.specification.task.test_split(), finished.specification.task
    code = (
        "import sys, numpy as np; sys.path.insert(0, '.'); from load import Model;"
        "np.save(sys.argv[2], Model().predict(np.load(sys.argv[1])))"
    )
    bundle = finished.view.bundle
    assert bundle is not None
    np.save(tmp_path / "inputs.npy", split.inputs)
    paths = [str(tmp_path / "inputs.npy"), str(tmp_path / "answers.npy")]
    subprocess.run([sys.executable, "-c", code, *paths], cwd=bundle, check=True)
    assert np.load(paths[1]).shape == split.targets.shape
    card = json.loads((bundle / "card.json").read_text())
    assert card["gives"] == task.targets().gives(task.shapes().output)
    assert all(proof["accuracy_original"] is None for proof in finished.view.parity)
    assert all(proof["score"] == finished.view.score.metric for proof in finished.view.parity)


def test_the_report_speaks_of_the_tasks_own_score(finished: Finished) -> None:
    data = report_data(finished.view)
    assert data["headline"][0]["value"] == pytest.approx(_tested(finished.view), rel=1e-5)
    assert "low" not in data["headline"][0]
    score = finished.view.score.metric
    assert all(row[score] is not None for row in data["panels"]["compression"])
    assert f"validation_{score}" in data["panels"]["learning_curves"][0]
    page = (finished.view.path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'"label":\s?"accuracy"', page)


def _tested(view: RunView) -> float:
    assert view.test is not None
    last = next(row for row in reversed(view.stages) if row.get("kept", True))
    return next(e[view.score.metric] for e in view.test.values() if e["sha256"] == last["sha256"])


def test_an_objective_on_a_score_that_the_task_lacks_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    wrong = recipe("regression", tmp_path) | {"objectives": ["accuracy", "r2"]}
    with pytest.raises(
        ConfigurationError, match="accuracy cannot be known: the task gives no score 'accuracy'; it gives"
    ):
        nw.search(wrong, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_people_see_no_column_of_accuracies_that_are_not_there() -> None:
    rows = [{"stage": "original", "accuracy": None, "rmse": 1.0}, {"stage": "quantize", "accuracy": None, "rmse": 2.0}]
    assert table_columns(rows) == ["stage", "rmse"]
    assert table_columns([*rows, {"stage": "other", "accuracy": 0.5}]) == ["stage", "accuracy", "rmse"]


def test_a_bound_on_the_accuracy_is_refused_where_there_is_none(tmp_path: Path) -> None:
    wrong = recipe("regression", tmp_path) | {"compress": {"bounds": {"accuracy_drop": 0.01}}}
    with pytest.raises(
        ConfigurationError, match="judged by rmse, not by accuracy; give `max_drop` in the unit of rmse"
    ):
        RunSpecification.parse(wrong)
