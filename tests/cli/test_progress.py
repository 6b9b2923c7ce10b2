"""What is said of the time that is left."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from netwright.cli import progress
from netwright.core.progress import Event


@dataclass
class Hand:
    """A clock that is moved by hand."""

    seconds: float = 100.0

    def now(self) -> str:
        return ""

    def monotonic(self) -> float:
        return self.seconds


def counts(done: int) -> dict[str, int]:
    return {"done": done, "stopped": 0, "infeasible": 0, "failed": 0, "running": 0}


def test_the_time_left_of_a_resumed_search_counts_the_trials_since_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Hand()
    plain = progress._Plain(clock)
    plain(Event("search.begin", {"trials": 20, "counts": counts(10)}))
    clock.seconds += 30
    plain(Event("search.trial", {"counts": counts(11), "wanted": 20}))
    assert "[11/20] 11 done, about 270 s of search left" in capsys.readouterr().err
    clock.seconds += 30
    plain(Event("search.trial", {"counts": counts(20), "wanted": 20}))
    assert capsys.readouterr().err == "[20/20] 20 done\n", "what is promoted now takes a time that is not known"


def test_the_bar_says_that_its_time_left_is_of_the_search_alone() -> None:
    live = progress._Live()
    live(Event("search.begin", {"trials": 20, "counts": counts(10)}))
    live(Event("winner.epoch", {"epoch": 1, "epochs": 3, "validation_accuracy": 0.5}))
    told = Console(width=200, file=io.StringIO(), record=True)
    told.print(live.progress.make_tasks_table(live.progress.tasks))
    search, training = told.export_text().splitlines()
    assert "of search left" in search
    assert "full training: epoch 1 of 3" in training
    assert "left" not in training


def test_scores_in_the_units_of_the_data_are_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"epoch": 1, "epochs": 3, "score": "rmse"}
    for value, told in ((15937500.6795, "15,937,501"), (0.81234, "0.8123"), (0.00081234, "0.0008123")):
        progress._Plain(Hand())(Event("winner.epoch", {**facts, "validation_rmse": value}))
        assert f"validation rmse {told}" in capsys.readouterr().err
