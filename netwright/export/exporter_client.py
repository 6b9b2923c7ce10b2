"""Sends jobs to this process's exporter process, and starts that one when there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from netwright.core.errors import ExportError
from netwright.export.exporter_process import read_frame, write_frame

_INSIDE = "NETWRIGHT_EXPORTER"


class Exporter:
    """An exporter process; it ends by itself when this process does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process if it is not running; returns at once, the process warms up meanwhile."""
        if os.environ.get(_INSIDE):
            raise ExportError(
                "a model was exported while the main script was being imported a second time; put what the "
                "script does under `if __name__ == '__main__':`"
            )
        if self._process is not None and self._process.poll() is None:
            return
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "netwright.export.exporter_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", _INSIDE: "1"},
        )

    def run(self, header: Mapping[str, Any], body: bytes) -> dict[str, Any]:
        """The answer to one job; jobs of several threads wait for one another."""
        with self._lock:
            self.start()
            process = self._process
            assert process is not None
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                write_frame(process.stdin, json.dumps(dict(header)).encode())
                write_frame(process.stdin, body)
                answer = read_frame(process.stdout)
            except BrokenPipeError:
                answer = None
            except BaseException:
                # a job cut short, as by Ctrl-C: its answer must not be taken for that of the next one
                process.kill()
                process.wait()
                self._process = None
                raise
            if answer is None:
                status = process.wait()
                self._process = None
                raise ExportError(f"the exporter process ended unexpectedly with status {status}; try again")
            found: dict[str, Any] = json.loads(answer)
            return found


def exporter() -> Exporter:
    """The exporter of this process; a forked process gets one of its own."""
    return _exporter_of(os.getpid())


@cache
def _exporter_of(pid: int) -> Exporter:
    del pid
    return Exporter()
