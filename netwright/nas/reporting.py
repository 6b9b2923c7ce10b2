"""What a strategy says while it trains or scores before its first proposal, now and then, with the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from netwright.core.progress import Listener, say

EVERY_S = 5.0


class Report:
    """Tells a listener how far a long piece of work is, at most every few seconds."""

    def __init__(
        self, listener: Listener, what: str, total: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._listener, self._what, self._total, self._clock = listener, what, total, clock
        self._began = self._last = clock()
        self._first: int | None = None

    def __call__(self, done: int) -> None:
        """`done` of the total are done; what was done before this process began does not count for the time."""
        now = self._clock()
        first = self._first = done - 1 if self._first is None else self._first
        if now - self._last < EVERY_S:
            return
        self._last = now
        left = (now - self._began) / (done - first) * (self._total - done)
        text = f"{self._what} {done} of {self._total}, about {left:.0f} s left"
        say(self._listener, text)
