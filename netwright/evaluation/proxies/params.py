"""The number of parameters as a proxy: a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.cost import Cost
from netwright.evaluation.proxy import Batch, Proxy

if TYPE_CHECKING:
    from torch import nn


class Params(Proxy):
    """Number of trainable parameters: larger networks of one space are often better, and this costs nothing."""

    needs: ClassVar[Literal["cost", "batch"]] = "cost"

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        del batch
        return float(sum(parameter.numel() for parameter in model.parameters()))

    def of_cost(self, cost: Cost) -> float:
        return float(cost.params)
