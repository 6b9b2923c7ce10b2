"""From a recipe to a bundle: what is reported is what the bundle does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import netwright as nw
from netwright.core.errors import CheckpointError, RunError
from netwright.export.bundle import verify_bundle
from netwright.runs.folder import RunFolder
from netwright.runs.record import StudyRecord
from netwright.runs.rows import summary
from netwright.runs.specification import load_specification
from netwright.runs.view import open_run
from tests.conftest import ROOT

CONTRACT = ("stage", "accuracy", "latency_ms", "params", "macs", "size_bytes", "peak_activation_bytes")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went the whole way, once for all tests here."""
    path = tmp_path_factory.mktemp("whole") / "run"
    nw.run(ROOT / "recipes" / "digits-tiny.yaml", out=path, overrides=["search.trials=5"])
    return path


def test_every_stage_has_the_columns_that_scripts_rely_on(finished: Path) -> None:
    rows = summary(open_run(finished))["stages"]
    assert [row["stage"] for row in rows] == ["original", "structured_prune", "quantize"]
    for row in rows:
        assert set(CONTRACT) <= set(row)
        assert all(row[name] is not None for name in CONTRACT if name != "latency_ms")
        assert row["kept"] or row["reason"]


def test_figures_of_a_stage_are_those_of_its_file(finished: Path) -> None:
    for stage in open_run(finished).stages:
        path = finished / stage["file"]
        assert path.stat().st_size == stage["size_bytes"]


def test_the_bundles_loader_reproduces_the_reported_test_accuracy_exactly(finished: Path, tmp_path: Path) -> None:
    view = open_run(finished)
    specification = load_specification(ROOT / "recipes" / "digits-tiny.yaml")
    split = specification.task.test_split()
    np.savez(tmp_path / "test.npz", inputs=split.inputs, targets=split.targets)
    assert view.bundle is not None
    assert view.test is not None
    for name in ("model.onnx", "model.int8.onnx"):
        command = [sys.executable, "-I", "load.py", str(tmp_path / "test.npz"), "--model", name]
        done = subprocess.run(command, cwd=view.bundle, capture_output=True, text=True, check=True)
        assert repr(view.test[name]["accuracy"]) in done.stdout, done.stdout
        assert view.test[name]["n"] == len(split)


def test_the_bundle_is_whole_and_proven(finished: Path) -> None:
    view = open_run(finished)
    assert view.bundle is not None
    assert {"model.onnx", "model.int8.onnx", "load.py", "card.json", "weights.safetensors"} <= set(
        verify_bundle(view.bundle)
    )
    proofs = {proof["file"]: proof for proof in view.parity}
    assert proofs["model.onnx"]["max_difference"] < 1e-4 * max(1, proofs["model.onnx"]["scale"])
    assert proofs["model.onnx"]["agreement"] == 1.0
    assert proofs["model.int8.onnx"]["n"] == view.stages[0]["n"]
    card = json.loads((view.bundle / "card.json").read_text())
    assert card["decisions"] == view.winner["decisions"]
    assert "/" not in card["provenance"]["environment"]["command"].split()[0]


def test_the_test_split_is_read_once_however_often_one_exports(finished: Path) -> None:
    before = open_run(finished).test
    result = nw.export_trial(finished)
    assert result["test"] == before == open_run(finished).test
    done = next(t.number for t in open_run(finished).trials if "weights" in t.artifacts)
    assert nw.export_trial(finished, trial=done, out=finished / "exports" / "one")["test"] == {}


def test_a_trial_can_be_exported_in_every_format(finished: Path, tmp_path: Path) -> None:
    done = next(t.number for t in open_run(finished).trials if "weights" in t.artifacts)
    for name in ("onnx", "safetensors"):
        result = nw.export_trial(finished, trial=done, format_name=name, out=tmp_path / name)
        assert any(file.startswith("model.") for file in result["files"])


@pytest.mark.parametrize(("name", "told"), [("nwz", True), ("safetensors", False)])
def test_only_a_file_that_holds_the_measured_one_comes_with_its_figures(
    name: str, told: bool, finished: Path, tmp_path: Path
) -> None:
    nw.export_trial(finished, format_name=name, out=tmp_path / "out")
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert bool(card["measurements"]) == told
    assert ("has the measurements" in (tmp_path / "out" / "README.md").read_text()) == told


def test_the_report_is_one_file_that_needs_no_network(finished: Path) -> None:
    text = (finished / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert 'src="http' not in text
    assert "structured_prune" in text or "Structured prune" in text


def test_compressing_again_redoes_nothing(finished: Path) -> None:
    resumed: list[bool] = []
    events = []
    nw.compress(finished, listener=events.append)
    resumed = [bool(e.facts["resumed"]) for e in events if e.name == "compress.stage"]
    assert resumed == [True, True, True]
    assert not [e for e in events if e.name in ("winner.epoch", "compress.epoch")]


def test_a_trial_that_is_not_there_is_named(finished: Path) -> None:
    with pytest.raises(RunError, match="has no trial '99'"):
        nw.export_trial(finished, trial=99)


def test_a_file_changed_since_it_was_measured_is_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    stage = next(row for row in open_run(copy).stages if row["stage"] == "quantize")
    with (copy / stage["file"]).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(CheckpointError, match="was changed since it was measured"):
        nw.export_trial(copy)


def test_a_run_can_be_moved_and_read_where_nothing_can_be_written(finished: Path, tmp_path: Path) -> None:
    import shutil

    moved = tmp_path / "a place with spaces"
    shutil.copytree(finished, moved)
    before = {p: p.read_bytes() for p in moved.rglob("*") if p.is_file()}
    view = open_run(moved)
    assert summary(view)["trials"] == summary(open_run(finished))["trials"]
    assert {p: p.read_bytes() for p in moved.rglob("*") if p.is_file() and not p.name.startswith("run.db-")} == before


def test_events_tell_the_story_in_order(finished: Path) -> None:
    record = StudyRecord(RunFolder(finished).database, read_only=True)
    names = [event["name"] for event in record.all_events()]
    assert names.index("trial.start") < names.index("compress.begin") < names.index("compress.stage")
    sequences = [event["sequence"] for event in record.all_events()]
    assert sequences == sorted(sequences)
    record.close()
