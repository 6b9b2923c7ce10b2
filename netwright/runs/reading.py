"""A run opened to look at, with all that a writer would have but the right to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netwright.runs.folder import RunFolder
from netwright.runs.record import StudyRecord
from netwright.runs.search import OpenRun
from netwright.runs.specification import RunSpecification


@contextmanager
def reading(path: Path) -> Iterator[OpenRun]:
    """Open a run to look at: its record refuses to be written, and nothing is locked."""
    folder = RunFolder.open(path)
    record = StudyRecord(folder.database, read_only=True)
    try:
        stored = RunSpecification.parse(folder.read_specification(), source=str(folder.specification))
        yield OpenRun(folder, stored, record)
    finally:
        record.close()
