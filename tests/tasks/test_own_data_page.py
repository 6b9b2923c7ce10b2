"""The page on one's own data: its programs run, and what they make is what the task beside them reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.io import wavfile

from netwright.core.plugins import build
from netwright.tasks.task import Task
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")


def test_sounds_become_the_sequences_of_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, pitch in (("high", 1400), ("low", 300)):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for number in range(10):
            tone = np.sin(2 * np.pi * pitch * np.arange(3000 + 300 * number) / 8000) + rng.normal(0, 0.05)
            wavfile.write(tmp_path / "sounds" / name / f"{number}.wav", 8000, (8000 * tone).astype(np.int16))
    section = PAGE.split("## Sound\n")[1].split("\n## ")[0]
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, names)  # the page's own program
    task = build("task", yaml.safe_load(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])["task"])
    assert isinstance(task, Task)
    data = task.data()
    assert data.classes == ("high", "low")
    assert task.shapes().input == (64, 32)
    loudest = data.train.inputs[:, :15].mean(axis=1).argmax(axis=1)
    assert [int(band) for band in loudest] == [11 if target == 0 else 2 for target in data.train.targets]


def test_a_text_becomes_the_steps_of_a_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("to be, or not to be: that is the question\n" * 60, encoding="utf-8")
    section = PAGE.split("### The next sign of a text\n")[1].split("\nHow much worse")[0]
    exec(re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0], {})  # the page's own program
    task = build("task", yaml.safe_load(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0])["task"])
    assert isinstance(task, Task)
    data = task.data()
    assert "".join(data.classes[n] for n in data.train.targets[0]).startswith("o be, or not")
    assert "".join(data.classes[n] for n in data.train.inputs[0].argmax(axis=1)).startswith("to be, or not")
    assert task.shapes().output == (64, len(data.classes))
    assert data.preprocessing(data.train.inputs).max() == 1


def test_a_long_table_becomes_the_sequences_of_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{run},{time},{run + 1},{time},{'ab'[run % 2]}" for run in range(40) for time in range(5 + run % 3)]
    (tmp_path / "runs.csv").write_text("\n".join(["run,time,x,y,label", *reversed(lines)]), encoding="utf-8")
    section = PAGE.split("### Sequences in a long table\n")[1].split("\n## ")[0]
    exec(re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0], {})  # the page's own program
    task = build("task", {"kind": "sequence_classification", "path": "sensors.npz"})
    assert isinstance(task, Task)
    assert (task.shapes().input, task.data().classes) == ((7, 2), ("a", "b"))
    for inputs, target in zip(task.data().train.inputs, task.data().train.targets, strict=True):
        run, there = int(inputs[-1, 0]) - 1, inputs[:, 0] > 0
        assert target == run % 2
        assert inputs[there, 1].tolist() == list(range(5 + run % 3))
        assert not there[: 2 - run % 3].any()
