"""A run's database wherever it lies, and what is said when it cannot be used."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sql

from netwright.core.errors import RunError
from netwright.core.records import Trial, TrialState
from netwright.runs import database
from netwright.runs.optuna_mirror import OptunaMirror
from netwright.runs.record import StudyRecord
from netwright.runs.specification import RunSpecification

TRIAL = Trial(number=0, decisions={}, identity="one", state=TrialState.RUNNING)


def written(path: Path) -> StudyRecord:
    record = StudyRecord(path)
    record.take_over()
    record.start_trial(TRIAL)
    return record


def test_a_path_of_any_characters_is_the_path_of_the_file(tmp_path: Path, tiny: RunSpecification) -> None:
    path = tmp_path / "50% bünd?mode=ro#1 &x" / "run.db"
    path.parent.mkdir()
    written(path).close()
    mirror = OptunaMirror(path, name="study", objectives=tiny.objectives, space=tiny.searched)
    mirror.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.parent.name]
    with sqlite3.connect(path) as found:
        tables = {name for (name,) in found.execute("select name from sqlite_master")}
    assert {"nw_trials", "studies"} <= tables
    reader = StudyRecord(path, read_only=True)
    assert [trial.identity for trial in reader.all_trials()] == ["one"]
    reader.close()


def test_a_record_that_another_program_holds_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_S", 0.05)
    record = written(tmp_path / "run.db")
    with sqlite3.connect(tmp_path / "run.db", isolation_level=None) as other:
        other.execute("begin immediate")
        with pytest.raises(RunError, match="held by another program; close that, then go on with --resume"):
            record.note("something")
        other.execute("rollback")
    record.note("something")
    assert record.all_events()[-1]["name"] == "something"
    record.close()


def test_optunas_tables_say_so_too(tmp_path: Path, tiny: RunSpecification, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_S", 0.05)
    mirror = OptunaMirror(tmp_path / "run.db", name="study", objectives=tiny.objectives, space=tiny.searched)
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with sqlite3.connect(tmp_path / "run.db", isolation_level=None) as other:
        other.execute("begin immediate")
        with pytest.raises(RunError, match="held by another program"):
            mirror.add(Trial(number=0, decisions={}, identity="one", state=TrialState.FAILED))
        other.execute("rollback")
    mirror.close()


def test_a_read_only_folder_shows_the_last_changes_of_a_killed_driver(tmp_path: Path) -> None:
    original, moved = tmp_path / "run.db", tmp_path / "moved"
    record = written(original)
    moved.mkdir()
    for name in ("run.db", "run.db-wal"):  # as kill -9 leaves them: the last changes are in the log alone
        shutil.copy(tmp_path / name, moved)
    record.close()
    mounted = subprocess.run(["mount", "--bind", str(moved), str(moved)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no permission to mount a folder read-only")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(moved)], check=True)
        reader = StudyRecord(moved / "run.db", read_only=True)
        assert [trial.identity for trial in reader.all_trials()] == ["one"]
        reader.close()
    finally:
        subprocess.run(["umount", "-l", str(moved)], check=True)


def test_a_driver_that_wakes_up_in_the_middle_of_a_write_is_not_passed_by(tmp_path: Path) -> None:
    old, new = StudyRecord(tmp_path / "study.db"), StudyRecord(tmp_path / "study.db")
    old.take_over()
    taking = threading.Thread(target=new.take_over)
    passed: list[bool] = []

    def after_the_epoch_was_read(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("SELECT") and not passed:
            taking.start()
            taking.join(0.5)
            passed.append(not taking.is_alive())

    sql.event.listen(old._engine, "after_cursor_execute", after_the_epoch_was_read)
    old.note("written in time")
    taking.join()
    assert passed == [False]
    with pytest.raises(RunError, match="another driver has taken over"):
        old.note("too late")
    assert [event["name"] for event in new.all_events()] == ["written in time"]
    for record in (old, new):
        record.close()
