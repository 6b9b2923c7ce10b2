"""Trials in worker processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from pydantic import Field

from netwright.core.interrupt import undisturbed
from netwright.runs.executor import Executor, Outcome, TrialJob, Work, lost

GRACE_S = 5.0
STARTUP_S = 180.0


@dataclass(slots=True)
class _Worker:
    """A worker process, the pipe to it, and the job it is at."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    job: TrialJob | None = None
    started: float = 0.0
    ready: bool = False


class Processes(Executor):
    """A pool of worker processes; one that crashes, hangs or runs out of memory costs only its own trial."""

    workers: int = Field(default=2, ge=1, description="worker processes")

    def run(self, work: Work, *, scratch: Path) -> None:
        del scratch
        pool: list[_Worker] = []
        try:
            with undisturbed():
                pool += [_start() for _ in range(self.workers)]
            self._drive(work, pool)
        finally:
            with undisturbed():
                for worker in pool:
                    _end(worker)

    def _drive(self, work: Work, pool: list[_Worker]) -> None:
        while True:
            for index, worker in enumerate(pool):
                if worker.job is None and (job := work.next_job()) is not None:
                    with undisturbed():
                        pool[index] = _give(worker, job)
            busy = [worker for worker in pool if worker.job is not None]
            if not busy:
                return
            wait([worker.pipe for worker in busy], timeout=_patience(busy))
            with undisturbed():
                for index, worker in enumerate(pool):
                    if worker.job is not None:
                        pool[index] = _attend(work, worker)


def _attend(work: Work, worker: _Worker) -> _Worker:
    """Take what a busy worker says; replace it when it is dead or over its time."""
    job = worker.job
    assert job is not None
    seconds = time.monotonic() - worker.started
    try:
        while worker.pipe.poll():
            kind, payload = worker.pipe.recv()
            if kind == "ready":
                worker.ready, worker.started = True, time.monotonic()
                continue
            if kind == "outcome":
                worker.job = None
                work.finish(job.number, Outcome.from_json(payload))
                return worker
            worker.pipe.send(work.report(job.number, payload))
    except (EOFError, ConnectionError):
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(GRACE_S)
        work.finish(job.number, _death(worker.process.returncode, seconds))
        return _replace(worker)
    if seconds > _limit(worker, job):
        work.finish(job.number, lost("timeout", f"took longer than {job.limit_s:g} s", seconds=seconds))
        return _replace(worker)
    return worker


def _death(exitcode: int | None, seconds: float) -> Outcome:
    if exitcode == -9:
        return lost("killed", "the worker process was killed (out of memory?)", seconds=seconds)
    return lost("killed", f"the worker process ended with exit code {exitcode}", seconds=seconds)


def _patience(busy: list[_Worker]) -> float:
    now = time.monotonic()
    return max(0.05, min(w.started + _limit(w, w.job) - now for w in busy if w.job is not None))


def _limit(worker: _Worker, job: TrialJob) -> float:
    """Seconds after which a worker is given up; starting one takes a while that is not the trial's."""
    return job.limit_s + (GRACE_S if worker.ready else STARTUP_S)


def _start() -> _Worker:
    ours, theirs = multiprocessing.Pipe()
    search_path = os.pathsep.join(dict.fromkeys(path or str(Path.cwd()) for path in sys.path))
    process = subprocess.Popen(
        [sys.executable, "-m", "netwright.runs.worker", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env={**os.environ, "PYTHONPATH": search_path},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    theirs.close()
    return _Worker(process, ours)


def _give(worker: _Worker, job: TrialJob) -> _Worker:
    try:
        worker.pipe.send(job)
    except (BrokenPipeError, ConnectionError):
        worker = _replace(worker)
        worker.pipe.send(job)
    worker.job = job
    worker.started = time.monotonic()
    return worker


def _replace(worker: _Worker) -> _Worker:
    _end(worker)
    return _start()


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    with suppress(ProcessLookupError):
        os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
