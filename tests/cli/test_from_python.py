"""`import netwright as nw`: what the functions take, and what they say of arguments they cannot use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import netwright as nw
from netwright.runs.view import RunView

RECIPE: dict[str, Any] = {
    "name": "small",
    "task": "digits",
    "space": {"kind": "mlp"},
    "objectives": ["accuracy"],
    "search": {"trials": 1, "executor": "inline", "training": {"epochs": 1}},
    "compress": {"passes": ["quantize"]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return nw.search(RECIPE, out=str(tmp_path_factory.mktemp("runs") / "small"))


def test_without_a_listener_a_run_is_silent(run: RunView, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nw.search(RECIPE, out=tmp_path / "run", listener=None).counts["done"] == 1
    assert nw.plan_compression(run, listener=None)["passes"]
    assert capsys.readouterr().out == ""


def test_every_public_name_has_a_type_and_says_what_it_is_for() -> None:
    for name in set(dir(nw)) - {"__version__"}:
        assert len(getattr(nw, name).__doc__.split()) > 5, name


def test_a_run_is_given_by_its_path_or_as_it_was_returned(run: RunView) -> None:
    opened = nw.open_run(str(run.path))
    assert repr(opened) == f"RunView('{run.path}', searched, 1 of 1 trials done)"
    assert nw.plan_compression(opened) == nw.plan_compression(str(run.path)) == nw.plan_compression(run.path)
    assert nw.report(opened) == run.path / "report.html"


def test_a_tilde_is_the_home_folder(run: RunView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(run.path.parent))
    assert nw.open_run("~/small").path == run.path
    assert nw.report("~/small", out="~/page.html") == run.path.parent / "page.html"


def test_passes_are_given_as_a_mapping_a_part_of_one_or_a_run_description(run: RunView) -> None:
    def stages(recipe: Any) -> list[str]:
        return [row["stage"] for row in nw.plan_compression(run, recipe=recipe)["passes"]]

    assert stages({"passes": ["structured_prune"]}) == ["original", "structured_prune"]
    assert stages({"compress": {"passes": ["low_rank"]}}) == ["original", "low_rank"]
    assert stages(nw.RunSpecification.parse(RECIPE)) == stages(None) == ["original", "quantize"]


WRONG: dict[str, tuple[Callable[[RunView], object], str]] = {
    "recipe": (lambda run: nw.search(5), "recipe: expected the path of a YAML file, a mapping or a RunSpecification"),  # type: ignore[arg-type]
    "changes in one text": (
        lambda run: nw.search(RECIPE, overrides="search.trials=4"),
        r"overrides: expected a list of 'name\.name=value', came 'search\.trials=4'",
    ),
    "changes as a mapping": (
        lambda run: nw.resume(run, overrides={"search.trials": 4}),  # type: ignore[arg-type]
        r"overrides: expected a list of 'name\.name=value', came \{'search\.trials': 4\}",
    ),
    "no list of changes": (
        lambda run: nw.search(RECIPE, overrides=None),  # type: ignore[arg-type]
        r"overrides: expected a list of 'name\.name=value', came None",
    ),
    "changes that can be read once": (
        lambda run: nw.search(RECIPE, overrides=(text for text in ["search.trials=4"])),  # type: ignore[arg-type]
        r"overrides: expected a list of 'name\.name=value', came <generator",
    ),
    "changes of a resumed search in one text": (
        lambda run: nw.resume(run, overrides="search.trials=4"),
        r"overrides: expected a list of 'name\.name=value', came 'search\.trials=4'",
    ),
    "listener": (
        lambda run: nw.search(RECIPE, out=run.path.parent / "unheard", listener="print"),  # type: ignore[arg-type]
        "listener: expected a function that takes an Event, or None; came 'print'",
    ),
    "no path for a run": (lambda run: nw.search(RECIPE, out=3), "out: expected a path; came 3"),  # type: ignore[arg-type]
    "a path with a NUL byte": (lambda run: nw.report("a\0b"), "run: expected a path without a NUL byte; came 'a"),
    "no files at all": (lambda run: nw.bench(3), "models: expected a path; came 3"),  # type: ignore[arg-type]
    "threads that are no number": (
        lambda run: nw.bench(str(Path(__file__)), threads="two"),  # type: ignore[arg-type]
        "threads: .* came 'two'",
    ),
    "samples": (lambda run: nw.sensitivity(run, samples=-3), "samples: expected a whole number of at least 1; came -3"),
    "no path for files": (lambda run: nw.bench([3]), "models: expected a path; came 3"),  # type: ignore[list-item]
    "no path for runs": (lambda run: nw.list_runs(3), "root: expected a path; came 3"),  # type: ignore[arg-type]
    "a folder for a page": (
        lambda run: nw.report(run, out=run.path),
        "out: .* is a folder; give the path of a file",
    ),
    "run": (lambda run: nw.compress(None), "run: expected the path of a run folder, or what search and open_run"),  # type: ignore[arg-type]
    "list of passes": (
        lambda run: nw.compress(run, recipe=["quantize"]),  # type: ignore[arg-type]
        r"recipe: expected the path of a YAML file, a mapping or a Recipe; came \['quantize'\]",
    ),
    "nothing to compress": (lambda run: nw.plan_compression(), "run: give a run, or the model of your own, one of"),
    "both": (lambda run: nw.sensitivity(run, model="a:b"), "run: give a run, or the model of your own, one of"),
    "no passes": (
        lambda run: nw.plan_compression(run, recipe={**RECIPE, "compress": None}),
        "compress: is missing; say which passes to run",
    ),
    "network itself": (
        lambda run: nw.compress_model(torch.nn.Linear(2, 2), recipe=RECIPE),  # type: ignore[arg-type]
        "model: expected the text `package.module:build` that names a function which makes it; came Linear",
    ),
    "model without a recipe": (
        lambda run: nw.plan_compression(model="torchvision:resnet18"),
        "recipe: a model of your own needs one with `task` and `compress`",
    ),
    "no files": (lambda run: nw.bench([]), "there is no file to measure; give the path of at least one ONNX file"),
    "one file that is not there": (lambda run: nw.bench("missing.onnx"), "there is no file missing.onnx; give the"),
    "no network": (
        lambda run: nw.space_from_model("x", torch.zeros(1, 4)),  # type: ignore[arg-type]
        "the model must be a torch module, came 'x'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_argument_that_cannot_be_used_is_one_sentence(what: str, run: RunView) -> None:
    call, sentence = WRONG[what]
    with pytest.raises(nw.NetwrightError, match=rf"^{sentence}"):
        call(run)


def test_a_protocol_of_no_thread_is_refused(tmp_path: Path) -> None:
    from netwright.evaluation.latency import LatencyProtocol

    with pytest.raises(nw.NetwrightError, match=r"^threads: .* came 0$"):
        LatencyProtocol.full(threads=0)
