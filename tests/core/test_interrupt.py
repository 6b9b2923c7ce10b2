"""Ctrl-C waits for what must be done as a whole, and comes through wherever it falls."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from netwright.core.interrupt import undisturbed

DROPPED = """
import gc, signal, time, weakref
from netwright.core.interrupt import be_stoppable

class Thing: pass

be_stoppable()
thing = Thing()
thing.itself = thing
watched = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
del thing
gc.collect()
try:
    time.sleep(1000)
except KeyboardInterrupt:
    print("stopped")
"""
SENT = """
import signal
from netwright.cli import main as program

def run(arguments):
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    return 2

program.run = run
program.main([])
"""


def test_a_ctrl_c_is_raised_when_the_block_has_ended() -> None:
    done = []

    def work() -> None:
        with undisturbed():
            with undisturbed():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_and_an_ignored_signal_are_left_alone() -> None:
    found = []

    def look() -> None:
        with undisturbed():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("script", [DROPPED, SENT], ids=["in the garbage collector", "as a request to terminate"])
def test_a_program_is_stopped_however_it_is_asked(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout == "stopped\n"
    assert not done.stderr
