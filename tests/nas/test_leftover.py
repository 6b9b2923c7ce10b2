"""The last architectures of a small space are found, by listing them, before a search counts as exhausted."""

from __future__ import annotations

from pathlib import Path

import pytest

from netwright.core.clock import SystemClock
from netwright.core.plugins import build
from netwright.core.progress import Event, silent
from netwright.nas.evidence import key_of
from netwright.nas.leftover import LISTED, all_of
from netwright.runs.proposing import Proposer
from netwright.runs.search import create_run, search
from netwright.runs.specification import RunSpecification
from tests.nas.spaces import Mixed
from tests.nas.tables import Letters, all_letters

SMALL = {"kind": "mlp", "depth": [1, 2], "neurons": [4, 8]}


def test_all_of_a_small_space_are_listed_and_of_a_large_or_endless_one_none() -> None:
    assert set(all_of(Letters())) == {key_of(decisions) for decisions in all_letters()}
    assert all_of(build("space", "nasbench201")) == all_of(Mixed()) == ()
    assert LISTED < 5**6


def test_a_run_is_not_exhausted_before_all_were_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netwright.runs.proposing.ASKS", 1)
    monkeypatch.setattr("netwright.runs.proposing.DRAWS", 0)
    spec = RunSpecification.parse({"task": "digits", "space": SMALL, "search": {"strategy": "random_search"}})
    proposer = Proposer(spec, folder=tmp_path, clock=SystemClock(), listener=silent)
    trials = []
    while (trial := proposer.propose(trials, trials)) is not None:
        trials.append(trial)
    assert {key_of(trial.decisions) for trial in trials} == set(all_of(spec.searched))


def test_a_search_with_fewer_trials_than_asked_for_says_why(tmp_path: Path) -> None:
    one = {"depth": [1, 1], "neurons": [4], "activations": ["relu"], "batch_norms": [False], "dropouts": [0.0]}
    how = {"trials": 9, "strategy": "random_search", "executor": "inline", "training": {"epochs": 1, "samples": 64}}
    spec = RunSpecification.parse({"task": "digits", "space": {"kind": "mlp", **one}, "search": how})
    events: list[Event] = []
    search(create_run(spec, tmp_path / "run").path, specification=spec, listener=events.append)
    told = "the search ends after 1 of 9 trials: no architecture was found that is another network than those tried"
    assert told in [event.facts.get("text") for event in events]
