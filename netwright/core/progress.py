"""Progress as events: long work says what it does, whoever listens decides how to show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: a dotted name such as `search.trial` and its facts."""

    name: str
    facts: Mapping[str, object] = field(default_factory=dict)


Listener = Callable[[Event], None]


def say(listener: Listener, text: str) -> None:
    """Tell a listener a sentence: what begins now, or is to be known."""
    listener(Event("step", {"text": text}))


def silent(event: Event) -> None:
    """A listener that shows nothing."""
    del event
