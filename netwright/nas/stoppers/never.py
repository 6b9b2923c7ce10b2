"""No early stopping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netwright.nas.stopper import Stopper


class Never(Stopper):
    """Every training runs to its last epoch."""

    def keep_going(
        self,
        *,
        epoch: int,
        value: float,
        history: Sequence[Mapping[int, float]],
        protected: bool = False,
    ) -> bool:
        del epoch, value, history, protected
        return True
