"""In ordered mode the number of workers, their kind and a kill change nothing of what is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from netwright.core.records import Measurement, Trial, TrialState
from netwright.runs.ordering import entry_of, horizons, next_step, seen_from, still_runs
from netwright.runs.search import create_run, search
from netwright.runs.specification import load_specification
from tests.runs.conftest import TINY
from tests.runs.records import kill_after, record_of

PLAIN = ("search.trials=8", "seed=4")
"""Evolution and the median rule: both learn from what has come."""
RUNGS = (
    "search.training={batch_size: 64, learning_rate: 0.01, steps: 100}",
    "search.fidelity={rungs: [1, 2], learn_from: 3, promotion: {kind: pareto_asha, eta: 2}}",
    "search.trials=7",
)
PREDICTED = (
    "search.training={batch_size: 64, learning_rate: 0.01, steps: 100}",
    "search.strategy={kind: predictor, startup: 3}",
    "objectives=[accuracy]",
    "search.fidelity={rungs: [1, 2], learn_from: 3, promotion: {kind: predicted, startup: 3, share: 0.3}}",
    "search.trials=7",
)
"""One objective, a model of both rungs."""
CASES = {"stopper": PLAIN, "rungs": RUNGS, "predicted": PREDICTED}


def searched(path: Path, case: str, *, executor: str, workers: int, killed: int = 0) -> list[tuple[object, ...]]:
    """The record of an ordered search."""
    place = f"search.executor={{kind: {executor}, workers: {workers}}}"
    ordered = ("search.ordered=true", "search.lag=2", place)
    create_run(load_specification(TINY, overrides=[*CASES[case], *ordered]), path)
    if killed:
        kill_after(path, epochs=killed)
    search(path)
    return record_of(path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    """The records of one worker, which all others are compared with."""
    folder = tmp_path_factory.mktemp("alone")
    return {case: searched(folder / case, case, executor="inline", workers=1) for case in CASES}


def test_the_search_is_worth_comparing(alone: dict[str, list[tuple[object, ...]]]) -> None:
    for record in alone.values():
        assert any("mutation" in str(trial[7]) or "predictor" in str(trial[7]) for trial in record)
        assert {trial[3] for trial in record} >= {"done", "stopped"}


@pytest.mark.parametrize("case", CASES)
def test_four_processes_give_the_same_record(case, alone, tmp_path: Path) -> None:
    assert searched(tmp_path / "run", case, executor="processes", workers=4) == alone[case]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_ray_gives_the_same_record(case, alone, tmp_path: Path) -> None:
    assert searched(tmp_path / "run", case, executor="ray_tune", workers=2) == alone[case]


@pytest.mark.parametrize("case", CASES)
def test_killed_with_two_workers_and_resumed_gives_the_same_record(case, alone, tmp_path: Path) -> None:
    assert searched(tmp_path / "run", case, executor="processes", workers=2, killed=5) == alone[case]


def trial(number: int, *steps: int, state: TrialState = TrialState.DONE) -> Trial:
    rungs = [
        {**entry_of(fidelity=float(place + 1), step=step, horizon=None), "measurements": {}}
        for place, step in enumerate(steps)
    ]
    measured = {name: Measurement(metric=name, value=1.0) for name in ("accuracy", "params", "latency_ms")}
    return Trial(
        number=number, decisions={}, identity=str(number), state=state, rungs=rungs, measurements=measured, fidelity=2.0
    )


def test_a_step_sees_the_steps_before_its_lag_and_no_others() -> None:
    trials = [trial(0, 0), trial(1, 1), trial(2, 2)]
    seen = seen_from(trials, 2)
    assert [t.state for t in seen] == [TrialState.DONE, TrialState.DONE, TrialState.RUNNING]
    assert seen[:2] == trials[:2]
    assert set(seen[2].measurements) == {"params"}
    assert next_step(trials) == 3


def test_a_promotion_that_is_too_new_shows_the_trial_at_its_rung_before() -> None:
    (seen,) = seen_from([trial(0, 0, 5)], 3)
    assert (seen.state, seen.fidelity, len(seen.rungs)) == (TrialState.RUNNING, 1.0, 1)


def test_the_horizon_moves_on_where_there_is_nothing_to_do_and_is_endless_without_order() -> None:
    assert list(horizons(7, lag=3)) == [4, 5, 6, 7]
    assert list(horizons(1, lag=3)) == [0, 1]
    assert list(horizons(0, lag=3)) == [0]
    assert list(horizons(7, lag=None)) == [None]


def test_a_step_waits_for_those_it_may_use_alone() -> None:
    trials = [trial(0, 0), trial(1, 1, state=TrialState.RUNNING)]
    assert not still_runs(trials, 1)
    assert still_runs(trials, 2)
    assert not still_runs(trials, None)


def test_what_is_infeasible_at_once_is_known_to_every_later_step() -> None:
    infeasible = Trial(number=0, decisions={}, identity="0", state=TrialState.INFEASIBLE)
    assert seen_from([infeasible], 0) == [infeasible]
