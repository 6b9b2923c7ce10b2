"""Every example runs as its first lines say, on a tiny budget."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from netwright.evaluation.latency_table import read_csv
from netwright.runs.view import open_run

EXAMPLES = Path(__file__).parents[1] / "examples"
BUDGETS = {
    "search_and_export": ("--trials", "2"),
    "own_space": ("--trials", "2"),
    "own_model": ("--epochs", "2"),
    "space_from_model": ("--epochs", "1", "--trials", "2"),
    "device_units": ("--samples", "2", "--units", "3"),
}


def run(name: str, out: Path) -> str:
    """What an example prints; the test fails with its messages when it ends badly."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(out), *BUDGETS[name]],
        cwd=out.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_has_a_test_and_says_how_it_is_run() -> None:
    found = {path.stem for path in EXAMPLES.glob("*.py")}
    assert found == set(BUDGETS)
    for name in found:
        assert f"python examples/{name}.py [--out FOLDER]" in (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")


def test_the_whole_way_ends_in_a_bundle_that_runs_by_itself(tmp_path: Path) -> None:
    printed = run("search_and_export", tmp_path / "run")
    view = open_run(tmp_path / "run")
    assert len(view.trials) == 2
    assert [stage["stage"] for stage in view.stages] == ["original", "structured_prune", "quantize"]
    assert view.report is not None
    tested = view.test["model.int8.onnx" if "model.int8.onnx" in view.test else "model.onnx"]
    assert f"accuracy {tested['accuracy']!r} " in printed


def test_a_space_from_a_file_of_ones_own_is_searched(tmp_path: Path) -> None:
    printed = run("own_space", tmp_path / "run")
    view = open_run(tmp_path / "run")
    assert view.counts["done"] == 2
    assert view.specification["space"]["kind"] == "own_space:Perceptron"
    assert "the space has 78 sets of decisions; 2 of 2 trials are done" in printed


def test_an_own_network_gets_smaller_and_is_handed_over(tmp_path: Path) -> None:
    printed = run("own_model", tmp_path / "mine")
    view = open_run(tmp_path / "mine" / "run")
    assert [stage["stage"] for stage in view.stages] == ["original", "structured_prune", "quantize"]
    assert view.stages[-1]["size_bytes"] < view.stages[0]["size_bytes"]
    assert view.winner is not None
    assert view.winner["model"] == "own_model:build"
    assert (view.path / "bundle" / "load.py").exists()
    assert "bundle:" in printed


def test_an_own_network_becomes_a_space_that_is_searched(tmp_path: Path) -> None:
    printed = run("space_from_model", tmp_path / "mine")
    view = open_run(tmp_path / "mine" / "run")
    assert view.counts["done"] == 2
    assert view.specification["space"]["model"].endswith("network.json")
    assert "4 groups of channels, 2 runs of residual blocks; 420 sets" in printed


def test_the_units_of_a_space_are_files_to_time_elsewhere_and_a_csv_that_is_read_back(tmp_path: Path) -> None:
    printed = run("device_units", tmp_path / "units")
    assert "3 of 3 units are files" in printed
    path = tmp_path / "units" / "units.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all((path.parent / row["file"]).exists() for row in rows)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows({**row, "latency_ms": "2", "unit": "us"} for row in rows)
    entries = read_csv(path, device="a board").entries
    assert [entry.latency_ms for entry in entries] == [0.002] * 3
