"""Latency of exported files, measured in a fresh process: what the caller did before leaves no trace in it.

`python -m netwright.export.timing` is that process: a JSON request on standard input, an answer on standard output.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from netwright.core.errors import ExportError
from netwright.evaluation.latency import Latency, LatencyProtocol, measure_latency
from netwright.export.onnx_runtime import Session

SESSIONS = 4


def time_files(
    files: Mapping[str, Path],
    example: np.ndarray[Any, Any],
    *,
    protocol: LatencyProtocol,
    reference: str | None = None,
    sessions: int = SESSIONS,
) -> dict[str, Latency]:
    """The latency of each ONNX file on `example` [batch, *shape], all interleaved in one session.

    A session in which a candidate is NOISY is repeated, `sessions` at most in all; the quietest one is the
    answer, and its protocol says how many there were. Raises ExportError when a file cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
        np.save(Path(folder) / "example.npy", example)
        request = {
            "files": {name: str(Path(path).absolute()) for name, path in files.items()},
            "example": str(Path(folder) / "example.npy"),
            "protocol": protocol.model_dump(mode="json"),
            "reference": reference,
            "sessions": sessions,
        }
        command = [sys.executable, "-m", "netwright.export.timing"]
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ExportError(f"the latency of {', '.join(files)} cannot be measured: {reason}")
    answer = json.loads(done.stdout)
    return {name: Latency(**latency) for name, latency in answer.items()}


def quietest(sessions: list[dict[str, Latency]]) -> dict[str, Latency]:
    """The session whose widest relative spread is the smallest, with their number in the protocol."""
    best = min(sessions, key=lambda found: max(one.spread_ms / one.value_ms for one in found.values()))
    return {
        name: dataclasses.replace(one, protocol={**one.protocol, "sessions": len(sessions)})
        for name, one in best.items()
    }


def _serve() -> None:
    request = json.load(sys.stdin)
    protocol = LatencyProtocol.parse(request["protocol"])
    runnable = {name: Session(Path(path), threads=protocol.threads) for name, path in request["files"].items()}
    example = np.load(request["example"])
    found: list[dict[str, Latency]] = []
    while len(found) < request["sessions"]:
        found.append(measure_latency(runnable, example, protocol=protocol, reference=request["reference"]))
        if not any(latency.noisy for latency in found[-1].values()):
            break
    json.dump({name: dataclasses.asdict(latency) for name, latency in quietest(found).items()}, sys.stdout)


if __name__ == "__main__":
    _serve()
