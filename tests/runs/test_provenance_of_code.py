"""The commit that a run notes, and that a user's repository is left as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from netwright.runs.provenance import environment

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def noted() -> str:
    return str(environment(seed=0, data_fingerprint="")["git"])


def test_the_commit_is_noted_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert noted() == ""
    file = tmp_path / "code.py"
    file.write_text("1")
    person = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], [*person, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], check=True)
    os.utime(file, (1, 1))  # the index would be renewed for this
    before = (tmp_path / ".git" / "index").read_bytes()
    commit = noted()
    assert 7 <= len(commit) <= 12
    file.write_text("2")
    (tmp_path / "new.py").write_text("3")
    assert noted() == f"{commit}-dirty"
    assert (tmp_path / ".git" / "index").read_bytes() == before
