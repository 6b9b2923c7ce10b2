"""A record that was edited, cut or emptied is refused with the place that is damaged; nothing is begun afresh."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import netwright as nw
from netwright.core.errors import NetwrightError, RunError
from netwright.core.files import file_hash
from netwright.runs.view import open_run
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    nw.search(ROOT / "recipes" / "digits-tiny.yaml", out=folder, overrides=["search.trials=3"])
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "moved" / "run"))


def change(run: Path, statement: str) -> None:
    with sqlite3.connect(run / "run.db") as database:
        database.execute(statement)
    database.close()


ROWS = {
    "half a row": ("update nw_trials set value = substr(value, 1, 40) where number = 1", "trial 1 is damaged"),
    "a row without decisions": (
        "update nw_trials set value = json_remove(value, '$.decisions') where number = 1",
        "trial 1 is damaged.*'decisions'",
    ),
    "a row of a newer version": (
        "update nw_trials set value = json_set(value, '$.mood', 1) where number = 2",
        "trial 2 is damaged, or was written by a newer netwright.*'mood'",
    ),
    "a state that is none": ("update nw_trials set value = json_set(value, '$.state', 'odd')", "trial 0.*'odd'"),
    "no row": ("delete from nw_trials where number = 1", "has lost trial 1"),
    "a measurement": (
        "update nw_measurements set protocol = '{' where trial = 1 and metric = 'macs'",
        "the measurement 'macs' of trial 1",
    ),
    "a fact": ("update nw_facts set value = '{' where name = 'state'", "the fact 'state' is damaged"),
    "an event": ("update nw_events set facts = '{' where sequence = 4", "the table of events is damaged"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_damaged_row_is_named(run: Path, case: str) -> None:
    statement, said = ROWS[case]
    change(run, statement)
    with pytest.raises(RunError, match=f"run.db.*{said}.*restore it from a copy"):
        open_run(run)


def test_a_search_does_not_go_on_over_a_hole(run: Path) -> None:
    change(run, "delete from nw_trials where number = 1")
    with pytest.raises(RunError, match="has lost trial 1"):
        nw.resume(run, overrides=["search.trials=4"])


@pytest.mark.parametrize("length", [0, 100, 20_000])
def test_a_cut_database_is_never_begun_afresh(run: Path, length: int) -> None:
    for name in ("run.db-wal", "run.db-shm"):
        (run / name).unlink(missing_ok=True)
    raw = (run / "run.db").read_bytes()[:length]
    (run / "run.db").write_bytes(raw)
    for attempt in (open_run, nw.resume, nw.resume_run):
        with pytest.raises(RunError, match=r"run\.db .*restore it from a copy"):
            attempt(run)
    assert (run / "run.db").read_bytes() == raw


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data["specification"].pop("objectives"), "objectives missing"),
        (lambda data: data.update(format="one"), "is damaged"),
        (lambda data: data.update(format=9), "newer netwright"),
        (lambda data: data.update(specification=[]), "missing"),
    ],
)
def test_a_damaged_specification_is_refused(run: Path, edit, said: str) -> None:
    path = run / "specification.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    with pytest.raises(RunError, match=said):
        open_run(run)
    with pytest.raises(NetwrightError, match=said):
        nw.resume(run)


def test_a_run_of_a_version_that_knew_fewer_settings_goes_on(run: Path) -> None:
    path = run / "specification.json"
    data = json.loads(path.read_text())
    told = data["specification"]
    for group, names in (
        (told, ("constraints", "device", "latency")),
        (told["search"], ("repeats", "ordered", "lag", "reuse", "latency_table", "fidelity", "budget_s")),
        (told["task"], ("shift", "flip")),
        (told["space"], ("operations",)),
    ):
        for name in names:
            group.pop(name, None)
    told["space"]["operations"] = ["none", "skip", "conv_1x1", "conv_3x3"]
    path.write_text(json.dumps(data))
    change(run, "update nw_trials set value = json_remove(value, '$.rungs', '$.artifacts')")
    before = [trial.identity for trial in open_run(run).trials]
    after = nw.resume(run, overrides=["search.trials=4"]).trials
    assert [trial.identity for trial in after][:3] == before
    assert len(after) == 4


def test_a_folder_that_cannot_be_written_is_shown_and_says_why_it_does_not_go_on(run: Path, tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "--bind", str(run), str(run)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("no permission to mount a folder read-only")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(run)], check=True)
        assert len(open_run(run).trials) == 3
        with pytest.raises(RunError, match="run cannot be written: Read-only file system; copy the folder to where"):
            nw.resume(run)
        with pytest.raises(RunError, match=r"report\.html cannot be written: Read-only.*with --out"):
            nw.report(run)
        assert nw.report(run, out=tmp_path / "page.html").exists()
    finally:
        subprocess.run(["umount", "-l", str(run)], check=True)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"half")])
def test_lost_weights_of_the_winner_are_made_anew(run: Path, damage: Callable[[Path], object]) -> None:
    told: list[str] = []
    nw.compress(run, recipe={"passes": []})
    digest = open_run(run).winner["weights"]
    path = run / "objects" / digest[:2] / digest
    shutil.rmtree(run / "scratch")
    damage(path)
    with pytest.raises(NetwrightError, match="run `netwright compress` again"):
        nw.export_trial(run)
    nw.compress(run, recipe={"passes": []}, listener=lambda e: told.append(str(e.facts.get("text"))))
    assert any("made anew" in text for text in told)
    assert file_hash(path) == digest == open_run(run).winner["weights"]


def test_a_run_is_read_without_the_record_of_its_machine(run: Path) -> None:
    (run / "environment.json").write_text('{"seed": ')
    page = nw.report(run)
    assert "no readable environment record" in page.read_text(encoding="utf-8")
