"""Trials begin at a low fidelity; the promising are promoted, and nothing that was found is lost."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from netwright.core.errors import ConfigurationError
from netwright.core.records import TrialState
from netwright.nas.promotion import is_paused
from netwright.runs.folder import RunFolder
from netwright.runs.record import StudyRecord
from netwright.runs.search import create_run, search
from netwright.runs.view import open_run
from tests.runs.records import kill_after, record_of

TRAINING = "search.training={batch_size: 64, learning_rate: 0.01, steps: 100}"
EPOCHS = (
    TRAINING,
    "search.strategy=random_search",
    "search.fidelity={rungs: [1, 2, 4], promotion: {kind: asha, eta: 2}}",
)


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search over three rungs of epochs, once for all tests here."""
    from netwright.runs.specification import load_specification
    from tests.runs.conftest import TINY

    path = tmp_path_factory.mktemp("halved") / "run"
    create_run(load_specification(TINY, overrides=[*EPOCHS, "search.trials=6"]), path)
    search(path)
    return path


def test_every_trial_is_recorded_at_the_fidelity_it_reached(halved: Path) -> None:
    trials = open_run(halved).trials
    assert {trial.fidelity for trial in trials} == {1.0, 2.0, 4.0}
    for trial in trials:
        assert len(trial.curve) == trial.fidelity
        assert [entry["fidelity"] for entry in trial.rungs] == [f for f in (1.0, 2.0, 4.0) if f <= trial.fidelity]
        assert (trial.state is TrialState.DONE) == (trial.fidelity == 4.0)
        assert is_paused(trial) == (trial.state is TrialState.STOPPED)
        assert ("weights" in trial.artifacts) == (trial.state is TrialState.DONE)
        if is_paused(trial):
            assert trial.reason == f"paused at {trial.fidelity:g} of 4 epochs"


def test_what_was_found_at_a_lower_rung_stays(halved: Path) -> None:
    for trial in open_run(halved).trials:
        for entry in trial.rungs:
            row = trial.curve[int(entry["fidelity"]) - 1]
            assert entry["measurements"]["accuracy"]["value"] == row["validation_accuracy"]
        assert trial.rungs[-1]["measurements"]["accuracy"]["value"] == trial.value("accuracy")


def test_the_best_of_a_rung_go_on(halved: Path) -> None:
    trials = open_run(halved).trials
    first = {t.number: t.rungs[0]["measurements"]["accuracy"]["value"] for t in trials}
    best = max(first, key=lambda number: first[number])
    worst = min(first, key=lambda number: first[number])
    assert trials[best].fidelity > 1
    assert trials[worst].fidelity == 1


def test_a_promoted_trial_goes_on_from_its_checkpoint_as_if_it_had_never_paused(
    halved: Path, tiny_with, run_path: Path
) -> None:
    plain = ("search.strategy=random_search", "search.stopper=never", "search.training.epochs=4", "search.trials=6")
    create_run(tiny_with(*plain), run_path)
    whole = {trial.identity: trial for trial in search(run_path)}
    done = [trial for trial in open_run(halved).trials if trial.state is TrialState.DONE]
    assert done
    for trial in done:
        assert trial.value("accuracy") == whole[trial.identity].value("accuracy")
        assert trial.artifacts == whole[trial.identity].artifacts
    record = StudyRecord(RunFolder(halved).database, read_only=True)
    assert len(record.attempts_of(done[0].number)) == 3
    assert [event["name"] for event in record.all_events()].count("trial.promote") == sum(
        len(trial.rungs) - 1 for trial in open_run(halved).trials
    )
    record.close()


def test_counts_and_optunas_study_have_every_trial_once(halved: Path) -> None:
    view = open_run(halved)
    assert sum(view.counts.values()) == view.asked == 6
    assert view.counts["running"] == view.counts["waiting"] == 0
    study = optuna.load_study(study_name=view.name, storage=f"sqlite:///{halved}/run.db")
    assert len(study.trials) == 6
    assert len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) == view.counts["done"]


@pytest.mark.parametrize("epochs", [2, 8])
def test_killed_and_resumed_equals_uninterrupted(epochs: int, halved: Path, tiny_with, run_path: Path) -> None:
    create_run(tiny_with(*EPOCHS, "search.trials=6"), run_path)
    kill_after(run_path, epochs=epochs)
    search(run_path)
    assert record_of(run_path) == record_of(halved)


def test_a_paused_trial_of_another_run_is_taken_over_and_goes_on(halved: Path, tiny_with, run_path: Path) -> None:
    create_run(tiny_with(*EPOCHS, "search.trials=8", f"search.reuse=[{halved}]"), run_path)
    trials = search(run_path)
    before = {trial.identity: trial for trial in open_run(halved).trials}
    known = [trial for trial in trials if "known from trial" in trial.origin]
    assert {trial.identity for trial in known} == set(before)
    assert all(t.rungs[0]["measurements"] == before[t.identity].rungs[0]["measurements"] for t in known)
    promoted = [trial for trial in known if trial.fidelity > before[trial.identity].fidelity]
    assert all(trial.seconds > 0 for trial in promoted)
    assert all(trial.seconds == 0 for trial in known if trial not in promoted)


@pytest.mark.parametrize("axis", ["data", "resolution", "width"])
def test_other_axes_train_anew_at_every_rung(axis: str, tiny_with, run_path: Path) -> None:
    spec = tiny_with(
        f"search.fidelity={{axis: {axis}, rungs: [0.5, 1], promotion: {{kind: pareto_asha, eta: 2}}}}",
        "search.stopper=never",
        "search.strategy=random_search",
        "search.trials=3",
    )
    create_run(spec, run_path)
    trials = search(run_path)
    assert not [trial.reason for trial in trials if trial.state is TrialState.FAILED]
    done = [trial for trial in trials if trial.state is TrialState.DONE]
    assert done
    for trial in done:
        half, whole = trial.rungs
        assert trial.fidelity == 1
        assert len(half["curve"]) == len(trial.curve) == 2
        assert half["curve"][0]["train_loss"] != trial.curve[0]["train_loss"]
        assert half["measurements"]["macs"] == whole["measurements"]["macs"]
        assert half["measurements"]["accuracy"]["value"] != whole["measurements"]["accuracy"]["value"]
    assert {trial.fidelity for trial in trials} == {0.5, 1.0}


def test_the_last_rung_says_the_epochs_and_the_rungs_take_the_stoppers_place(tiny_with) -> None:
    spec = tiny_with(TRAINING, "search={fidelity: {rungs: [1, 3, 9]}}")
    assert spec.search.training.epochs == 9
    assert spec.search.stopper.__class__.__name__ == "Never"
    assert type(spec).parse(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("fidelity", "message"),
    [
        ("{rungs: [1, 3]}", "training.epochs: is 2, but the last rung is 3"),
        ("{rungs: [3, 1]}", "must ascend from above 0, came \\[3, 1\\]"),
        ("{rungs: [0.5, 2]}", "must be whole epochs"),
        ("{axis: data, rungs: [0.1, 0.5]}", "must end with 1"),
        ("{axis: data, rungs: [0.5, 1]}", "stopper: must be never when the fidelity is data"),
    ],
)
def test_a_fidelity_that_cannot_be_is_refused(fidelity: str, message: str, tiny_with) -> None:
    with pytest.raises(ConfigurationError, match=message):
        tiny_with(f"search.fidelity={fidelity}")


def test_repeats_give_means_and_the_noise_of_one_training(tiny_with, run_path: Path) -> None:
    spec = tiny_with("search.repeats=3", "search.trials=2", "search.strategy=random_search", "search.stopper=never")
    create_run(spec, run_path)
    for trial in search(run_path):
        measured = trial.measurements["accuracy"]
        values = measured.protocol["values"]
        assert len(values) == 3
        assert values[0] == trial.curve[-1]["validation_accuracy"]
        assert measured.value == pytest.approx(sum(values) / 3)
        assert len(set(values)) > 1
    record = StudyRecord(RunFolder(run_path).database, read_only=True)
    noise = record.fact("noise")["accuracy"]
    record.close()
    assert noise["trainings"] == 6
    assert 0 < noise["std"] < 0.5
