"""What goes wrong around a search: bad trials, dying workers, Ctrl-C, a full disk."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from netwright import api
from netwright.cli import main
from netwright.core.errors import InfeasibleError, InterruptedRunError
from netwright.core.progress import Event
from netwright.core.records import TrialState
from netwright.runs.folder import RunFolder
from netwright.runs.record import StudyRecord
from netwright.runs.search import create_run, search
from netwright.runs.view import open_run
from tests.conftest import ROOT

TINY = ROOT / "recipes" / "digits-tiny.yaml"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "netwright", *arguments]


def done_in(path: Path) -> int:
    """Trials that are done, read beside the running driver."""
    try:
        with sqlite3.connect(f"file:{path}/run.db?mode=ro", uri=True) as database:
            return int(database.execute("select count(*) from nw_trials where state = 'done'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def wait_until(condition, process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_ctrl_c_ends_a_search_with_one_sentence_and_it_can_go_on(executor: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    arguments = ["search", str(TINY), "--out", str(path), "--executor", executor, "--set", "search.trials=30"]
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    wait_until(lambda: done_in(path) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert f"Go on with: netwright search --resume {path}" in errors
    assert "Traceback" not in errors
    assert open_run(path).asked == 30
    before = done_in(path)
    more = ["search", "--resume", str(path), "--executor", "inline", "--set", f"search.trials={before + 3}", "--json"]
    done = subprocess.run(command(*more), capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert json.loads(done.stdout)["trials"]["asked"] == len(open_run(path).trials) >= before + 3
    assert done_in(path) >= before


def test_ctrl_c_after_the_search_names_the_run_to_go_on_with(tiny_with, run_path: Path) -> None:
    def stop(event: Event) -> None:
        if event.name == "winner.epoch":
            raise KeyboardInterrupt

    recipe = tiny_with("search.executor=inline", "search.trials=1")
    with pytest.raises(InterruptedRunError, match=f"Go on with: netwright run --resume {run_path}"):
        api.run(recipe, out=run_path, listener=stop)
    with pytest.raises(InterruptedRunError, match=f"Go on with: netwright run --resume {run_path}"):
        api.resume_run(run_path, listener=stop)


@pytest.mark.parametrize(("do", "command"), [(api.run, "run"), (api.search, "search")])
def test_ctrl_c_before_the_first_trial_names_the_run_to_go_on_with(do, command: str, tiny_with, run_path: Path) -> None:
    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match=f"Go on with: netwright {command} --resume {run_path}"):
        do(tiny_with("search.executor=inline"), out=run_path, listener=stop)
    assert open_run(str(run_path)).state == "new"


def test_ctrl_c_before_there_is_a_run_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", str(TINY), "--set", "task=tests.runs.treacherous:Stopping"]
    assert main.run(arguments) == 130
    told = capsys.readouterr().err.strip()
    assert told == "error: stopped by the user; what was recorded is kept. Go on with: the same command"
    assert not list(tmp_path.iterdir())


def test_a_bad_trial_of_any_kind_does_not_end_the_search(tiny_with, run_path: Path) -> None:
    spec = tiny_with(
        "space=tests.runs.treacherous:Treacherous",
        "search.executor={kind: processes, workers: 2}",
        "search.trials=6",
        "search.strategy=random_search",
    )
    create_run(spec, run_path)
    trials = {trial.decisions["fate"]: trial for trial in search(run_path)}
    expected = {
        "bug": ("error", "ValueError: a bug in the network at treacherous.py, line ", 1),
        "exit": ("killed", "exit code 3", 2),
        "killed": ("killed", "was killed", 2),
        "nan": ("not finite", "", 1),
        "memory": ("out of memory", "cannot have so much memory", 1),
    }
    assert set(trials) == {"none", *expected}
    assert trials["none"].state is TrialState.DONE
    for fate, (kind, reason, count) in expected.items():
        assert trials[fate].state is TrialState.FAILED
        assert reason in trials[fate].reason
        assert [attempt["kind"] for attempt in attempts(run_path, trials[fate].number)] == [kind] * count, fate
    assert "a bug in the network" in (run_path / "logs" / f"trial-{trials['bug'].number:06d}-attempt-1.log").read_text()


def test_a_trial_that_hangs_is_ended_at_its_limit(tiny_with, run_path: Path) -> None:
    spec = tiny_with(
        "space={kind: 'tests.runs.treacherous:Treacherous', fates: [hang, bug]}",
        "search.executor={kind: processes, workers: 2}",
        "search.trials=2",
        "search.trial_limit_s=3",
    )
    create_run(spec, run_path)
    with pytest.raises(InfeasibleError, match="no trial came to an end"):
        search(run_path)
    view = open_run(run_path)
    (hung,) = (trial for trial in view.trials if trial.decisions["fate"] == "hang")
    assert hung.state is TrialState.FAILED
    assert "took longer than 3 s" in hung.reason
    assert [event["kind"] for event in attempts(run_path, hung.number)] == ["timeout"]


def attempts(path: Path, number: int) -> list[dict[str, Any]]:
    """The attempts at a trial."""
    with closing(StudyRecord(RunFolder(path).database, read_only=True)) as record:
        return record.attempts_of(number)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; skipped where one may not be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no permission to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_limit_on_files_is_said_like_a_full_disk(run_path: Path) -> None:
    limited = "import resource, sys; from netwright.cli.main import main; "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); main(sys.argv[1:])"
    arguments = ["search", str(TINY), "--out", str(run_path), "--executor", "inline", "--set", "search.trials=2"]
    started = [sys.executable, "-c", limited, *arguments]
    done = subprocess.run(started, capture_output=True, text=True, env=ENVIRONMENT, cwd=run_path.parent, check=False)
    assert "the disk is full, or a quota or limit on files is reached" in done.stderr
    assert done.returncode == 2


def test_a_full_disk_is_said_and_the_search_goes_on_once_there_is_room(small_disk: Path) -> None:
    path = small_disk / "run"
    arguments = ["search", str(TINY), "--out", str(path), "--executor", "inline", "--set", "search.trials=40"]
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    before = {t.number: t.to_json() for t in open_run(path).trials if t.state is TrialState.DONE}
    assert before
    total = max(before) + 3
    more = ["search", "--resume", str(path), "--set", f"search.trials={total}", "--json"]
    subprocess.run(command(*more), capture_output=True, text=True, env=ENVIRONMENT, check=True)
    view = open_run(path)
    assert view.asked == len(view.trials) >= total
    assert all(view.trials[number].to_json() == trial for number, trial in before.items())
