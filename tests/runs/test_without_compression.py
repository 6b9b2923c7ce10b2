"""A run that describes no compression ends as the others do: trained in full, proven, tested once, in a bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import netwright as nw
from netwright.cli.progress import _figure
from netwright.core.errors import ConfigurationError
from netwright.runs.specification import RunSpecification
from netwright.tasks.kinds.forecasting import Forecasting

QUICK = {"pairs": 10, "seconds": 0.1, "warmup_seconds": 0, "control": False, "noisy_above": 100}


@pytest.mark.slow
def test_a_forecast_is_searched_trained_and_bundled_without_a_compression(tmp_path: Path) -> None:
    settings = Forecasting.example_settings(tmp_path)
    recipe = {
        "name": "load",
        "task": {"kind": "forecasting", **settings},
        "space": {"kind": "mlp", "depth": [1, 1], "neurons": [8, 16]},
        "search": {"trials": 1, "executor": "inline", "training": {"epochs": 1}},
        "winner": {"training": {"epochs": 2}},
        "latency": QUICK,
    }
    result = nw.run(recipe, out=tmp_path / "run")
    assert [row["stage"] for row in result["stages"]] == ["original"]
    tested = result["test"]["model.onnx"]
    assert result["summary"].startswith("The winner is deployed as it is.\n")
    assert f"Test standardised_mse {tested['standardised_mse']:.4g} (mae {tested['mae']:.4g}, " in result["summary"]
    task = Forecasting.parse(settings)
    (words, naive) = task.naive(task.test_split()) or ("", {})
    said = f"Without a network, {words}: {naive['standardised_mse']:.4g} on the same samples; the network is no better."
    assert said in result["summary"]
    assert words == "repeating the last row"
    card = json.loads((Path(result["bundle"]) / "card.json").read_text(encoding="utf-8"))
    assert card["name"] == "load"
    assert card["gives"] == "gives the next 3 rows of 1 column: load"
    code = "import numpy as np; from load import Model; print(Model().predict(np.zeros((4, 12, 2))).shape)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=result["bundle"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "(4, 3, 1)"
    split = Forecasting.parse(settings).test_split()
    np.savez(tmp_path / "test.npz", inputs=split.inputs, targets=split.targets.reshape(-1, 3, 1))
    command = [sys.executable, "-I", "load.py", str(tmp_path / "test.npz")]
    printed = subprocess.run(command, cwd=result["bundle"], capture_output=True, text=True, check=True)
    assert f"standardised_mse {tested['standardised_mse']!r}" in printed.stdout


def test_an_unknown_task_is_the_only_mistake_told() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunSpecification.parse({"task": "forecast", "space": "mlp"})
    assert [mistake.where for mistake in caught.value.mistakes] == ["task.kind"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.98333, "0.9833"), (0.00071702, "0.000717"), (27.98123, "27.9812"), (-0.0123456, "-0.01235")]
)
def test_small_scores_keep_their_digits(value: float, text: str) -> None:
    assert _figure(value) == text


def test_a_search_begins_with_what_needs_no_network(tmp_path: Path) -> None:
    said: list[str] = []
    recipe = {
        "task": {"kind": "forecasting", **Forecasting.example_settings(tmp_path)},
        "space": {"kind": "mlp", "depth": [1, 1], "neurons": [4]},
        "search": {"trials": 1, "executor": "inline", "training": {"epochs": 1}},
    }
    nw.search(recipe, out=tmp_path / "run", listener=lambda event: said.append(str(event.facts.get("text"))))
    (told,) = [
        text for text in said[:3] if text.startswith("without a network, repeating the last row: standardised_mse ")
    ]
    assert told.endswith("on the validation split (34 samples)")
