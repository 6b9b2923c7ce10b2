"""Long work before a first proposal is not silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netwright.core.plugins import build
from netwright.core.progress import Event, Listener
from netwright.core.records import Objective
from netwright.core.seeds import generator
from netwright.nas import reporting
from netwright.nas.context import SearchContext
from netwright.nas.strategies import one_shot
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.task import Task
from tests.nas.searching import strategy

SPACE = {"kind": "cells", "nodes": 3, "operations": ["skip", "conv_3x3"], "widths": [4], "depths": [1], "stages": 1}


def test_it_says_how_far_it_is_and_how_long_the_rest_takes_at_most_every_few_seconds() -> None:
    said: list[str] = []
    times = iter([0.0, 2.0, 6.0, 7.0, 12.0])
    report = reporting.Report(lambda e: said.append(str(e.facts["text"])), "epoch", 9, clock=lambda: next(times))
    for done in (5, 6, 7, 8):  # four were done before
        report(done)
    assert said == ["epoch 6 of 9, about 9 s left", "epoch 8 of 9, about 3 s left"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"kind": "one_shot", "pool": 2, "training": {"epochs": 1, "samples": 64}},
            "in which 2 architectures are scored afterwards, epoch 1 of 1",
        ),
        ({"kind": "differentiable", "training": {"epochs": 1, "samples": 64}}, "differentiable: epoch 1 of 1"),
        ({"kind": "zero_cost", "pool": 2}, "scored, 2 of 2"),
    ],
)
def test_strategies_that_work_before_they_propose_say_so(
    spec: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "EVERY_S", 0.0)
    said: list[Event] = []
    task, space = build("task", "digits"), build("space", SPACE)
    assert isinstance(task, Task)
    assert isinstance(space, SearchSpace)
    context = SearchContext(task, tmp_path, listener=said.append)
    goals = [Objective(metric="accuracy", direction="maximize")]
    strategy(spec).prepare(context).ask(space, [], goals, generator(0, "ask"))
    assert any(says in str(event.facts["text"]) for event in said)


def test_the_time_left_for_scores_does_not_count_the_training_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    class Noted(reporting.Report):
        def __init__(self, listener: Listener, what: str, total: int) -> None:
            super().__init__(listener, what, total)
            begun.append(what)

    monkeypatch.setattr(one_shot, "Report", Noted)
    task, space = build("task", "digits"), build("space", SPACE)
    assert isinstance(task, Task)
    assert isinstance(space, SearchSpace)
    found = strategy({"kind": "one_shot", "pool": 2, "training": {"epochs": 1, "samples": 64}})
    goals = [Objective(metric="accuracy", direction="maximize")]
    found.prepare(SearchContext(task, tmp_path)).ask(space, [], goals, generator(0, "ask"))
    assert ["supernet, in which" in what for what in begun] == [True, False]
