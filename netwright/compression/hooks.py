"""Hooks of torch that watch a forward pass and are gone after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Takes the hooks away at the end of the block, however it ends."""
    placed = list(handles)
    try:
        yield
    finally:
        for handle in placed:
            handle.remove()
