"""Training batches of a task, ready for a network, in an order that follows from a seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from netwright.core.seeds import derive_seed
from netwright.tasks.data import Split
from netwright.tasks.settings import batch_for
from netwright.tasks.splitting import stratified_order
from netwright.tasks.task import Task


class Batches:
    """Preprocessed batches of the training split, for loops of their own; ordinary trainings use `fit`.

    Without a `batch_size` there are 64 samples in a batch, and down to 16 where an epoch would have fewer than 20.
    `samples` takes the first of the same seeded order as `Training.samples`; `part` of `parts` takes one of so
    many equal parts of them, so that one half can train weights and the other choose between them.
    """

    def __init__(
        self,
        task: Task,
        *,
        batch_size: int | None,
        seed: int,
        samples: int | None = None,
        part: int = 0,
        parts: int = 1,
        device: str = "cpu",
    ) -> None:
        data = task.data()
        order = stratified_order(
            task.targets().strata(data.train.targets), seed=derive_seed("samples", task.split_seed)
        )
        # a beginning of the order, and so what follows it, holds each class in its share; every other sample may not
        self._split: Split = data.train.take(np.array_split(order[:samples], parts)[part])
        self._task, self._seed, self._device = task, seed, device
        self._size = batch_size or batch_for(len(self._split), most=64)
        self._preprocessing = data.preprocessing

    def __len__(self) -> int:
        """Batches of an epoch; a last one of a single sample is left out, as normalisation cannot use it."""
        full, rest = divmod(len(self._split), self._size)
        return full + (rest > 1 or full == 0)

    def epoch(self, number: int, *, augment: bool = True) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The inputs [N, *shape] and targets of one epoch's batches; each epoch has an order of its own."""
        generator = torch.Generator().manual_seed(derive_seed("batches", self._seed, number))
        order = torch.randperm(len(self._split), generator=generator)
        for index in torch.split(order, self._size)[: len(self)]:
            chosen = self._split.take(index.numpy())
            inputs, targets = torch.tensor(chosen.inputs), torch.tensor(chosen.targets)
            if augment and self._task.augments():
                inputs, targets = self._task.augment_both(inputs, targets, generator)
            ready = torch.from_numpy(self._preprocessing(inputs.numpy()))
            yield ready.to(self._device), targets.to(self._device)
