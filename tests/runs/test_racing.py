"""Racing seeds: the front trained with several seeds, means with intervals, and who is beaten drops out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from netwright.core.errors import RunError
from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.runs.folder import RunFolder
from netwright.runs.noise import interval_of_mean, mean_of
from netwright.runs.racing import Racer, best_of, dropped, raced, winner_seed
from netwright.runs.record import StudyRecord
from netwright.runs.search import create_run, search, writing
from netwright.runs.specification import load_specification
from netwright.runs.winner import choose, trained_winner
from tests.runs.conftest import TINY

ACCURACY = Objective(metric="accuracy", direction="maximize")
PARAMS = Objective(metric="params", direction="minimize")


def racer(number: int, params: float, *accuracies: float) -> Racer:
    measured = {"params": Measurement(metric="params", value=params)}
    trial = Trial(number=number, decisions={}, identity=str(number), state=TrialState.DONE, measurements=measured)
    return Racer(trial, {"accuracy": list(accuracies)})


def test_an_interval_of_one_is_endless_and_narrows_with_more() -> None:
    assert interval_of_mean([0.5])[1:] == (-float("inf"), float("inf"))
    mean, low, high = interval_of_mean([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2.0, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)


def test_nobody_drops_out_after_one_seed() -> None:
    racers = [racer(0, 10, 0.9), racer(1, 20, 0.1)]
    assert dropped(racers, [ACCURACY, PARAMS], seeds=1) == racers


def test_who_is_clearly_worse_and_no_smaller_drops_out() -> None:
    good, worse, small = racer(0, 10, 0.90, 0.91, 0.92), racer(1, 20, 0.50, 0.51, 0.52), racer(2, 5, 0.50, 0.51, 0.52)
    after = dropped([good, worse, small], [ACCURACY, PARAMS], seeds=3)
    assert [one.dropped_after for one in after] == [None, 3, None]


def test_overlapping_intervals_keep_both() -> None:
    racers = [racer(0, 10, 0.90, 0.80, 0.95), racer(1, 20, 0.85, 0.88, 0.80)]
    assert dropped(racers, [ACCURACY, PARAMS], seeds=3) == racers


def test_a_mean_of_repeats_keeps_all_values_and_a_missing_one_its_reason() -> None:
    found = [Measurement(metric="accuracy", value=value) for value in (0.1, 0.2, 0.3)]
    assert mean_of(found).value == pytest.approx(0.2)
    assert mean_of(found).protocol == {"repeats": 3, "values": [0.1, 0.2, 0.3]}
    lost = Measurement(metric="accuracy", value=None, reason="not finite")
    assert mean_of([*found, lost]).reason == "not finite"


def test_the_front_is_raced_and_the_winner_is_the_best_mean(tiny_with, run_path: Path) -> None:
    spec = tiny_with(
        "winner={seeds: 3, training: {epochs: 2, batch_size: 64, learning_rate: 0.01}}",
        "search.trials=5",
        "search.strategy=random_search",
    )
    create_run(spec, run_path)
    search(run_path)
    with writing(run_path) as run:
        winner = trained_winner(run, "best")
        again = raced(run)
        assert choose(run, "best")[0].number == winner.facts["trial"]
        older = {name: value for name, value in winner.facts["training"].items() if name != "balanced"}
        run.record.set_fact("winner", {**winner.facts, "training": older})
        assert trained_winner(run, "best").facts["training"] == older, "taken up from before a setting existed"
    race = winner.facts["race"]
    assert dict(again) == race
    assert len(race["racers"]) == len(race["front"]) > 1
    for entry in race["racers"]:
        accuracy = entry["metrics"]["accuracy"]
        assert len(accuracy["values"]) == entry["seeds"] >= 2
        assert accuracy["low"] < accuracy["mean"] < accuracy["high"]
        assert (entry["seeds"] == 3) == (entry["dropped_after"] in (None, 3))
    stayed = [entry for entry in race["racers"] if entry["dropped_after"] is None]
    best = max(stayed, key=lambda entry: entry["metrics"]["accuracy"]["mean"])
    assert best["trial"] == race["winner"] == winner.facts["trial"]
    assert winner.facts["scores"]["accuracy"] == best["metrics"]["accuracy"]["values"][0]
    assert "by the mean over 3 seeds" in winner.facts["rule"]
    record = StudyRecord(RunFolder(run_path).database, read_only=True)
    assert record.fact("race") == race
    record.close()


def test_a_bound_is_kept_by_the_mean_where_any_keeps_it(tiny_with) -> None:
    spec = tiny_with("objectives=[{metric: accuracy, bound: 0.6}, params]", "winner.metric=params")
    racers = [racer(0, 10, 0.5, 0.6), racer(1, 20, 0.7, 0.8)]
    assert best_of(racers, spec).trial.number == 1
    assert best_of(racers[:1], spec).trial.number == 0


DIVERGING = "tests.runs.own_divergence:Diverging"


@pytest.fixture
def searched(tiny_with, run_path: Path) -> Path:
    """A run whose front is to be raced over four seeds, a third of which diverge."""
    spec = tiny_with(
        f"task={{kind: '{DIVERGING}', of: 3, rests: [0]}}",
        "winner={seeds: 4, training: {epochs: 1, batch_size: 64, learning_rate: 0.01}}",
        "search.training.epochs=1",
        "search.trials=6",
        "search.strategy=random_search",
        "objectives=[accuracy, params]",
    )
    create_run(spec, run_path)
    search(run_path)
    return run_path


def test_a_seed_that_diverges_leaves_the_race_to_the_others(searched: Path) -> None:
    with writing(searched) as run:
        winner = trained_winner(run, "best")
        assert trained_winner(run, "best").facts == winner.facts
    race = winner.facts["race"]
    failed = {entry["trial"]: [one["seed"] for one in entry["failed"]] for entry in race["racers"]}
    assert all(failed.values())
    for entry in race["racers"]:
        assert len(entry["metrics"]["accuracy"]["values"]) == entry["seeds"] - len(entry["failed"])
        assert all("lower the learning rate" in one["reason"] for one in entry["failed"])
    mine = failed[race["winner"]]
    first = next(seed for seed in range(4) if seed not in mine)
    assert winner.facts["seed"] == winner_seed(run.specification, winner.facts["identity"], first)
    best = next(entry for entry in race["racers"] if entry["trial"] == race["winner"])
    assert winner.facts["scores"]["accuracy"] == best["metrics"]["accuracy"]["values"][0]
    assert winner.facts["rule"].endswith(
        f"by the mean over 4 seeds, {len(mine)} of which failed" if mine else "4 seeds"
    )


def test_a_race_in_which_all_diverge_says_what_to_do(searched: Path) -> None:
    edited = [f"task={{kind: '{DIVERGING}', of: 1, rests: [0]}}"]
    with writing(searched) as run:
        spec = load_specification(TINY, overrides=[*edited, "winner={seeds: 2, training: {epochs: 1}}"])
        with pytest.raises(RunError, match=r"no training of the race gave a result: .*lower the learning rate"):
            raced(dataclasses.replace(run, specification=spec))
        assert run.record.fact("race") is None
