"""The wall clock may be set back or forwards while a search runs: it is shown, and nothing is decided by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from netwright.core.records import Measurement, TrialState
from netwright.runs.executor import Outcome
from netwright.runs.loop import SearchLoop
from netwright.runs.record import StudyRecord
from netwright.runs.specification import RunSpecification

BEGIN = datetime(2031, 3, 30, 0, 59, tzinfo=UTC)
GOOD = {name: Measurement(metric=name, value=value) for name, value in (("accuracy", 0.9), ("macs", 1e5))}


@dataclass
class Wall:
    """A clock whose wall time is moved by hand, apart from the seconds that have passed."""

    ahead: timedelta = timedelta()
    passed: float = 0.0

    def now(self) -> str:
        return (BEGIN + self.ahead + timedelta(seconds=self.passed)).isoformat(timespec="milliseconds")

    def monotonic(self) -> float:
        return self.passed


def answered(spec: RunSpecification, folder: Path, hours: tuple[int, ...]) -> list[str]:
    """The identities of a search with a minute for each trial, the clock moved by so many hours before each."""
    clock = Wall()
    record = StudyRecord(folder / "run.db", clock=clock)
    record.take_over()
    loop = SearchLoop(spec, record, folder=folder, clock=clock)
    for step in range(99):
        clock.ahead += timedelta(hours=hours[step % len(hours)])
        if (job := loop.next_job()) is None:
            break
        clock.passed += 60
        loop.finish(job.number, Outcome(state=TrialState.DONE, measurements=GOOD, seconds=60))
    events = record.all_events()
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)
    assert [trial.number for trial in record.all_trials()] == list(range(len(loop.trials)))
    assert {trial.seconds for trial in record.all_trials()} == {60}
    assert all(attempt["ended"] for trial in loop.trials for attempt in record.attempts_of(trial.number))
    record.close()
    return [trial.identity for trial in loop.trials]


def test_a_clock_that_jumps_changes_neither_the_search_nor_its_budget(tiny_with, tmp_path: Path) -> None:
    spec = tiny_with("search.trials=20", "search.budget_s=290", "search.strategy=random_search")
    found = []
    for name, hours in (("steady", (0,)), ("back", (0, -1, 0)), ("forwards", (0, 1, 25))):
        (tmp_path / name).mkdir()
        found.append(answered(spec, tmp_path / name, hours))
    assert [len(one) for one in found] == [5, 5, 5], "290 s are room for five trials of a minute"
    assert found[0] == found[1] == found[2]
