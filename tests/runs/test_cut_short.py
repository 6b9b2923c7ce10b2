"""What is left by a compression cut short, a damaged object, and numbers that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netwright as nw
from netwright.core.config import parse_yaml
from netwright.core.errors import ConfigurationError, InfeasibleError, RunError
from netwright.core.progress import Event
from netwright.runs.artifacts import Artifacts
from netwright.runs.reduced import AtResolution
from netwright.runs.search import create_run, search
from netwright.tasks.kinds.regression import Regression
from tests.conftest import ROOT

TINY = ROOT / "recipes" / "digits-tiny.yaml"


class CutError(Exception):
    """Stands for a kill."""


def cut(event: Event) -> None:
    if event.name == "compress.stage":
        raise CutError


def test_export_says_that_the_compression_was_cut_short(run_path: Path) -> None:
    short = ["search.trials=1", "search.training.epochs=1", "winner.training.epochs=1", "compress.passes=[]"]
    nw.run(TINY, out=run_path, overrides=short)
    with pytest.raises(CutError):
        nw.compress(run_path, recipe={"passes": [{"kind": "structured_prune", "ratio": 0.25}]}, listener=cut)
    with pytest.raises(RunError, match="did not come to an end; give the same command again"):
        nw.export_trial(run_path)


def test_a_damaged_object_is_written_anew(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    digest = artifacts.put(b"weights")
    artifacts.path(digest).write_bytes(b"weight")
    artifacts.put(b"weights")
    assert artifacts.get(digest) == b"weights"


@pytest.mark.parametrize("text", ["2026-02-30", "{[a, b]: 1}", "!!int abc", "[" * 5000])
def test_yaml_that_cannot_be_read_is_a_mistake_in_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"recipe\.yaml"):
        parse_yaml(text, source="recipe.yaml")


@pytest.mark.parametrize(
    "wrong",
    [
        "objectives=[{metric: macs, bound: .inf}]",
        "search.budget_s=.nan",
        "search.strategy={kind: differentiable, training: {strength_rate: .inf}}",
    ],
)
def test_numbers_of_a_recipe_are_finite(wrong: str, tiny_with) -> None:
    with pytest.raises(ConfigurationError, match="finite number"):
        tiny_with(wrong)


def test_a_run_to_take_results_from_is_looked_for_before_a_folder_is_made(run_path: Path, tiny_with) -> None:
    with pytest.raises(RunError, match="nowhere is not a run folder"):
        create_run(tiny_with("search.reuse=[nowhere]"), run_path)
    assert not run_path.exists()


def test_smaller_images_are_prepared_as_the_task_says(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(5, 3, (80, 1, 8, 8)).astype(np.float32)
    task = Regression.from_arrays(values, values.mean((1, 2, 3)), folder=tmp_path, standardise=False)
    small = AtResolution(task=task, share=0.5, split_seed=task.split_seed)
    assert small.data().preprocessing == task.data().preprocessing


def test_what_a_metric_gives_that_cannot_be_recorded_fails_its_trial(tiny_with, run_path: Path) -> None:
    own = "objectives=[accuracy, {metric: 'tests.runs.own_metric:Unrecordable'}]"
    create_run(tiny_with(own, "search.trials=1", "search.training.epochs=1"), run_path)
    with pytest.raises(InfeasibleError, match="gives what cannot be recorded"):
        search(run_path)
