"""What a strategy may know beside the record: the task of the search, and a folder to keep its work in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netwright.core.progress import Listener, silent
from netwright.core.shapes import Shapes

if TYPE_CHECKING:
    from netwright.tasks.task import Task


@dataclass(frozen=True, slots=True)
class SearchContext:
    """The task that is searched for, and where.

    `folder` is the strategy's own: what it keeps there (a trained supernet, scores) follows from its settings,
    the task and `seed` alone, so that deleting it costs time and changes no proposal. `device` is where it may
    train: cpu, cuda, or auto. `trials` is how many the search may try in all, where that is known; `rungs` are its
    fidelities, where trials begin at a low one. `listener` hears of long work before a proposal.
    """

    task: Task
    folder: Path
    seed: int = 0
    device: str = "cpu"
    trials: int | None = None
    rungs: Sequence[float] = ()
    listener: Listener = field(default=silent, compare=False)

    @property
    def shapes(self) -> Shapes:
        """The task's shapes."""
        return self.task.shapes()

    def training_device(self) -> str:
        """The device to train on; `auto` is a GPU where this process may use one."""
        if self.device != "auto":
            return self.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
