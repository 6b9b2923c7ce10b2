"""Progress of long work on the terminal: live on a terminal, plain lines elsewhere. Goes to standard error."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from netwright.core.clock import Clock, SystemClock
from netwright.core.progress import Event, Listener
from netwright.core.text import readable, rounded

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_EVERY_S = 5.0
LEFT = "of search left"
"""Said of the time left, for what follows the search, such as the full training, is not in it."""


@contextmanager
def shown(*, quiet: bool = False) -> Iterator[Listener]:
    """A listener that shows progress while the block runs."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        live = _Live()
        with live.progress:
            yield live
    else:
        yield _Plain(SystemClock())


def _search_line(facts: Mapping[str, Any]) -> str:
    """Trials done, best so far, front size, as one line."""
    counts = facts["counts"]
    parts = [f"{counts['done']} done"]
    parts += [f"{counts[state]} {state}" for state in ("stopped", "infeasible", "failed", "running") if counts[state]]
    for metric, value in facts.get("best", {}).items():
        shown = _rounded(value) if value is not None else "-"
        parts.append(f"best {metric} {shown}")
    if "front" in facts:
        parts.append(f"front {len(facts['front'])}")
    return ", ".join(parts)


def _rounded(value: float) -> str:
    """Four figures, but whole numbers in full, as in tables."""
    return readable(value if float(value).is_integer() else float(f"{value:.4g}"))


def _ended(facts: Mapping[str, Any]) -> int:
    counts = facts["counts"]
    return sum(int(counts[state]) for state in ("done", "stopped", "infeasible", "failed"))


def _sentence(event: Event) -> str:
    """Any other event as a short sentence, or nothing."""
    facts: Mapping[str, Any] = event.facts
    if event.name == "step":
        return str(facts["text"])
    if event.name == "compress.stage":
        return _stage_line(facts)
    if event.name in ("winner.epoch", "compress.epoch"):
        what = "full training" if event.name == "winner.epoch" else f"fine-tuning ({facts.get('purpose', '')})"
        total = f" of {facts['epochs']}" if "epochs" in facts else ""
        score = str(facts.get("score", "accuracy"))
        value = facts.get(f"validation_{score}", 0)
        return f"{what}: epoch {facts['epoch']:g}{total}, validation {score.replace('_', ' ')} {_figure(value)}"
    return ""


def _figure(value: float) -> str:
    """Four places, or four digits of a score that is so small or so large in its unit that places would not fit it."""
    return f"{value:.4f}" if 0.1 <= abs(value) < 1000 or value == 0 else rounded(value)


def _stage_line(facts: Mapping[str, Any]) -> str:
    row = facts.get("row") or facts
    score = str(facts.get("score", "accuracy"))
    value, latency = row.get(score), row.get("latency_ms")
    parts = [f"{row.get('stage', '')}:"]
    parts.append(f"{score} {_figure(value)}" if value is not None else f"{score} -")
    without = "latency NOISY" if (row.get("latency") or {}).get("noisy") else "latency -"
    parts.append(f"{latency:.3f} ms" if latency is not None else without)
    parts.append(f"{row['size_bytes'] / 1024:.0f} KiB" if row.get("size_bytes") else "")
    if facts.get("kept") is False:
        from netwright.analysis.tradeoff import outcome

        parts.append(f"({outcome({**row, 'kept': False})}: {facts.get('reason', '')})")
    if facts.get("resumed"):
        parts.append("(done before)")
    return " ".join(part for part in parts if part)


class _Plain:
    """Lines at a bounded rate, for logs and pipes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = -math.inf
        self._began = clock.monotonic()
        self._before = 0

    def __call__(self, event: Event) -> None:
        now = self._clock.monotonic()
        if event.name == "search.begin":
            self._began, self._before = now, _ended(event.facts)
        if event.name == "search.trial":
            done, wanted = _ended(event.facts), int(str(event.facts["wanted"]))
            if now - self._last >= PLAIN_EVERY_S or done >= wanted:
                self._last = now
                left = (now - self._began) / max(done - self._before, 1) * (wanted - done)
                # paused trials have ended as well: how long their promotions take is not known
                told = f", about {left:.0f} s {LEFT}" if done < wanted else ""
                print(f"[{done}/{wanted}] {_search_line(event.facts)}{told}", file=sys.stderr, flush=True)
        elif text := _sentence(event):
            print(text, file=sys.stderr, flush=True)


class _Live:
    """A bar with trials done, best so far, front size and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[left]} {task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._search: TaskID | None = None
        self._step: TaskID | None = None

    def __call__(self, event: Event) -> None:
        facts = event.facts
        if event.name == "search.begin":
            total = int(str(facts["trials"]))
            self._search = self.progress.add_task("search", total=total, completed=_ended(facts), left=LEFT, note="")
        elif event.name == "search.trial" and self._search is not None:
            self.progress.update(self._search, completed=_ended(facts), note=_search_line(facts))
        elif event.name in ("winner.epoch", "compress.epoch"):
            self._show(_sentence(event))
        elif text := _sentence(event):
            self.progress.console.print(text, highlight=False)

    def _show(self, text: str) -> None:
        if self._step is None:
            self._step = self.progress.add_task("training", total=None, left="", note="")
        self.progress.update(self._step, note=text)
