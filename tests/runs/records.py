"""What must be equal between two records of the same search, and a driver that is killed in the middle."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netwright.runs.view import open_run
from tests.conftest import ROOT


def record_of(path: Path) -> list[tuple[object, ...]]:
    """Every trial with all that was found, without times."""
    return [
        (
            trial.number,
            trial.decisions,
            trial.identity,
            str(trial.state),
            trial.reason,
            trial.seed,
            trial.fidelity,
            trial.origin,
            {name: found.value for name, found in trial.measurements.items()},
            [_timeless(row) for row in trial.curve],
            [_rung(entry) for entry in trial.rungs],
        )
        for trial in open_run(path).trials
    ]


def kill_after(path: Path, *, epochs: int) -> None:
    """Drive a run in a process of its own and kill it once so many epochs are on record."""
    script = f"from pathlib import Path\nfrom netwright.runs.search import search\nsearch(Path({str(path)!r}))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True)
    deadline = time.monotonic() + 240
    while _epochs(path) < epochs:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _epochs(path: Path) -> int:
    try:
        with sqlite3.connect(f"file:{path}/run.db?mode=ro", uri=True) as database:
            query = "select coalesce(sum(json_array_length(value, '$.curve')), 0) from nw_trials"
            return int(database.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _timeless(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "seconds"}


def _rung(entry: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: found["value"] for name, found in entry.get("measurements", {}).items()}
    return {**entry, "measurements": values, "curve": [_timeless(row) for row in entry.get("curve", ())]}
