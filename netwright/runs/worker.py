"""A worker process, `python -m netwright.runs.worker FD`: takes jobs from a pipe and tells what came of them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any


def serve(pipe: Connection) -> None:
    """Run jobs until the driver hangs up. What a trial needs is imported first, so as not to count as its time."""
    import netwright.runs.candidate
    import netwright.tasks.training  # noqa: F401 -- as above
    from netwright.runs.trial import run_trial

    def report(row: Mapping[str, Any]) -> bool:
        pipe.send(("row", row))
        return bool(pipe.recv())

    pipe.send(("ready", None))
    while True:
        try:
            job = pipe.recv()
            outcome = run_trial(job, report=report)
            pipe.send(("outcome", outcome.to_json()))
        except (EOFError, ConnectionError):
            return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
