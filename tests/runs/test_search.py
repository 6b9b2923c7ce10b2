"""A search records every trial, pays for no architecture twice, and goes on after being killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from netwright.core.errors import InfeasibleError, RunError, SpaceError
from netwright.core.records import TrialState
from netwright.runs.folder import RunFolder
from netwright.runs.record import StudyRecord
from netwright.runs.reuse import way_of
from netwright.runs.search import create_run, search
from netwright.runs.view import open_run
from tests.runs.conftest import TINY


def comparable(path: Path) -> list[tuple[object, ...]]:
    """What must be equal between two records of the same search."""
    rows = []
    for trial in open_run(path).trials:
        values = {name: m.value for name, m in trial.measurements.items()}
        rows.append((trial.number, trial.decisions, trial.identity, trial.state, trial.seed, trial.fidelity, values))
    return rows


def test_every_trial_is_recorded_once(tiny, run_path) -> None:
    create_run(tiny, run_path)
    trials = search(run_path)
    view = open_run(run_path)
    assert len(trials) == tiny.search.trials == view.asked
    assert len({trial.identity for trial in view.trials}) == len(view.trials)
    assert sum(view.counts.values()) == tiny.search.trials
    done = [trial for trial in view.trials if trial.state is TrialState.DONE]
    assert done
    for trial in done:
        assert trial.value("accuracy") is not None
        assert trial.fidelity == tiny.search.training.epochs
        assert len(trial.curve) == tiny.search.training.epochs
        assert (run_path / "objects" / trial.artifacts["weights"][:2] / trial.artifacts["weights"]).exists()


def test_optunas_own_tools_can_read_the_record(tiny, run_path) -> None:
    create_run(tiny, run_path)
    search(run_path)
    study = optuna.load_study(study_name=tiny.name, storage=f"sqlite:///{run_path}/run.db")
    assert len(study.trials) == tiny.search.trials
    view = open_run(run_path)
    best = max(t.values[0] for t in study.trials if t.values is not None)
    assert best == max(t.value("accuracy") for t in view.trials if t.state is TrialState.DONE)


@pytest.mark.parametrize("space", ["convnet", "recurrent"])
def test_spaces_whose_options_depend_on_each_other_are_mirrored_too(space: str, tiny_with, run_path) -> None:
    spec = tiny_with(f"space={space}", "objectives=[accuracy]", "search.strategy=tpe", "search.trials=5")
    create_run(spec, run_path)
    search(run_path)
    study = optuna.load_study(study_name=spec.name, storage=f"sqlite:///{run_path}/run.db")
    assert len(study.trials) == 5


@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_executors_give_the_same_record(executor: str, tiny_with, tmp_path: Path) -> None:
    common = ["search.trials=3", "search.strategy=random_search"]
    for name in ("inline", executor):
        overrides = [*common, f"search.executor={{kind: {name}, workers: 1}}"]
        create_run(tiny_with(*overrides), tmp_path / name)
        search(tmp_path / name)
    assert comparable(tmp_path / executor) == comparable(tmp_path / "inline")


def test_a_search_killed_in_the_middle_goes_on_and_ends_as_if_nothing_had_happened(
    tiny_with,
    tmp_path: Path,
) -> None:
    overrides = ["search.trials=6", "search.executor=inline"]
    create_run(tiny_with(*overrides), tmp_path / "whole")
    search(tmp_path / "whole")
    path = tmp_path / "killed"
    create_run(tiny_with(*overrides), path)
    script = f"from pathlib import Path\nfrom netwright.runs.search import search\nsearch(Path({str(path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 300
    while sum(t.state in (TrialState.DONE, TrialState.STOPPED) for t in open_run(path).trials) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {t.number: t.to_json() for t in open_run(path).trials if t.state in (TrialState.DONE, TrialState.STOPPED)}
    search(path)
    after = {trial.number: trial.to_json() for trial in open_run(path).trials}
    assert len(before) >= 2
    assert all(after[number] == trial for number, trial in before.items())
    assert comparable(path) == comparable(tmp_path / "whole")


def test_an_interrupted_attempt_stays_on_record(tiny_with, run_path) -> None:
    spec = tiny_with("search.trials=2", "search.executor=inline")
    create_run(spec, run_path)
    record = StudyRecord(RunFolder(run_path).database)
    record.take_over()
    search_one = search(run_path)
    assert len(search_one) == 2
    with pytest.raises(RunError, match="another driver has taken over"):
        record.note("late")
    assert record.attempts_of(0)[0]["kind"] == "ok"


def test_a_second_driver_is_refused(tiny, run_path) -> None:
    folder = create_run(tiny, run_path)
    script = (
        "from pathlib import Path; from netwright.runs.folder import RunFolder; import time\n"
        f"with RunFolder(Path({str(run_path)!r})).lock():\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(RunError, match=f"in use by process {holder.pid}"):
            search(run_path)
    finally:
        holder.kill()
        holder.wait()
    with folder.lock():
        pass


def test_a_bound_that_nothing_keeps_is_said_before_anything_is_written(tiny_with, run_path) -> None:
    spec = tiny_with("objectives=[accuracy, {metric: macs, bound: 10}]")
    with pytest.raises(InfeasibleError, match="macs bound 10, nearest"):
        create_run(spec, run_path)
    assert not run_path.exists()


def test_what_breaks_a_cheap_bound_is_never_trained(tiny_with, run_path) -> None:
    spec = tiny_with(
        "objectives=[accuracy, {metric: macs, bound: 30000}]", "search.trials=12", "search.strategy=random_search"
    )
    create_run(spec, run_path)
    search(run_path)
    infeasible = [t for t in open_run(run_path).trials if t.state is TrialState.INFEASIBLE]
    assert infeasible
    for trial in infeasible:
        assert "is above the bound 30,000" in trial.reason
        assert trial.curve == () or trial.curve == []
        assert trial.value("accuracy") is None


def test_a_space_that_does_not_fit_the_input_says_so(tiny_with, run_path) -> None:
    with pytest.raises(SpaceError, match="makes no network for inputs of shape"):
        create_run(tiny_with("space=tests.runs.spaces:WrongEnd"), run_path)


def test_an_exhausted_space_ends_the_search_cleanly(tiny_with, run_path) -> None:
    spec = tiny_with(
        "space={kind: cells, nodes: 2, operations: [skip, conv_1x1], widths: [4], depths: [1], stages: 1}",
        "search.trials=20",
    )
    create_run(spec, run_path)
    trials = search(run_path)
    assert len(trials) == 2


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, tiny) -> None:
    with pytest.raises(RunError, match="there is no such folder"):
        open_run(tmp_path / "absent")
    with pytest.raises(RunError, match="expected specification"):
        open_run(tmp_path)
    (tmp_path / "something").write_text("mine")
    with pytest.raises(RunError, match="exists and is not empty"):
        create_run(tiny, tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "newer"])
def test_a_damaged_run_is_refused_by_name(damage: str, tiny, run_path) -> None:
    create_run(tiny, run_path)
    database, frozen = run_path / "run.db", run_path / "specification.json"
    if damage == "truncated":
        database.write_bytes(database.read_bytes()[:3000])
    elif damage == "garbage":
        frozen.write_text("{")
    else:
        frozen.write_text(json.dumps({"format": 99, "specification": {}}))
    with pytest.raises(RunError, match=r"damaged|not a readable study record|newer netwright"):
        open_run(run_path)


def test_what_another_run_measured_in_the_same_way_is_not_paid_for_again(tiny_with, tmp_path: Path) -> None:
    common = ["search.strategy=random_search", "search.stopper=never", "search.executor=inline"]
    create_run(tiny_with(*common, "search.trials=3"), tmp_path / "first")
    first = search(tmp_path / "first")
    reuse = f"search.reuse=[{tmp_path / 'first'}]"
    create_run(tiny_with(*common, "search.trials=4", reuse), tmp_path / "second")
    second = search(tmp_path / "second")
    for before, after in zip(first, second[:3], strict=True):
        assert after.measurements == before.measurements
        assert f"known from trial {before.number} of first" in after.origin
        assert after.seconds == 0
        digest = after.artifacts["weights"]
        assert (tmp_path / "second" / "objects" / digest[:2] / digest).exists()
    assert second[3].seconds > 0
    create_run(tiny_with(*common, "search.trials=1", "search.training.epochs=1", reuse), tmp_path / "other")
    assert search(tmp_path / "other")[0].seconds > 0


def test_a_run_from_before_a_setting_existed_counts_as_measured_with_its_default(tiny, tiny_with) -> None:
    older, balanced = tiny.to_json(), tiny_with("search.training.balanced=true")
    del older["search"]["training"]["balanced"], older["search"]["latency"]["control"]
    assert way_of(older, data="a") == way_of(tiny.to_json(), data="a")
    assert way_of(older, data="a") != way_of(balanced.to_json(), data="a")


def test_two_starts_at_once_get_a_folder_each(tiny, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = RunFolder.take_next(tiny.name)
    assert create_run(tiny).path == Path("runs/digits-tiny-2")
    assert RunFolder.create(first, specification={}, environment={}).path == Path("runs/digits-tiny-1")


def test_a_search_without_ray_imports_no_ray() -> None:
    code = (
        "import sys; from pathlib import Path; import netwright.runs.search\n"
        "from netwright.runs.specification import load_specification\n"
        f"load_specification(Path({str(TINY)!r}))\n"
        "assert not {'ray', 'pandas', 'torch', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_opening_a_run_imports_nothing_of_it(tiny_with, run_path, monkeypatch) -> None:
    own = run_path.parent / "own_space_of_a_stranger.py"
    own.write_text("from netwright.search_spaces.spaces.cells import Cells\n\n\nclass Own(Cells):\n    pass\n")
    monkeypatch.syspath_prepend(run_path.parent)
    settings = "nodes: 2, operations: [skip, conv_1x1], widths: [4], depths: [1], stages: 1"
    create_run(tiny_with(f"space={{kind: 'own_space_of_a_stranger:Own', {settings}}}"), run_path)
    search(run_path)
    script = (
        "import sys; from pathlib import Path; from netwright.runs.view import open_run\n"
        f"sys.path.insert(0, {str(run_path.parent)!r})\n"
        f"view = open_run(Path({str(run_path)!r}))\n"
        "assert len(view.graphs) == 0 and 'own_space_of_a_stranger' not in sys.modules\n"
        f"assert open_run(Path({str(run_path)!r}), trust=True).graphs[0]['nodes']"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
