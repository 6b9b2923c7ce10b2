"""Records, seeds and files: plain values that survive JSON, and writes that are whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netwright.core.files import canonical_json, content_hash, write_atomic
from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.core.seeds import derive_seed, generator


def test_a_trial_survives_json() -> None:
    measured = Measurement(metric="accuracy", value=0.9, unit="", protocol={"n": 10}, spread=0.1)
    trial = Trial(
        number=3,
        decisions={"depth": 2, "ops": ["a", "b"]},
        identity="x",
        state=TrialState.DONE,
        measurements={"accuracy": measured},
        curve=({"epoch": 1, "loss": 0.5},),
    )
    again = Trial.from_json(json.loads(json.dumps(trial.to_json())))
    assert again.to_json() == trial.to_json()
    assert again.value("accuracy") == 0.9


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_absent_with_a_reason(bad: float) -> None:
    measured = Measurement(metric="accuracy", value=bad)
    assert measured.value is None
    assert "not finite" in measured.reason


def test_bounds_and_losses_follow_the_direction() -> None:
    up, down = (Objective(metric="a", direction=d, bound=0.5) for d in ("maximize", "minimize"))
    assert up.satisfied_by(0.6)
    assert not up.satisfied_by(0.4)
    assert down.satisfied_by(0.4)
    assert not down.satisfied_by(0.6)
    assert up.loss(1.0) == -1.0
    assert down.loss(1.0) == 1.0


def test_seeds_depend_on_all_parts_and_on_nothing_else() -> None:
    script = "from netwright.core.seeds import derive_seed; print(derive_seed(0, 'abc', 1))"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(other.stdout) == derive_seed(0, "abc", 1)
    assert len({derive_seed(0, "abc"), derive_seed(1, "abc"), derive_seed(0, "ab", "c")}) == 3
    assert generator(1, 2).random() == generator(1, 2).random()


def test_equal_values_have_equal_hashes_whatever_their_order() -> None:
    assert content_hash({"a": 1, "b": (1, 2)}) == content_hash({"b": [1, 2], "a": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(pipe, "new")
    assert pipe.is_fifo()
    assert os.read(reader, 10) == b"new"
    os.close(reader)
