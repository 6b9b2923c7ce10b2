"""Training that lowers the ranks of weights: singular values become smaller until those that nothing holds are gone.

Beside the loss, the sum of the logarithms of the singular values is brought down between steps of the optimizer, a
smooth stand-in for the rank (Fazel, Hindi & Boyd, Log-det heuristic for matrix rank minimization, ACC 2003), so that
layers learn their ranks while they learn the task, as in trained rank pruning (Xu et al., IJCAI 2020).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from netwright.compression.factors import View, as_matrix, as_weight, parameters_of, round_rank, weight_of
from netwright.core.files import content_hash
from netwright.tasks.training_hook import TrainingHook

EVERY = 10
"""Steps of the optimizer between two thresholdings: a decomposition costs more than a step."""


class RankPenalty(TrainingHook):
    """Takes the same from all squared singular values in the first half of a training, and keeps the ranks after it.

    `views` are the layers' paths and the matrices that their weights are read as. With `strength` 1 a singular value of
    average energy that nothing holds is gone in the end; large ones are hardly moved, and those of the least rank that
    factors may have are not touched.
    """

    def __init__(self, views: Mapping[str, tuple[View, ...]], *, strength: float) -> None:
        self.views, self.strength = dict(views), strength
        self._owned: list[tuple[nn.Module, View, float]] = []
        self._ranks = torch.zeros(0, dtype=torch.int64)
        self._steps, self._done = 1, 0

    def identity(self) -> str:
        return content_hash([self.strength, self.views])

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        self._steps, self._done = max(1, epochs * steps), 0
        layers = [(model.get_submodule(path), view) for path, views in self.views.items() for view in views]
        self._owned = [(layer, view, _mean_energy(layer, view)) for layer, view in layers]
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
        for number, (layer, view, mean) in enumerate(self._owned):
            left, values, right = _parts(layer, view)
            smaller = (values.square() - share * mean).clamp_min(0).sqrt()
            least = round_rank(1, full=len(values))
            smaller[:least] = values[:least]
            self._ranks[number] = int(smaller.count_nonzero())
            _put(layer, (left * smaller) @ right, view)

    def _truncate(self) -> None:
        for rank, (layer, view, _) in zip(self._ranks.tolist(), self._owned, strict=True):
            left, values, right = _parts(layer, view)
            _put(layer, (left[:, :rank] * values[:rank]) @ right[:rank], view)

    def tensors(self) -> Mapping[str, torch.Tensor]:
        return {"done": torch.tensor(self._done), "ranks": self._ranks}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._done, self._ranks = int(tensors["done"]), tensors["ranks"].cpu()


def _parts(layer: nn.Module, view: View) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    left, values, right = torch.linalg.svd(as_matrix(weight_of(layer), view), full_matrices=False)
    return left, values, right


def _put(layer: nn.Module, matrix: torch.Tensor, view: View) -> None:
    """Give the layer the weights whose matrix this is."""
    parameters = parameters_of(layer)
    whole = as_weight(matrix, view, weight_of(layer).shape)
    with torch.no_grad():
        for parameter, part in zip(parameters, torch.split(whole, [len(one) for one in parameters]), strict=True):
            parameter.copy_(part)


def _mean_energy(layer: nn.Module, view: View) -> float:
    matrix = as_matrix(weight_of(layer), view)
    return float(matrix.square().sum() / min(matrix.shape))
