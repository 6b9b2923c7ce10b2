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
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(batch.inputs[:1])
        return float(counter.get_total_flops() / 2)

    def of_cost(self, cost: Cost) -> float:
        return float(cost.macs)
