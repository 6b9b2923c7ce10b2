"""`netwright compress` where no pass could be done: everything is told, and the command fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from netwright.cli.main import run
from tests.cli.own_model import build

RECIPE = """name: own
task: digits
compress:
  bounds: {{accuracy_drop: 0.9}}
  fine_tune: {{epochs: 1, samples: 64}}
  passes: [{passes}]
latency: {{pairs: 20, seconds: 0.2, warmup_seconds: 0.1, noisy_above: 100}}
"""
NOTHING = "{kind: quantize, exclude: [EVERY]}"


def _compressed(folder: Path, passes: str, *more: str) -> int:
    torch.manual_seed(0)
    net = build()
    save_file(net.state_dict(), folder / "w.safetensors")
    layers = [path for path, layer in net.named_modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))]
    (folder / "r.yaml").write_text(RECIPE.format(passes=passes.replace("EVERY", ", ".join(layers))))
    where = ["--weights", str(folder / "w.safetensors"), "--recipe", str(folder / "r.yaml"), "--out", str(folder / "o")]
    return run(["compress", "--model", "tests.cli.own_model:build", *where, *more])


def test_a_recipe_that_quantized_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compressed(tmp_path, NOTHING) == 2
    told = capsys.readouterr()
    assert "no pass could be done, so the model is as it was (quantize: no parameter could be quantized" in told.err
    assert "Report" in told.out
    assert (tmp_path / "o" / "report.html").exists()


def test_a_program_is_told_too_in_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compressed(tmp_path, NOTHING, "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["error"].startswith("no pass could be done")
    assert found["exit_code"] == 2


def test_one_pass_that_was_done_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compressed(tmp_path, f"fold, {NOTHING}", "--json") == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [(row["stage"], row["kept"]) for row in stages] == [("original", True), ("fold", True), ("quantize", False)]
