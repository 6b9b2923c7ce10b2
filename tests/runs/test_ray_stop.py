"""A request to stop is the program's own to handle, also where Ray has put its handler in the way."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from netwright.runs.executors.ray_tune import RayTune


@dataclass
class NoWork:
    """Work that is done; it notes who handles signals at that time."""

    handlers: list[Callable[..., Any] | int | None] = field(default_factory=list)

    def next_job(self) -> None:
        self.handlers += [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]


@pytest.mark.slow
def test_ray_takes_no_signal_from_the_program(tmp_path: Path) -> None:
    interrupt = signal.getsignal(signal.SIGINT)
    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    work = NoWork()
    try:
        RayTune(workers=1).run(work, scratch=tmp_path)  # type: ignore[arg-type]  # all that it uses
        assert work.handlers[:2] == [interrupt, signal.default_int_handler]
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, terminate)
