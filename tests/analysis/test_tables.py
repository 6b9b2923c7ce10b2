"""Frames, intervals and the trade-off table say what was measured, and compute what they compare."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwright.analysis.frames import trials_frame
from netwright.analysis.intervals import wilson
from netwright.analysis.tradeoff import final_stage, tradeoff
from netwright.core.errors import DataError
from netwright.core.records import Measurement, Objective, Trial, TrialState

OBJECTIVES = (
    Objective(metric="accuracy", direction="maximize"),
    Objective(metric="latency_ms", direction="minimize", bound=1.0),
)


def make(number: int, accuracy: float | None, latency: float, state: TrialState = TrialState.DONE) -> Trial:
    found = {
        "accuracy": Measurement(metric="accuracy", value=accuracy),
        "latency_ms": Measurement(metric="latency_ms", value=latency, unit="ms"),
    }
    decisions = {"depth": number}
    return Trial(number=number, decisions=decisions, identity=str(number), state=state, measurements=found)


def test_frame_has_a_row_per_trial_in_order_of_number() -> None:
    trials = [make(1, 0.9, 0.5), make(0, 0.8, 2.0), make(2, None, 0.1, TrialState.FAILED)]
    frame = trials_frame(trials, OBJECTIVES)
    assert list(frame.index) == [0, 1, 2]
    assert list(frame["feasible"]) == [False, True, False]
    assert list(frame["on_front"]) == [False, True, False]
    assert math.isnan(frame["accuracy"][2])
    assert list(frame["decision:depth"]) == [0, 1, 2]


def test_frame_of_no_trials_has_the_columns() -> None:
    frame = trials_frame([], OBJECTIVES)
    assert len(frame) == 0
    assert {"state", "accuracy", "latency_ms", "reason"} <= set(frame.columns)


# Newcombe (1998), Statistics in Medicine 17, table I, method 3 (score without continuity correction).
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_agrees_with_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits / n, n=n) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_interval_holds_the_share_and_stays_within_0_and_1(n: int, share: float) -> None:
    low, high = wilson(share, n=n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


@pytest.mark.parametrize(("share", "n"), [(98.5, 100), (-0.1, 100), (0.5, 0)])
def test_wilson_refuses_what_is_no_share(share: float, n: int) -> None:
    with pytest.raises(DataError):
        wilson(share, n=n)


def test_tradeoff_compares_every_stage_with_the_first() -> None:
    stages = [
        {"stage": "winner", "accuracy": 0.99, "n": 1000, "latency_ms": 2.0, "size_bytes": 4000, "params": None},
        {"stage": "prune", "accuracy": 0.98, "n": 1000, "latency_ms": 0.5, "size_bytes": 1000, "params": 7},
        {"stage": "quantize", "accuracy": 0.5, "kept": False, "reason": "accuracy", "latency_ms": None},
    ]
    rows = tradeoff(stages)
    assert rows[0]["size_bytes_factor"] == 1
    assert rows[0]["accuracy_change"] == 0
    assert rows[1]["latency_ms_factor"] == 4
    assert rows[1]["size_bytes_change"] == -3000
    assert rows[1]["accuracy_change"] == pytest.approx(-0.01)
    assert (rows[1]["accuracy_low"], rows[1]["accuracy_high"]) == wilson(0.98, n=1000)
    assert rows[1]["params_factor"] is None
    assert rows[2]["latency_ms_factor"] is None
    assert final_stage(rows) is rows[1]


def test_tradeoff_carries_the_paired_speed_up_and_the_spread() -> None:
    latency = {"iqr_ms": 0.02, "noisy": False, "speedup_low": 3.8, "speedup_high": 4.1}
    row = tradeoff([{"stage": "prune", "latency_ms": 0.5, "speedup": 4.0, "latency": latency}])[0]
    assert (row["speedup"], row["speedup_low"], row["speedup_high"]) == (4.0, 3.8, 4.1)
    assert row["latency_ms_spread"] == 0.02


def test_tradeoff_of_nothing_is_empty() -> None:
    assert tradeoff([]) == []
    assert final_stage([]) is None
