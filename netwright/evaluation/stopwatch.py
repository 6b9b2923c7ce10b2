"""Nanosecond clocks for measuring durations, passed in so that tests can stand in others."""

from __future__ import annotations

import time
from typing import Protocol


class Stopwatch(Protocol):
    """Two clocks that only ever increase, in nanoseconds."""

    def wall_ns(self) -> int:
        """Time as it passes on the wall."""
        ...

    def cpu_ns(self) -> int:
        """CPU time spent by the calling thread."""
        ...


class SystemStopwatch:
    """The machine's own clocks."""

    def wall_ns(self) -> int:
        return time.perf_counter_ns()

    def cpu_ns(self) -> int:
        return time.thread_time_ns()
