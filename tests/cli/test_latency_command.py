"""`netwright latency`: a table of this machine from real measurements, and what is predicted from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from netwright.cli.main import run
from netwright.core.errors import InterruptedRunError
from netwright.core.plugins import build
from netwright.core.progress import Event
from netwright.core.shapes import Shapes
from netwright.runs.latency_building import Building, build_table
from netwright.search_spaces.space import SearchSpace

SPACE = {"kind": "nasbench201", "channels": 4, "cells_per_stage": 1}
DECISIONS = {f"cell/{edge}": "nor_conv_3x3" for edge in ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3")}
SKIPS = {**DECISIONS, "cell/0-1": "none", "cell/0-2": "none", "cell/1-2": "none", "cell/0-3": "skip_connect"}
TINY = ["--samples", "8", "--networks", "8", "--seconds", "0.05"]
Speak = Callable[..., Any]


@pytest.fixture
def speak(capsys: pytest.CaptureFixture[str]) -> Speak:
    """The JSON document that `netwright latency ... --json` prints."""

    def told(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run(["latency", *arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return told


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of a small space on the bundled digits."""
    path = tmp_path_factory.mktemp("latency") / "recipe.yaml"
    path.write_text(yaml.safe_dump({"task": "digits", "space": SPACE}))
    return path


@pytest.fixture(scope="module")
def device(recipe: Path) -> Path:
    """This machine's table for the recipe's space."""
    path = recipe.with_name("device.json")
    assert run(["latency", "build", str(recipe), "--out", str(path), *TINY, "--json"]) == 0
    return path


def test_a_table_says_what_was_measured_and_how_well_it_predicts(device: Path, speak: Speak) -> None:
    found = speak("show", str(device))
    assert found["units"] >= 10
    assert not found["failed"]
    assert found["networks"] == 8
    assert found["this_machine"] is True
    assert found["unit"] == "ms"
    assert found["runtime"].startswith("onnxruntime ")
    assert found["protocol"]["statistic"] == "cpu"
    assert found["call_ms"] > 0
    held_out = found["accuracy"]["held_out"]
    assert set(held_out) == {"median_error", "p90_error", "spearman", "kendall"}
    # how well so few networks are ranked depends on what else the machine does
    assert set(found["accuracy"]["sum_of_lookups"]) == set(held_out)
    assert -1 <= held_out["spearman"] <= 1
    assert not device.with_name("device.json.partial").exists()


def test_the_summary_for_people_has_the_errors(device: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["latency", "show", str(device)]) == 0
    text = capsys.readouterr().out
    for words in ("held out", "sum of the look-ups", "MACs alone", "spearman", "NOISY"):
        assert words in text


def test_more_work_is_predicted_to_take_longer(device: Path, speak: Speak) -> None:
    much, little = (speak("predict", str(device), "--decisions", json.dumps(d)) for d in (DECISIONS, SKIPS))
    assert much["lookup_ms"] > little["lookup_ms"] > 0
    assert much["latency_ms"] > 0
    assert much["unit"] == "ms"
    space = build("space", SPACE)
    assert isinstance(space, SearchSpace)
    same = speak("predict", str(device), "--genotype", space.genotype(DECISIONS))
    assert same == much


def test_a_network_of_another_space_is_predicted_by_sizes_and_says_so(device: Path, speak: Speak) -> None:
    found = speak("predict", str(device), "--space", "landmark:resnet-18", "--decisions", "landmark:resnet-18")
    assert found["extrapolated"] == found["units"] > 0
    assert found["latency_ms"] > 0


def test_a_bound_on_the_predicted_latency_keeps_networks_from_training(
    device: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = sorted(_predicted(device))
    bound = (predictions[0] + predictions[-1]) / 2
    text = {
        **yaml.safe_load(recipe.read_text()),
        "objectives": ["accuracy", {"metric": "predicted_latency_ms", "bound": bound}],
        "search": {
            "trials": 4,
            "strategy": "random_search",
            "executor": "inline",
            "latency_table": str(device),
            "training": {"epochs": 1, "samples": 100, "batch_size": 50},
        },
    }
    path, out = tmp_path / "search.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(text))
    assert run(["search", str(path), "--out", str(out), "--json"]) == 0
    capsys.readouterr()
    from netwright.runs.view import open_run

    trials = open_run(out).trials
    assert trials
    for trial in trials:
        found = trial.measurements["predicted_latency_ms"]
        assert found.value is not None
        assert found.protocol["extrapolated"] <= found.protocol["units"]
        assert found.protocol["this_machine"] is True
        assert (found.value > bound) == (str(trial.state) == "infeasible")
        assert (not trial.curve) or found.value <= bound


def _predicted(device: Path) -> list[float]:
    """Predictions for the networks that the table was built with."""
    from netwright.evaluation.latency_predictor import predictor_of
    from netwright.runs.latency_building import space_of

    predictor = predictor_of(device)
    space, shapes = space_of(predictor.table)
    return [predictor.predict(space.graph(n.decisions, shapes)).latency_ms for n in predictor.table.networks]


def test_the_objective_without_a_table_is_refused_before_the_search(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--set", "objectives=[accuracy, predicted_latency_ms]", "--set", "search.executor=inline"]
    assert run(["search", str(recipe), "--out", str(tmp_path / "run"), *arguments]) == 2
    assert "netwright latency build" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_build_goes_on_and_measures_nothing_twice(tmp_path: Path) -> None:
    space = build("space", SPACE)
    assert isinstance(space, SearchSpace)
    building = Building(samples=6, networks=2, seconds=0.02)
    out, said = tmp_path / "device.json", []

    def stop(event: Event) -> None:
        said.append(str(event.facts["text"]))
        if "units timed" in said[-1]:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="partial"):
        build_table(space, Shapes((1, 8, 8), 10), out=out, building=building, listener=stop)
    assert not out.exists()
    kept = json.loads((tmp_path / "device.json.partial").read_text())["entries"]
    quiet = {key: entry for key, entry in kept.items() if not entry["noisy"]}
    said.clear()
    table = build_table(
        space, Shapes((1, 8, 8), 10), out=out, building=building, listener=lambda e: said.append(str(e.facts["text"]))
    )
    assert any(text.startswith("going on with") for text in said)
    assert {entry.unit.key: entry.latency_ms for entry in table.entries}.items() >= {
        key: entry["latency_ms"] for key, entry in quiet.items()
    }.items()
    assert kept.keys() <= {entry.unit.key for entry in table.entries}
    assert table.factor is None


def test_a_csv_is_imported_and_predicts_as_another_machine(tmp_path: Path, speak: Speak) -> None:
    source, out = tmp_path / "phone.csv", tmp_path / "phone.json"
    source.write_text("operation,input_shape,latency_ms,unit\nadd,4x8x8+4x8x8,2,us\nglobal_pool,16x2x2,1,us\n")
    imported = speak("build", "--from-csv", str(source), "--out", str(out), "--device", "a phone")
    assert (imported["device"], imported["units"], imported["this_machine"]) == ("a phone", 2, False)
    found = speak(
        *("predict", str(out), "--space", "nasbench201", "--set", "channels=4", "--task", "digits"),
        *("--decisions", json.dumps(DECISIONS)),
    )
    assert found["extrapolated"] > 0
    assert found["this_machine"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "--out", "{folder}/new.json"], "SPACE"),
        (["build", "nasbench201", "--out", "{device}"], "--force"),
        (["build", "nasbench201", "--out", "{folder}/absent/new.json"], "folder"),
        (["build", "nasbench202", "--out", "{folder}/new.json"], "nasbench201"),
        (["build", "nasbench201", "--out", "{folder}/new.json", "--from-csv", "{folder}/x.csv"], "SPACE"),
        (["show", "{folder}/absent.json"], "no latency table"),
        (["show", "{recipe}"], "not a latency table"),
        (["predict", "{device}"], "--decisions"),
        (["predict", "{device}", "--decisions", "{{}}"], "missing"),
        (["predict", "{device}", "--task", "digits", "--decisions", "{{}}"], "--space"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    arguments: list[str], said: str, device: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [text.format(folder=tmp_path, device=device, recipe=recipe) for text in arguments]
    capsys.readouterr()
    assert run(["latency", *given]) == 2
    assert said in capsys.readouterr().err
