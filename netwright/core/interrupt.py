"""Ctrl-C at a moment where nothing is cut in two, and that comes through wherever it falls."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
AGAIN_S = 0.02
Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let the block end before a Ctrl-C that comes in it is raised: for short work that must be done as a whole.

    Only signals that Python handles are held, and only in the main thread, as they disturb no other.
    """
    came: list[tuple[Handler, int]] = []
    before: dict[signal.Signals, Handler] = {}
    if threading.current_thread() is threading.main_thread():
        before = {sent: handler for sent in STOPPING if callable(handler := signal.getsignal(sent))}
    try:
        for sent, handler in before.items():
            signal.signal(sent, partial(_hold, came, handler))
        yield
    finally:
        for sent, handler in before.items():
            signal.signal(sent, handler)
        for handler, number in came[:1]:
            handler(number, None)


def be_stoppable() -> None:
    """For a whole program: a request to terminate counts as Ctrl-C, and no Ctrl-C is lost.

    Python drops what is raised in a destructor or in a callback of the garbage collector. A Ctrl-C that happens to
    fall there is raised once more, a moment later.
    """
    sys.unraisablehook = partial(_again, sys.unraisablehook)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def end_in_silence() -> None:
    """From here on Ctrl-C ends the program at once, as all that it had to do and to say is done."""
    for sent in STOPPING:
        if callable(signal.getsignal(sent)):
            signal.signal(sent, signal.SIG_DFL)


def _hold(came: list[tuple[Handler, int]], handler: Handler, number: int, _: FrameType | None) -> None:
    came.append((handler, number))


def _again(shown: Callable[[Any], Any], dropped: Any) -> None:
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        shown(dropped)
        return
    # a bare thread: the collector may have been called inside a lock of the module `threading`
    _thread.start_new_thread(_interrupt, (_thread.get_ident(),))


def _interrupt(thread: int) -> None:
    time.sleep(AGAIN_S)
    signal.pthread_kill(thread, signal.SIGINT)  # wakes it where it waits, which `interrupt_main` does not
