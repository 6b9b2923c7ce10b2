"""The stopper: whether a training that runs is worth going on with."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from netwright.core.plugins import Plugin
from netwright.core.records import Objective, Trial


class Stopper(Plugin):
    """Judges a running training by its curve; its fields are its settings, and it keeps no state."""

    @abstractmethod
    def keep_going(
        self,
        *,
        epoch: int,
        value: float,
        history: Sequence[Mapping[int, float]],
        protected: bool = False,
    ) -> bool:
        """Whether to train on after this epoch (counted from 1).

        `value` is the primary objective at this epoch as a loss: smaller is better. `history` has one
        mapping epoch -> loss for every other trial with a curve, the running ones included. A trial is
        `protected` when its cheap objectives, such as its size, would put it on the front whatever its
        loss: it is never stopped, or small fast networks would not live long enough to be compared.
        """


def loss_curve(trial: Trial, objective: Objective) -> dict[int, float]:
    """The objective's loss after every epoch of a trial, as far as its curve tells; smaller is better."""
    key = f"validation_{objective.metric.removeprefix('validation_')}"
    return {int(row["epoch"]): objective.loss(row[key]) for row in trial.curve if key in row}
