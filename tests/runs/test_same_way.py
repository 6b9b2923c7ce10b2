"""What a run may not mix: results of other data, other settings or another machine."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np

from netwright.core.seeds import generator
from netwright.runs.candidate import Candidate
from netwright.runs.executor import TrialJob
from netwright.runs.search import create_run, resumed_specification, search
from netwright.tasks.kinds.image_classification import ImageClassification

SHORT = ["search.training.epochs=1", "search.strategy=random_search", "search.executor=inline"]
TIMED = "objectives=[accuracy, latency_ms]"


def known(trials) -> list[bool]:  # type: ignore[no-untyped-def]
    return ["known from trial" in trial.origin for trial in trials]


def test_a_trial_trained_by_other_settings_of_the_task_is_not_taken_over(tiny_with, tmp_path: Path) -> None:
    create_run(tiny_with(*SHORT, "search.trials=1"), tmp_path / "plain")
    search(tmp_path / "plain")
    more = [*SHORT, "search.trials=1", f"search.reuse=[{tmp_path / 'plain'}]"]
    create_run(tiny_with(*more), tmp_path / "same")
    assert known(search(tmp_path / "same")) == [True]
    create_run(tiny_with(*more, "task.shift=1"), tmp_path / "moved")
    assert known(search(tmp_path / "moved")) == [False]


def test_a_latency_of_another_machine_is_not_taken_over(tiny_with, tmp_path: Path) -> None:
    create_run(tiny_with(*SHORT, TIMED, "search.trials=1"), tmp_path / "here")
    search(tmp_path / "here")
    more = [*SHORT, TIMED, "search.trials=1", f"search.reuse=[{tmp_path / 'here'}]"]
    create_run(tiny_with(*more), tmp_path / "same")
    assert known(search(tmp_path / "same")) == [True]
    with sqlite3.connect(tmp_path / "here" / "run.db") as database:
        query = "select protocol from nw_measurements where metric = 'latency_ms'"
        protocol = json.loads(database.execute(query).fetchone()[0])
        elsewhere = json.dumps({**protocol, "cpu": "another one"})
        database.execute("update nw_measurements set protocol = ? where metric = 'latency_ms'", [elsewhere])
    create_run(tiny_with(*more), tmp_path / "other")
    assert known(search(tmp_path / "other")) == [False]


def test_runs_to_take_over_are_found_from_any_folder(tiny_with, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    create_run(tiny_with(*SHORT, "search.trials=2"), Path("first"))
    search(Path("first"))
    create_run(tiny_with(*SHORT, "search.trials=1", "search.reuse=[first]"), Path("second"))
    search(Path("second"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    second = tmp_path / "second"
    trials = search(second, specification=resumed_specification(second, ["search.trials=2"]))
    assert known(trials) == [True, True]


def test_a_latency_is_taken_with_the_threads_that_its_protocol_states(tiny_with, tmp_path: Path) -> None:
    spec = tiny_with(TIMED, "search.executor.threads=2")
    decisions = spec.searched.sample(generator(0))
    facts = {"identity": "one", "seed": 0, "specification": spec.to_json(), "limit_s": 9.0, "threads": 2}
    candidate = Candidate.of(spec, TrialJob(number=0, attempt=1, decisions=decisions, folder=tmp_path, **facts))
    assert candidate.subject.session().threads == spec.search.latency.threads == 1


def test_a_run_does_not_go_on_with_other_data(tiny_with, tmp_path: Path) -> None:
    targets = np.arange(60) % 3
    images = (np.arange(60 * 64).reshape(60, 8, 8, 1) % 50 + 60 * targets[:, None, None, None]).astype(np.uint8)
    task = ImageClassification.from_arrays(images, targets, folder=tmp_path)
    path = tmp_path / "run"
    spec = tiny_with(*SHORT, "search.trials=1", f"task={{kind: image_classification, path: {task.path}}}")
    create_run(spec, path)
    search(path)
    began = task.path.read_bytes()
    go_on = [sys.executable, "-m", "netwright", "search", "--resume", str(path), "--set", "search.trials=2", "--json"]
    np.savez(task.path, x_train=images[::-1], y_train=targets)
    refused = subprocess.run(go_on, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"began with other data than there are now in {task.path}" in refused.stderr
    task.path.write_bytes(began)
    subprocess.run(go_on, capture_output=True, text=True, check=True)
