"""The row of a table that is most like an architecture which the table has no row of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from netwright.nas.evidence import Key
from netwright.nas.rows import rows_of
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float32]

KEPT = 100_000
"""So many answers are remembered."""


class Nearest:
    """Looks for rows by how many decisions differ; numbers of many values count by how far they are apart.

    `keys` are the architectures that may be found, `places` their rows. Among equally near ones the first is taken.
    """

    def __init__(self, space: SearchSpace, keys: Sequence[Key], places: Sequence[int]) -> None:
        self._space = space
        self._places = np.array(places)
        self._rows: Array = rows_of(space, keys).astype(np.float32)
        self._squares: Array = (self._rows**2).sum(axis=1)
        self._found: dict[Key, int] = {}

    def row(self, key: Key) -> int:
        """The row nearest to an architecture."""
        if key not in self._found:
            if len(self._found) >= KEPT:
                self._found.clear()
            self._found[key] = int(self._places[np.argmin(self._distances(key))])
        return self._found[key]

    def untaken(self, key: Key, taken: Iterable[int]) -> int | None:
        """The nearest row that is not among those taken; None when all are."""
        free = ~np.isin(self._places, np.fromiter(taken, dtype=np.int64))
        if not free.any():
            return None
        return int(self._places[np.argmin(np.where(free, self._distances(key), np.inf))])

    def _distances(self, key: Key) -> Array:
        """Up to a constant, the squared distance of every row."""
        own = rows_of(self._space, [key])[0].astype(np.float32)
        found: Array = self._squares - 2 * (self._rows @ own)
        return found
