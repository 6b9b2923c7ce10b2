"""Files that are either whole or absent: canonical JSON, content hashes, atomic writes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from netwright.core.interrupt import undisturbed


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no blanks and no NaN: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def content_hash(value: object) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part; an OSError names `path`.

    A device or a pipe, such as /dev/null or /dev/stdout, is written to and stays what it is. What is no text in a
    name of a file is written as an escape.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    if _is_stream(path):
        path.write_bytes(raw)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with undisturbed():
        try:
            with temporary.open("wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            with suppress(OSError):  # where nothing can be written, nothing can be removed; the first reason counts
                temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _is_stream(path: Path) -> bool:
    """Whether a path is there but no file that another may take the place of."""
    if path.is_symlink() and path.absolute().is_relative_to("/dev"):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: object) -> object:
    """JSON for the few types records are made of beside the plain ones."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
