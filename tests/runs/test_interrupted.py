"""A run whose driver was killed says so; one that is being written, or was written elsewhere, does not."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sql

import netwright as nw
from netwright.core.errors import InterruptedRunError
from netwright.core.progress import Event
from netwright.core.records import Trial, TrialState
from netwright.runs.record import StudyRecord
from netwright.runs.view import open_run

RECIPE = Path(__file__).parents[2] / "recipes" / "digits-tiny.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    nw.search(RECIPE, out=folder, overrides=["search.trials=1", "search.training.epochs=1"])
    return folder


def leave(run: Path, *, state: str, host: str, pid: int) -> None:
    with sqlite3.connect(run / "run.db") as database:
        database.execute("update nw_facts set value = ? where name = 'state'", (json.dumps(state),))
    database.close()
    (run / ".lock.json").write_text(json.dumps({"host": host, "pid": pid}))


def test_only_a_driver_of_this_machine_that_has_ended_counts_as_killed(run: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    here = socket.gethostname()
    leave(run, state="searching", host=here, pid=child.pid)
    assert open_run(run).state == "interrupted"
    leave(run, state="searching", host="elsewhere", pid=child.pid)
    assert open_run(run).state == "searching"
    leave(run, state="searching", host=here, pid=os.getpid())
    assert open_run(run).state == "searching"
    leave(run, state="searched", host=here, pid=child.pid)
    assert open_run(run).state == "searched"


def test_what_was_stopped_goes_on_by_the_same_command(tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if event.name == "search.begin":
            raise KeyboardInterrupt

    folder = tmp_path / "digits"
    with pytest.raises(InterruptedRunError, match=f"netwright run --resume {folder}$"):
        nw.run(RECIPE, out=folder, listener=stop)
    with pytest.raises(InterruptedRunError, match=f"netwright run --resume {folder}$"):
        nw.resume_run(folder, listener=stop)
    with pytest.raises(InterruptedRunError, match=f"netwright search --resume {folder}$"):
        nw.resume(folder, listener=stop)


def test_ctrl_c_in_the_middle_of_a_write_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netwright.runs.database.WAIT_S", 0.2)
    folder, held = tmp_path / "digits", []

    def stop(event: Event) -> None:
        if event.name == "search.trial":
            held.append(sqlite3.connect(folder / "run.db", isolation_level=None))
            held[0].execute("begin immediate")
            raise KeyboardInterrupt

    changes = ["search.executor=inline", "search.training.epochs=1"]
    with pytest.raises(InterruptedRunError, match=f"netwright search --resume {folder}$"):
        nw.search(RECIPE, out=folder, overrides=changes, listener=stop)
    held[0].close()
    assert nw.resume(folder, overrides=["search.trials=2"]).counts["done"] >= 1


def test_a_change_of_the_record_is_whole_or_was_not_begun(run: Path) -> None:
    record = StudyRecord(run / "run.db")
    record.take_over()
    sent = []

    def send(*_: object) -> None:
        if not sent:
            sent.append(signal.raise_signal(signal.SIGINT))

    sql.event.listen(record._engine, "after_cursor_execute", send)
    with pytest.raises(KeyboardInterrupt):
        record.set_fact("told", "whole")
    assert record.fact("told") == "whole"
    record.close()


def test_trials_that_nobody_works_on_any_more_are_waiting(run: Path) -> None:
    record = StudyRecord(run / "run.db")
    record.take_over()
    (done,) = record.all_trials()
    record.start_trial(replace(done, number=1, identity="x", state=TrialState.RUNNING, measurements={}))
    record.close()
    for state, counted in (("searching", "running"), ("interrupted", "waiting")):
        leave(run, state=state, host=socket.gethostname(), pid=os.getpid())
        view = open_run(run)
        assert (view.counts[counted], str(view.trials[1].state)) == (1, counted)


def test_a_run_at_rest_is_not_read_again(run: Path) -> None:
    view = open_run(run)
    assert open_run(run, known=view) is view
    record = StudyRecord(run / "run.db")
    record.take_over()
    record.note("a change")
    record.close()
    assert open_run(run, known=view).sequence == view.sequence + 1


def test_what_is_recorded_while_a_run_is_read_is_news_afterwards(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = StudyRecord.all_trials

    def slowly(record: StudyRecord) -> list[Trial]:
        found = whole(record)
        writer = StudyRecord(run / "run.db")
        writer.take_over()
        writer.note("a change")
        writer.close()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(StudyRecord, "all_trials", slowly)
        view = open_run(run)
    assert open_run(run, known=view) is not view
