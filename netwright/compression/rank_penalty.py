"""Training that lowers the ranks of weights: singular values become smaller until those that nothing holds are gone.

Beside the loss, the sum of the logarithms of the singular values is brought down between steps of the optimizer, a
smooth stand-in for the rank (Fazel, Hindi & Boyd, Log-det heuristic for matrix rank minimization, ACC 2003), so that
layers learn their ranks while they learn the task, as in trained rank pruning (Xu et al., IJCAI 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from netwright.compression.factors_matrices import View, Weights, as_matrix, as_weight
from netwright.compression.factors_spectrum import round_rank
from netwright.core.files import content_hash
from netwright.tasks.training_hook import TrainingHook

EVERY = 10
"""Steps of the optimizer between two thresholdings: a decomposition costs more than a step."""


class RankPenalty(TrainingHook):
    """Takes the same from all squared singular values in the first half of a training, and keeps the ranks after it.

    `views` are the layers' paths, weights of them, and the matrix that those are read as. With `strength` 1 a singular
    value of average energy that nothing holds is gone in the end; large ones are hardly moved, and those of the least
    rank that factors may have are not touched.
    """

    def __init__(self, views: Sequence[tuple[str, Weights, View]], *, strength: float) -> None:
        self.views, self.strength = list(views), strength
        self._owned: list[tuple[_Matrix, float]] = []
        self._ranks = torch.zeros(0, dtype=torch.int64)
        self._steps, self._done = 1, 0

    def identity(self) -> str:
        return content_hash([self.strength, [[path, weights.names, view] for path, weights, view in self.views]])

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        self._steps, self._done = max(1, epochs * steps), 0
        owned = [_Matrix(model.get_submodule(path), weights, view) for path, weights, view in self.views]
        self._owned = [(one, one.mean_energy()) for one in owned]
        self._ranks = torch.zeros(len(self._owned), dtype=torch.int64)

    def stepped(self) -> None:
        self._done += 1
        half = max(1, self._steps // 2)
        if self._done % EVERY and self._done not in (half, self._steps):
            return
        if self._done > half:
            self._truncate()
        else:
            self.shrink(self.strength * (self._done % EVERY or EVERY) / half)

    def shrink(self, share: float) -> None:
        """Take so much of what was the mean squared singular value at the start from each, and note the ranks.

        Many small shares are as one large share, if nothing is trained between them.
        """
        for number, (matrix, mean) in enumerate(self._owned):
            left, values, right = matrix.parts()
            smaller = (values.square() - share * mean).clamp_min(0).sqrt()
            least = round_rank(1, full=values.shape[-1], groups=getattr(matrix.layer, "groups", 1))
            smaller[..., :least] = values[..., :least]
            self._ranks[number] = int(smaller.count_nonzero(dim=-1).max())
            matrix.put((left * smaller[..., None, :]) @ right)

    def _truncate(self) -> None:
        for rank, (matrix, _) in zip(self._ranks.tolist(), self._owned, strict=True):
            left, values, right = matrix.parts()
            matrix.put((left[..., :rank] * values[..., None, :rank]) @ right[..., :rank, :])

    def tensors(self) -> Mapping[str, torch.Tensor]:
        return {"done": torch.tensor(self._done), "ranks": self._ranks}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._done, self._ranks = int(tensors["done"]), tensors["ranks"].cpu()


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Weights of a layer as one matrix."""

    layer: nn.Module
    weights: Weights
    view: View

    def parts(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Its singular vectors and values, [..., rank] of each matrix where there are several."""
        left, values, right = torch.linalg.svd(as_matrix(self.weights.of(self.layer), self.view), full_matrices=False)
        return left, values, right

    def put(self, matrix: torch.Tensor) -> None:
        """Give the layer the weights whose matrix this is."""
        self.weights.put(self.layer, as_weight(matrix, self.view, self.weights.of(self.layer).shape))

    def mean_energy(self) -> float:
        matrix = as_matrix(self.weights.of(self.layer), self.view)
        return float(matrix.square().sum() / (prod(matrix.shape[:-2]) * min(matrix.shape[-2:])))
