"""`netwright compress`: plans, sensitivities, searched recipes, and going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from netwright.cli.main import run
from netwright.runs.view import open_run
from tests.cli.own_model import build
from tests.conftest import ROOT

LATENCY = "latency: {pairs: 20, seconds: 0.2, warmup_seconds: 0.1, noisy_above: 100}\n"
PRUNED = """name: own
task: digits
compress:
  bounds: {accuracy_drop: 0.9}
  fine_tune: {epochs: 6, batch_size: 64, learning_rate: 0.002}
  passes: [{kind: structured_prune, ratio: 0.4, round_to: 2}]
"""
OPEN = """name: own
task: digits
compress:
  bounds: {accuracy_drop: 0.9, params: 4500}
  fine_tune: {epochs: 1, batch_size: 64, samples: 300}
  solve: {minimize: size_bytes, trials: 3, strategy: random_search, samples: 50}
  passes: [{kind: structured_prune, ratio: {choice: [0.1, 0.4, 0.6]}, round_to: 2}]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with weights and two recipes."""
    torch.manual_seed(0)
    save_file(build().state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "pruned.yaml").write_text(PRUNED + LATENCY)
    (tmp_path / "open.yaml").write_text(OPEN + LATENCY)
    return tmp_path


def arguments(folder: Path, recipe: str, *more: str) -> list[str]:
    given = ["--weights", str(folder / "w.safetensors"), "--recipe", str(folder / recipe)]
    return ["compress", "--model", "tests.cli.own_model:build", *given, *more]


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_dry_run_says_what_each_pass_would_do_and_writes_nothing(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own)
    before = sorted(own.rglob("*"))
    assert run(arguments(own, "open.yaml", "--dry-run", "--json")) == 0
    found = document(capsys)
    assert [row["stage"] for row in found["passes"]] == ["original", "structured_prune"]
    original, pruned = found["passes"]
    assert pruned["macs"] < original["macs"]
    assert {one["applies"] for one in pruned["verdicts"]} == {True, False}
    assert all(one["reason"] for one in pruned["verdicts"])
    assert found["open"] == {"structured_prune/ratio": "one of 0.1, 0.4, 0.6"}
    assert run(arguments(own, "open.yaml", "--dry-run")) == 0
    text = capsys.readouterr().out
    assert "nothing was written" in text
    assert "it produces the outputs" in text
    assert sorted(own.rglob("*")) == before


def test_a_searched_recipe_ends_with_its_sensitivities_tries_and_chosen_point(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(own, "open.yaml", "--out", str(own / "run"), "--json")) == 0
    found = document(capsys)
    assert [row["stage"] for row in found["stages"]] == ["original", "structured_prune"]
    view = open_run(own / "run")
    assert view.solver is not None
    assert view.sensitivity is not None
    tries = view.solver["tries"]
    assert len(tries) == 3
    chosen = tries[view.solver["chosen"]]
    assert found["stages"][-1]["size_bytes"] == chosen["figures"]["size_bytes"]
    assert chosen["figures"]["params"] <= 4500
    assert [(one["try"], one["settings"]) for one in found["recipe_front"] if one["chosen"]] == [
        (chosen["number"], chosen["decisions"])
    ]
    assert view.stages[-1]["settings"]["ratio"] == chosen["decisions"]["structured_prune/ratio"]
    page = Path(found["report"]).read_text(encoding="utf-8")
    assert "Recipe search" in page
    assert "Sensitivity" in page
    on_file = ["--set", "compress.passes=[quantize]", "--set", "solve=null", "--set", "open=[]"]
    assert run(["compress", str(own / "run"), "--sensitivity", "--samples", "20", *on_file, "--json"]) == 0
    rows = document(capsys)["rows"]
    assert {row["stage"] for row in rows} == {"quantize"}
    assert {row["n"] for row in rows} == {20}
    assert {row["group"] for row in rows} == {"0", "4", "9"}
    assert run(["compress", str(own / "run"), "--dry-run", "--json"]) == 0
    assert document(capsys)["passes"][0]["params"] == sum(p.numel() for p in build().parameters())
    changed = ["--set", "compress.passes=[{kind: unstructured_prune, density: 0.5}]", "--set", "solve=null"]
    assert run(["compress", str(own / "run"), "--dry-run", *changed, "--set", "open=[]", "--json"]) == 0
    planned = document(capsys)["passes"]
    assert [row["stage"] for row in planned] == ["original", "unstructured_prune"]
    assert planned[1]["coded_bytes"] < planned[0]["coded_bytes"]


def test_goals_that_no_setting_meets_are_told_and_the_report_shows_the_tries(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [
        "--out",
        str(own / "run"),
        "--set",
        "compress.bounds.params=10",
        "--set",
        "compress.solve.sensitivity=false",
    ]
    assert run(arguments(own, "open.yaml", *more, "--json")) == 2
    said = document(capsys)["error"]
    assert "no setting of 3 tried meets all goals. Nearest is try" in said
    assert "at most 10 is asked: missed by" in said
    assert "No try reached params 10; the best was" in said
    assert (own / "run" / "report.html").is_file()
    assert not (own / "run" / "bundle").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--dry-run", "--sensitivity"], "not both"),
        (["--set", "compress.solve.strategy=tpee"], "no strategy is called 'tpee'"),
        (["--set", "compress.solve.minimize=size"], "cannot be minimised"),
        (["--samples", "0", "--sensitivity"], "0 is not in the range"),
    ],
)
def test_bad_input_is_one_sentence(own: Path, more: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments(own, "open.yaml", "--out", str(own / "run"), *more)) == 2
    assert words in capsys.readouterr().err
    assert not (own / "run").exists()


def test_a_folder_of_another_recipe_is_not_gone_on_with(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from netwright.runs.search import create_run
    from netwright.runs.specification import load_specification

    create_run(load_specification(own / "open.yaml"), own / "run")
    assert run(arguments(own, "pruned.yaml", "--out", str(own / "run"))) == 2
    assert "holds a run of another recipe; name another folder" in capsys.readouterr().err


def test_stopped_by_the_user_it_says_how_to_go_on(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own)
    given = ["compress", "--model", "tests.cli.own_model:Stopping", "--recipe", str(own / "pruned.yaml")]
    assert run(given) == 130
    told = capsys.readouterr().err
    made = next((own / "runs").iterdir())
    assert "stopped; everything recorded so far is kept. Go on with: the same command and --out" in told
    assert str(made.name) in told
    assert f"in runs/{made.name}; if it is cut short: the same command and --out runs/{made.name}" in told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_compression_goes_on_at_the_epoch_it_was_in(own: Path) -> None:
    command = [sys.executable, "-m", "netwright", *arguments(own, "pruned.yaml", "--out", str(own / "run"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    log = own / "log.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stderr=stream, stdout=stream, cwd=own)
        while process.poll() is None and "epoch 2," not in log.read_text():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = log.read_text()
    assert "epoch 6," not in before, "the training was over before the signal came"
    again = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=own, check=True)
    epochs = [line for line in again.stderr.splitlines() if "structured_prune 1/1" in line]
    assert "epoch 1," not in epochs[0], epochs
    assert "epoch 6," in epochs[-1]
    other = [*command[:-1], str(own / "whole")]
    subprocess.run(other, env=environment, capture_output=True, check=True, cwd=own)
    for one, two in zip(open_run(own / "run").stages, open_run(own / "whole").stages, strict=True):
        assert (one["stage"], one["accuracy"], one["params"], one["sha256"]) == (
            two["stage"],
            two["accuracy"],
            two["params"],
            two["sha256"],
        )


def test_the_numbers_of_the_report_come_as_json_and_csv(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import csv

    from netwright.runs.search import create_run, writing
    from netwright.runs.specification import load_specification

    create_run(load_specification(own / "open.yaml"), own / "run")
    bearing = {"stage": "p", "group": "0", "field": "ratio", "strength": 0.5, "score": 0.8, "loss": 0.1, "params": 9}
    with writing(own / "run") as opened:
        rows = [{**bearing, "n": 50, "reason": ""}]
        opened.record.set_fact("sensitivity", {"key": "", "score": "accuracy", "rows": rows})
    assert run(["report", str(own / "run"), "--numbers", str(own / "numbers"), "--json"]) == 0
    files = {Path(name).name for name in document(capsys)["numbers"]}
    assert {"report.json", "sensitivity.csv"} <= files
    panels = json.loads((own / "numbers" / "report.json").read_text())["panels"]
    (row,) = csv.DictReader((own / "numbers" / "sensitivity.csv").open())
    assert {name: str(value) for name, value in panels["sensitivity"][0].items()} == row
    assert (row["accuracy"], row["loss"]) == ("0.8", "0.1")


def test_what_a_killed_export_left_is_removed_when_the_run_goes_on(own: Path) -> None:
    from netwright.runs.search import create_run, writing
    from netwright.runs.specification import load_specification

    folder = create_run(load_specification(own / "pruned.yaml"), own / "run").path
    for left in ("models/.original.tmp.onnx", ".bundle.7.tmp/model.onnx", ".bundle.7.old/model.onnx"):
        (folder / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / left).write_bytes(b"half")
    (folder / "models" / "original.onnx").write_bytes(b"whole")
    with writing(folder):
        assert sorted(path.name for path in (folder / "models").iterdir()) == ["original.onnx"]
        assert not list(folder.glob(".bundle*"))


def test_a_folder_that_another_process_is_making_is_called_so(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "run" / "scratch").mkdir(parents=True)
    assert run(arguments(own, "pruned.yaml", "--out", str(own / "run"))) == 2
    assert "another process makes a run of it now, or was ended while it did" in capsys.readouterr().err
