"""Latency of single operations, far below the clock's resolution, measured in a fresh process.

Every unit runs many times side by side in one call, and the cost of the call itself is measured beside it and
taken off. `python -m netwright.export.unit_timing` is the process: JSON in, JSON out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from netwright.core.errors import ExportError
from netwright.evaluation.latency import Latency, LatencyProtocol, measure_latency
from netwright.export.onnx_runtime import opened, quiet_options
from netwright.export.unit_files import copies_of, do_nothing

CALL = "\0call"
MOST_COPIES = 32
COPIES_US = 200.0
COPIES_BYTES = 32 << 20
"""Copies stop where their weights and results would fill the caches of a whole processor."""


@dataclass(frozen=True, slots=True)
class UnitTime:
    """One unit's time: milliseconds of one run, and how they were found."""

    latency_ms: float
    spread_ms: float
    noisy: bool
    copies: int
    sessions: int
    call_ms: float


def time_units(files: Mapping[str, Path], *, protocol: LatencyProtocol, sessions: int = 3) -> dict[str, UnitTime | str]:
    """The time of each file's graph at batch 1; a reason in its place when the runtime refuses it.

    All are interleaved; those that came out NOISY are measured again, `sessions` times at most in all, and the
    quietest session of each counts. Raises ExportError when the process itself fails.
    """
    request = {
        "files": {name: str(path) for name, path in files.items()},
        "protocol": protocol.model_dump(mode="json"),
        "sessions": sessions,
    }
    command = [sys.executable, "-m", "netwright.export.unit_timing"]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        raise ExportError(f"the process that times operations failed: {reason}")
    answer = json.loads(done.stdout)
    return {name: one if isinstance(one, str) else UnitTime(**one) for name, one in answer.items()}


class _Copies:
    """A model in the runtime with fixed inputs and results; calling it runs it, whatever it is called with."""

    def __init__(self, model: Any, *, threads: int, folder: Path) -> None:
        path = folder / "model.onnx"
        onnx.save(model, str(path))
        self._session = opened(path, quiet_options(threads=threads))
        self._bound = self._session.io_binding()
        rng = np.random.default_rng(0)
        # one buffer per shape: a network's layers find their input, just written, in the cache, and write to memory
        # that the runtime uses again and again
        self._buffers: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}
        for way, entries, bind in (
            ("in", self._session.get_inputs(), self._bound.bind_input),
            ("out", self._session.get_outputs(), self._bound.bind_output),
        ):
            for number, entry in enumerate(entries):
                shape = tuple(entry.shape)
                place = f"{way}{number % max(1, len(self._model_inputs(model)))}" if way == "in" else way
                if (place, shape) not in self._buffers:
                    self._buffers[place, shape] = rng.standard_normal(shape).astype(np.float32)
                buffer = self._buffers[place, shape]
                bind(entry.name, "cpu", 0, np.float32, shape, buffer.ctypes.data)

    def __call__(self, batch: np.ndarray) -> None:
        del batch
        self._session.run_with_iobinding(self._bound)

    @staticmethod
    def _model_inputs(model: Any) -> set[str]:
        """The inputs of one copy."""
        return {entry.name.partition("/")[2] or entry.name for entry in model.graph.input}

    def typical_us(self) -> float:
        """The time of a call, roughly."""
        times = []
        for _ in range(7):
            start = time.perf_counter_ns()
            self(np.zeros(0))
            times.append(time.perf_counter_ns() - start)
        return max(float(np.median(times[2:])) / 1000, 0.5)


def _ready(path: Path, threads: int, folder: Path) -> tuple[_Copies, int]:
    """A file's graph in the runtime, so often side by side that a call can be timed."""
    model = onnx.load(str(path))
    one = _Copies(copies_of(model, 1), threads=threads, folder=folder)
    outputs = sum(4 * prod(d.dim_value for d in o.type.tensor_type.shape.dim) for o in model.graph.output)
    room = COPIES_BYTES // max(path.stat().st_size + outputs, 1)
    count = max(1, min(ceil(COPIES_US / one.typical_us()), MOST_COPIES, room))
    return (one, 1) if count == 1 else (_Copies(copies_of(model, count), threads=threads, folder=folder), count)


def _per_unit(one: Latency, call_ms: float, copies: int, sessions: int) -> UnitTime:
    return UnitTime(
        latency_ms=max(one.value_ms - call_ms, 0.0) / copies,
        spread_ms=one.spread_ms / copies,
        noisy=one.noisy,
        copies=copies,
        sessions=sessions,
        call_ms=call_ms,
    )


def _measured(request: Mapping[str, Any]) -> dict[str, UnitTime | str]:
    protocol = LatencyProtocol.parse(request["protocol"])
    found: dict[str, UnitTime | str] = {}
    ready: dict[str, tuple[_Copies, int]] = {}
    with tempfile.TemporaryDirectory(prefix="netwright-") as scratch:
        folder = Path(scratch)
        for name, path in request["files"].items():
            if not onnx.load(path).graph.node:
                # nothing is left of it at inference, such as of a reshape
                found[name] = UnitTime(0.0, 0.0, False, 1, 1, 0.0)
                continue
            try:
                ready[name] = _ready(Path(path), protocol.threads, folder)
            except (ExportError, RuntimeError, ValueError, TypeError) as error:
                found[name] = str(error).splitlines()[0]
        nothing = _Copies(do_nothing(), threads=protocol.threads, folder=folder)
        _sessions(ready, nothing, protocol, request["sessions"], found)
    return found


def _sessions(
    ready: Mapping[str, tuple[_Copies, int]],
    nothing: _Copies,
    protocol: LatencyProtocol,
    sessions: int,
    found: dict[str, UnitTime | str],
) -> None:
    """Measure, and measure what was NOISY again; of each the quietest time is left in `found`."""
    left = list(ready)
    for session in range(1, sessions + 1):
        if not left:
            return
        calls = {CALL: nothing, **{name: ready[name][0] for name in left}}
        answer = measure_latency(calls, np.zeros((1, 1), np.float32), protocol=protocol)
        call_ms = answer[CALL].value_ms
        for name in left:
            one = _per_unit(answer[name], call_ms, ready[name][1], session)
            before = found.get(name)
            if not isinstance(before, UnitTime) or (one.noisy, one.spread_ms) < (before.noisy, before.spread_ms):
                found[name] = one
        left = [name for name in left if answer[name].noisy]


def _serve() -> None:
    import dataclasses

    request = json.load(sys.stdin)
    found = _measured(request)
    plain = {name: one if isinstance(one, str) else dataclasses.asdict(one) for name, one in found.items()}
    json.dump(plain, sys.stdout)


if __name__ == "__main__":
    _serve()
