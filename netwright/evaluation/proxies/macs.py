"""The multiply-accumulates as a proxy: the baseline that every other proxy is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.cost import Cost
from netwright.evaluation.proxy import Batch, Proxy

if TYPE_CHECKING:
    from torch import nn


class Macs(Proxy):
    """Multiply-accumulates of one inference: a baseline that few proxies beat, and it costs nothing."""

    needs: ClassVar[Literal["cost", "batch"]] = "cost"

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        from netwright.evaluation.profile import profile

        return float(profile(model, batch.inputs).macs)

    def of_cost(self, cost: Cost) -> float:
        return float(cost.macs)
