"""The driver's own work for a trial does not grow with those that have ended; nothing it tells is lost by that."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from netwright.analysis.front import pareto_front
from netwright.core.progress import Event
from netwright.core.records import Measurement, TrialState
from netwright.runs import loop as module
from netwright.runs.executor import Outcome
from netwright.runs.loop import SearchLoop
from netwright.runs.search import create_run, writing


def outcome(rng: random.Random) -> Outcome:
    values = {"accuracy": rng.random(), "macs": rng.random() * 1e6}
    measured = {name: Measurement(metric=name, value=value) for name, value in values.items()}
    return Outcome(state=TrialState.DONE, measurements=measured, fidelity=2.0)


def test_every_event_tells_the_front_of_all_trials_without_looking_at_all(
    tiny_with, run_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def counted(trials: Any, objectives: Any) -> Any:
        looked.append(len(trials))
        return pareto_front(trials, objectives)

    monkeypatch.setattr(module, "pareto_front", counted)
    spec, rng = tiny_with("search.strategy=random_search", "search.trials=40"), random.Random(0)
    create_run(spec, run_path)
    for part in (20, 20):  # the second goes on with what is on record
        told: list[Event] = []
        with writing(run_path) as run:
            loop = SearchLoop(spec, run.record, folder=run_path, listener=told.append)
            looked.clear()
            for _ in range(part):
                job = loop.next_job()
                assert job is not None
                loop.finish(job.number, outcome(rng))
                front = pareto_front(loop.trials, spec.objectives)
                assert told[-1].facts["front"] == [trial.number for trial in front]
    assert len(loop.trials) == 40
    assert max(looked) < 20
