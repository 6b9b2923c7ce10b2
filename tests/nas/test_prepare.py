"""A strategy that wraps another passes on what it is told before a search."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from netwright.core.plugins import build, built
from netwright.core.records import Objective, Trial
from netwright.nas.context import SearchContext
from netwright.nas.strategies import auto
from netwright.nas.strategies.auto import Auto
from netwright.nas.strategies.warm_start import WarmStart
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.task import Task

ACCURACY = Objective(metric="accuracy", direction="maximize")


class Listening(Strategy):
    """Says in its proposals which folder it was prepared with."""

    _folder: Path | None = PrivateAttr(default=None)

    def prepare(self, context: SearchContext) -> Strategy:
        bound = self.model_copy()
        bound._folder = context.folder
        return bound

    def ask(
        self, space: SearchSpace, trials: Sequence[Trial], objectives: Sequence[Objective], rng: random.Random
    ) -> Proposal:
        return Proposal(space.sample(rng), f"prepared in {self._folder}")


def parts(tmp_path: Path) -> tuple[SearchSpace, SearchContext]:
    space, task = build("space", "cells"), build("task", "digits")
    assert isinstance(space, SearchSpace)
    assert isinstance(task, Task)
    return space, SearchContext(task, tmp_path)


def test_warm_start_prepares_the_strategy_that_goes_on(tmp_path: Path) -> None:
    space, context = parts(tmp_path)
    prepared = WarmStart(then=Listening()).prepare(context)
    assert prepared.ask(space, [], [ACCURACY], random.Random(0)).origin == f"prepared in {tmp_path}"


def test_warm_start_prepares_through_any_number_of_layers(tmp_path: Path) -> None:
    space, context = parts(tmp_path)
    prepared = WarmStart(then=WarmStart(then=Listening())).prepare(context)
    assert prepared.ask(space, [], [ACCURACY], random.Random(0)).origin == f"prepared in {tmp_path}"


def test_auto_prepares_the_strategy_it_picks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, context = parts(tmp_path)

    def picked(base: type[Any], spec: object) -> Any:
        return Listening() if base is Strategy else built(base, spec)

    monkeypatch.setattr(auto, "built", picked)
    prepared = Auto().prepare(context)
    assert prepared.ask(space, [], [ACCURACY], random.Random(0)).origin.endswith(f"prepared in {tmp_path}")
    assert Auto().ask(space, [], [ACCURACY], random.Random(0)).origin.endswith("prepared in None")
