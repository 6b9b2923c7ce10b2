"""Classes of unequal size: what a task of classes is judged by, and what its loader prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netwright.core.errors import ConfigurationError
from netwright.core.plugins import build, spec_of
from netwright.core.records import Direction, Objective
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.sequence_labelling import SequenceLabelling
from netwright.tasks.task import Task


@pytest.mark.parametrize(
    "kind", ["image_classification", "sequence_classification", "table_classification", "text_classification"]
)
def test_tasks_of_classes_may_be_judged_by_the_mean_over_the_classes(tmp_path: Path, kind: str) -> None:
    made = build("task", {"kind": kind, "path": str(tmp_path), "judged_by": "balanced_accuracy"})
    assert isinstance(made, Task)
    assert made.primary() == Objective(metric="balanced_accuracy", direction="maximize")
    plain = build("task", {"kind": kind, "path": str(tmp_path)})
    assert isinstance(plain, Task)
    assert plain.primary().metric == "accuracy"
    assert spec_of(made)["judged_by"] == "balanced_accuracy"


def test_a_task_of_ones_own_keeps_the_score_that_its_class_names(tmp_path: Path) -> None:
    class Mine(ImageClassification):
        """Mine."""

        primary_metric = "loss"
        primary_direction = "minimize"

    assert Mine(path=tmp_path).primary() == Objective(metric="loss", direction="minimize")


def test_the_loader_tells_both_scores(tmp_path: Path) -> None:
    kind = ImageClassification(path=tmp_path).targets()
    outputs, targets = np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 0]], np.array([0, 0, 0, 0, 1])
    found = kind.answers.scores(outputs, targets, {})
    assert kind.answers.summary(found, 5) == "accuracy 0.8 (4 of 5), balanced_accuracy 0.5"


@pytest.mark.parametrize(
    ("several", "score", "direction"),
    [(False, "nll", "minimize"), (False, "step_error", "minimize"), (True, "step_f1", "maximize")],
)
def test_steps_may_be_judged_by_each_of_their_scores(
    tmp_path: Path, several: bool, score: str, direction: Direction
) -> None:
    made = build("task", {"kind": "sequence_labelling", "path": "a.npz", "several": several, "judged_by": score})
    assert isinstance(made, Task)
    assert made.primary() == Objective(metric=score, direction=direction)


def test_a_score_that_the_targets_do_not_have_is_refused() -> None:
    said = "judged_by: targets of this kind have no score 'step_f1'; give one of step_accuracy, step_error, nll"
    with pytest.raises(ConfigurationError, match=said):
        SequenceLabelling.parse({"path": "a.npz", "judged_by": "step_f1"})


@pytest.mark.parametrize(("rare", "told"), [(6, True), (30, False)])
def test_where_most_samples_are_of_one_class_the_score_to_judge_by_is_told(
    tmp_path: Path, rare: int, told: bool
) -> None:
    targets = (np.arange(200) < rare).astype(int)
    settings = {"kind": "table_classification", "path": str(tmp_path / "rows.npz")}
    np.savez(tmp_path / "rows.npz", inputs=np.arange(200.0)[:, None], targets=targets)
    plain, balanced = build("task", settings), build("task", {**settings, "judged_by": "balanced_accuracy"})
    assert isinstance(plain, Task)
    assert isinstance(balanced, Task)
    said = "97 % of the training samples are of the class '0': accuracy says little"
    assert any(line.startswith(said) for line in plain.remarks()) == told
    assert balanced.remarks() == ()
