"""The last architectures of a small space are found, by listing them, before a search counts as exhausted."""

from __future__ import annotations

from pathlib import Path

import pytest

from netwright.core.clock import SystemClock
from netwright.core.plugins import build
from netwright.core.progress import silent
from netwright.nas.evidence import key_of
from netwright.nas.leftover import LISTED, all_of
from netwright.runs.proposing import Proposer
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
