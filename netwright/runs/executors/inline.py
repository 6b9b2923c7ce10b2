"""Trials one after another in this process."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from netwright.runs.executor import Executor, Work


class Inline(Executor):
    """One trial at a time in the driver's own process: simplest, and the one to debug with.

    `workers` plays no part. A trial that crashes the interpreter takes the driver with it; `--resume` then
    goes on.
    """

    def run(self, work: Work, *, scratch: Path) -> None:
        from netwright.runs.trial import run_trial

        del scratch
        while (job := work.next_job()) is not None:
            work.finish(job.number, run_trial(job, report=partial(work.report, job.number)))
