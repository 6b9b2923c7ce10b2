"""The SQLite file of a run: how it is opened wherever it lies, and what its errors mean."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sql
from sqlalchemy.pool import StaticPool

from netwright.core.errors import RunError

WAIT_S = 30.0
"""How long a statement waits for another program that holds the file."""
URL = "sqlite:///run.db"
"""Names the dialect alone: a path of any characters goes to SQLite as it is, not through a URL."""


def open_engine(path: Path, *, read_only: bool) -> sql.Engine:
    """An engine on a file; its errors are RunErrors, but for a full disk, which whoever writes must tell apart."""
    if not read_only:
        engine = sql.create_engine(URL, creator=connector(path))
        sql.event.listen(engine, "connect", _durable)
    elif not os.access(path.parent, os.W_OK) and _unfinished(path):
        engine = sql.create_engine("sqlite://", creator=partial(_snapshot, path), poolclass=StaticPool)
    else:
        # a live reader puts side files beside the database, where it may
        mode = "mode=ro" if os.access(path.parent, os.W_OK) else "immutable=1"
        engine = sql.create_engine(URL, creator=partial(_connect, f"{path.resolve().as_uri()}?{mode}", uri=True))
    explain_errors(engine, path)
    return engine


def connector(path: Path) -> partial[sqlite3.Connection]:
    """A function that connects to a file for writing, for SQLAlchemy's `creator`."""
    return partial(_connect, path)


def explain_errors(engine: sql.Engine, path: Path) -> None:
    """Let what SQLite refuses be raised as a RunError that says what to do."""

    def explained(context: sql.engine.ExceptionContext) -> None:
        problem = context.original_exception
        if not isinstance(problem, sqlite3.OperationalError) or "is full" in str(problem):
            return
        if "locked" in str(problem):
            raise RunError(f"{path} is held by another program; close that, then go on with --resume") from problem
        raise RunError(f"{path} cannot be used: {problem}; is the folder writable, and the file whole?") from problem

    sql.event.listen(engine, "handle_error", explained)


def _connect(where: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(where, timeout=WAIT_S, uri=uri, check_same_thread=False)


def _durable(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _unfinished(path: Path) -> bool:
    """Whether a killed writer's last changes are still in the log beside the file."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _snapshot(path: Path) -> sqlite3.Connection:
    """The database with its log, in memory: SQLite reads a log only where it may write beside it."""
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    with TemporaryDirectory(prefix="netwright-") as folder:
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy(path.with_name(name), folder)
        with closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            copy.backup(memory)
    return memory
