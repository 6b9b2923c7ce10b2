"""The commands that scripts rely on end with one JSON document of the agreed shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netwright.cli.main import run
from tests.conftest import ROOT

ROW = {"stage", "accuracy", "latency_ms", "params", "macs", "size_bytes", "peak_activation_bytes"}
SMALL = [
    "search.trials=3",
    "search.executor={kind: inline}",
    "search.strategy=random_search",
    "search.training={epochs: 1, samples: 200, batch_size: 50}",
    "winner.training={epochs: 1, samples: 400, batch_size: 50}",
    "compress.fine_tune={epochs: 1, samples: 200, batch_size: 50}",
    "compress.bounds={}",
    "latency={pairs: 20, seconds: 0.2, warmup_seconds: 0.1, noisy_above: 100}",
    "search.latency={statistic: cpu, pairs: 10, seconds: 0.1, warmup_seconds: 0, control: false, noisy_above: 100}",
]


def document(capsys: pytest.CaptureFixture[str]) -> dict:
    """The one JSON document on standard output."""
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the quickstart of these tests, on a small budget, leaves its run."""
    return tmp_path_factory.mktemp("quickstart") / "run"


def test_quickstart_ends_with_a_row_per_stage_and_the_paths(
    quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [part for text in SMALL for part in ("--set", text)]
    assert run(["quickstart", "--out", str(quickstart), "--json", *settings]) == 0
    found = document(capsys)
    assert [row["stage"] for row in found["stages"]] == ["original", "structured_prune", "low_rank", "quantize"]
    assert all(set(row) >= ROW for row in found["stages"])
    assert Path(found["report"]).is_file()
    assert (Path(found["bundle"]) / "load.py").is_file()
    assert set(found["test"]) >= {"winner", "model.onnx"}


def test_runs_show_counts_trials_by_state(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", str(quickstart), "--json"]) == 0
    found = document(capsys)
    assert set(found["trials"]) == {"asked", "done", "failed", "infeasible", "stopped", "running", "waiting"}
    assert found["trials"]["asked"] == 3 == sum(found["trials"].values()) - found["trials"]["asked"]
    assert found["front"]
    assert run(["runs", "list", "--in", str(quickstart.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["run"] == str(quickstart)


def test_a_run_that_was_cut_short_goes_on_to_its_bundle(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (quickstart / "report.html").unlink()
    assert run(["run", "--resume", str(quickstart), "--json"]) == 0
    found = document(capsys)
    assert Path(found["report"]).is_file()
    assert found["trials"]["asked"] == 3
    assert found["state"] == "exported"


def test_bench_prints_the_figures_of_the_protocol(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(quickstart / "bundle" / "model.onnx")
    assert run(["bench", model, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["median_ms"] > 0
    assert row["protocol"]["threads"] == 1
    assert row["n"] >= 2


def test_a_model_of_ones_own_is_compressed_to_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import save_file

    from tests.cli.own_model import build

    save_file(build().state_dict(), tmp_path / "w.safetensors")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: own\ntask: digits\ncompress:\n  fine_tune: {epochs: 1, batch_size: 64}\n"
        "  passes: [{kind: structured_prune, ratio: 0.3}, quantize]\n"
        "latency: {pairs: 20, seconds: 0.2, warmup_seconds: 0.1, noisy_above: 100}\n"
    )
    arguments = ["--weights", str(tmp_path / "w.safetensors"), "--recipe", str(recipe), "--out", str(tmp_path / "run")]
    assert run(["compress", "--model", "tests.cli.own_model:build", *arguments, "--json"]) == 0
    found = document(capsys)
    assert [row["stage"] for row in found["stages"]] == ["original", "structured_prune", "quantize"]
    assert found["stages"][-1]["size_bytes"] < found["stages"][0]["size_bytes"]
    assert Path(found["report"]).is_file()
    assert (Path(found["bundle"]) / "model.int8.onnx").is_file()


@pytest.mark.parametrize("kind", ["spaces", "tasks", "strategies", "passes", "metrics", "formats"])
def test_list_names_every_plugin_with_a_sentence(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["what"].endswith((".", ")")) or len(row["what"]) > 20 for row in rows)


def test_the_tiny_recipe_is_what_the_readme_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = str(ROOT / "recipes" / "digits-tiny.yaml")
    assert run(["search", tiny, "--out", str(tmp_path / "run"), "--set", "search.trials=2", "--json"]) == 0
    assert document(capsys)["trials"]["asked"] == 2
