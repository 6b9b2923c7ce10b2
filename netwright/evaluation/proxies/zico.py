"""ZiCo: whether the gradients of several batches are large and agree."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from netwright.evaluation.proxy import Batch, NoScoreError, Proxy
from netwright.evaluation.proxy_layers import loss_gradients, weights_of


class Zico(Proxy):
    """Sum over layers of the log of the summed (mean |gradient| / its deviation) over batches (Li et al., 2023)."""

    batches: int = Field(default=2, ge=2, description="parts that the batch is cut into; each gives one gradient")

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        if len(batch.inputs) < 2 * self.batches:
            raise NoScoreError(f"{len(batch.inputs)} samples are too few for {self.batches} batches of 2 or more")
        weights = weights_of(model)
        parts = zip(batch.inputs.chunk(self.batches), batch.targets.chunk(self.batches), strict=True)
        found = [loss_gradients(model, Batch(inputs, targets, batch.loss), weights) for inputs, targets in parts]
        total = 0.0
        for gradients in zip(*found, strict=True):
            if any(gradient is None for gradient in gradients):
                continue
            stacked = torch.stack([gradient for gradient in gradients if gradient is not None])
            spread = stacked.std(0, correction=0)
            some = spread > 0
            signal = float((stacked.abs().mean(0)[some] / spread[some]).sum())
            total += math.log(signal) if signal > 0 else 0.0
        return total
