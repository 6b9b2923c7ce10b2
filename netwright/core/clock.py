"""Time, passed in rather than reached for, so that tests can stand in another clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of netwright may ask of time."""

    def now(self) -> str:
        """The wall time as ISO 8601 in UTC; for display only, never for order."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever increase; for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    def monotonic(self) -> float:
        return time.monotonic()
