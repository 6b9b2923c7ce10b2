"""The run folder: what lies where, who may write to it."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from netwright.core.errors import RunError
from netwright.core.files import write_atomic

FORMAT = 1
REQUIRED = ("name", "seed", "task", "space", "objectives", "search", "winner")
"""What every specification on disk has; readers of a run take it from there as it is."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that holds one run. It can be moved, packed and opened elsewhere; every path is relative."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "run.db"

    @property
    def specification(self) -> Path:
        return self.path / "specification.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def scratch(self) -> Path:
        return self.path / "scratch"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @classmethod
    def take_next(cls, name: str) -> Path:
        """The first `runs/<name>-<number>` that is free, made at once: of two starts each gets its own."""
        number = 1
        while True:
            path = Path("runs") / f"{name}-{number}"
            try:
                path.mkdir(parents=True)
                return path
            except FileExistsError:
                number += 1
            except OSError as error:
                raise _unwritable(path, error) from None

    @classmethod
    def create(cls, path: Path, *, specification: Mapping[str, Any], environment: Mapping[str, Any]) -> Self:
        """A new run folder; raises RunError when the path holds something already or cannot be written."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{path} exists and is not empty; {_what_then(path)}")
        folder = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o700)
            folder.scratch.mkdir()  # of two processes that chose one folder, the second fails here
            write_atomic(folder.environment, json.dumps(environment, indent=1))
            frozen = {"format": FORMAT, "specification": specification}
            write_atomic(folder.specification, json.dumps(frozen, indent=1))
        except FileExistsError:
            raise RunError(f"{path} was just taken by another run; name another folder with --out") from None
        except OSError as error:
            raise _unwritable(path, error) from None
        return folder

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """An existing run folder; raises RunError when it is none, or of a newer format."""
        path = Path(path)
        folder = cls(path)
        if not path.is_dir():
            what = "it is a file" if path.exists() else "there is no such folder"
            raise RunError(f"{path} is not a run folder: {what}; `netwright runs list` shows yours")
        if not folder.specification.exists() or not folder.database.exists():
            raise RunError(f"{path} is not a run folder: expected specification.json and run.db in it")
        folder.read_specification()
        return folder

    def read_specification(self) -> dict[str, Any]:
        """The specification as it was when the run began."""
        try:
            data = json.loads(self.specification.read_text(encoding="utf-8"))
            version, specification = int(data["format"]), dict(data["specification"])
            missing = [name for name in REQUIRED if name not in specification]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self.specification} is damaged ({type(error).__name__}); restore it from a copy"
            ) from None
        if version > FORMAT:
            raise RunError(f"{self.path} was made by a newer netwright (format {version}, this one knows {FORMAT})")
        if missing:
            raise RunError(f"{self.specification} is damaged: {', '.join(missing)} missing; restore it from a copy")
        return specification

    def read_environment(self) -> dict[str, Any]:
        """Where the run comes from, as it was when it began."""
        try:
            data = json.loads(self.environment.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.environment} is damaged ({type(error).__name__}); restore it from a copy") from None
        assert isinstance(data, dict)
        return data

    def sweep(self) -> None:
        """Remove what a killed process left half written; for the holder of the lock alone."""
        for left in [*self.path.glob("models/.*"), *self.path.glob(".bundle.*")]:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def lock(self) -> RunLock:
        """The right to write to this run; raises RunError when somebody has it."""
        return RunLock(self)


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"{path} cannot be written: {error.strerror}; name another folder with --out")


def _what_then(path: Path) -> str:
    if (path / "run.db").exists():
        return f"continue it with --resume {path}, or name another folder"
    if (path / "scratch").exists():
        return "another process makes a run of it now, or was ended while it did: wait, or remove the folder"
    return "name a new folder with --out"


def driver_is_gone(folder: RunFolder) -> bool:
    """Whether the process that last wrote to a run was on this machine and has ended; False when that is not known."""
    try:
        holder = json.loads((folder.path / ".lock.json").read_text(encoding="utf-8"))
        host, pid = str(holder["host"]), int(holder["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


class RunLock:
    """Held by the one driver of a run; released when its process ends, however it ends."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._lock = FileLock(folder.path / ".lock")
        self._holder = folder.path / ".lock.json"

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"{self._folder.path} is in use by {self._who()}; wait for it or stop it") from None
        except OSError as error:
            what = f"{self._folder.path} cannot be written: {error.strerror}"
            raise RunError(f"{what}; copy the folder to where you may write, and go on there") from None
        self._folder.sweep()
        write_atomic(self._holder, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _who(self) -> str:
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError):
            return "another process"
