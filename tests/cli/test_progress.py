"""What is said of the time that is left."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

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
