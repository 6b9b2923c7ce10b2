"""What is new since a reader last looked: a followed run, and the difference of two states of its page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from netwright.core.clock import Clock, SystemClock
from netwright.dashboards.payload import page_data
from netwright.runs.view import RunView

REMEMBERED = 16
"""States of the page kept for readers that are behind; one that is further behind gets everything."""
RESTS = 4
"""After reading a run the follower rests so many times as long as reading took, whoever asks."""
LONGEST_REST_S = 10.0


class Follower:
    """Reads a run when someone asks, but not too often, and tells each reader only what it has not seen."""

    def __init__(self, open_view: Callable[[], RunView], *, refresh_s: float = 1.0, clock: Clock | None = None) -> None:
        self._open = open_view
        self._refresh_s = refresh_s
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._view: RunView | None = None
        self._pages: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def view(self) -> RunView:
        """The run as it was read last, at most a moment ago; raises RunError when it cannot be read."""
        with self._lock:
            begun = self._clock.monotonic()
            if self._view is None or begun >= self._next:
                self._take(self._open())
                took = self._clock.monotonic() - begun
                self._next = self._clock.monotonic() + max(self._refresh_s, min(RESTS * took, LONGEST_REST_S))
            assert self._view is not None
            return self._view

    def page(self, *, since: int | None = None) -> dict[str, Any]:
        """The whole page, or what is new to a reader who has the state with the sequence number `since`."""
        self.view()
        with self._lock:
            new = self._pages[next(reversed(self._pages))]
            old = None if since is None else self._pages.get(since)
        if old is None:
            return {"full": True, **new}
        return difference(old, new)

    def _take(self, view: RunView) -> None:
        old = self._view
        if old is None or (view.sequence, view.state) != (old.sequence, old.state):
            self._pages[view.sequence] = page_data(view)
            self._pages.move_to_end(view.sequence)
            while len(self._pages) > REMEMBERED:
                self._pages.popitem(last=False)
        self._view = view


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What turns one state of the page into another.

    Of a panel that changed only the changed fields are given, and of its rows only the new or changed ones:
    `set` as pairs (place, row), and `length`, the number of rows there are now.
    """
    if new["sequence"] == old["sequence"]:
        return {"full": False, "panels": {}, **{key: new[key] for key in ("sequence", "run", "answer")}}
    before = {panel["name"]: panel for panel in old["panels"]}
    changed = {}
    for panel in new["panels"]:
        known = before.get(panel["name"])
        if known is None:
            return {"full": True, **new}
        parts = {key: value for key, value in panel.items() if key != "rows" and value != known[key]}
        if panel["keys"] != known["keys"]:
            parts |= {"set": list(enumerate(panel["rows"])), "length": len(panel["rows"])}
        elif panel["rows"] != known["rows"]:
            there = known["rows"]
            parts["set"] = [
                (place, row) for place, row in enumerate(panel["rows"]) if place >= len(there) or there[place] != row
            ]
            parts["length"] = len(panel["rows"])
        if parts:
            changed[panel["name"]] = parts
    top = {key: new[key] for key in ("sequence", "run", "answer", "cards")}
    return {"full": False, **top, "panels": changed}
