"""AZ-NAS: four views of an untrained network, ranked together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from netwright.evaluation.block_features import block_features, rows_of
from netwright.evaluation.proxies.macs import Macs
from netwright.evaluation.proxy import Batch, NoScoreError, Proxy
from netwright.evaluation.proxy_layers import draw_weights

HANDS_ON = -1000.0
"""Of a block that gives out what comes in: there is nothing in it to train, so it ranks below every other."""


class AzNas(Proxy):
    """Expressivity, progressivity, trainability and complexity (Lee & Ham, 2024).

    On random weights and inputs: the entropy of the principal components of every block's features, summed;
    its smallest growth from block to block; how near the gradients' way through each block is to keeping their
    size; multiply-accumulates. In a pool of networks the parts are ranked each by itself, see `mixture`: this
    is what the paper does. The score of one network alone adds them up, each on a scale of about 1.
    """

    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, float]:
        macs = Macs().evaluate(model, batch)
        model.train()
        draw_weights(model, lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"))
        inputs = torch.randn_like(batch.inputs).requires_grad_(True)
        features = block_features(model, inputs)
        entropies = [_entropy(rows_of(tensor.detach())) for tensor in features]
        growth = min(after - before for before, after in pairwise(entropies))
        return {
            "expressivity": sum(entropies),
            "progressivity": growth,
            "trainability": _trainability(features),
            "complexity": macs,
        }

    def total(self, parts: Mapping[str, float]) -> float:
        ways = math.exp(max(parts["trainability"], -50.0))
        return parts["progressivity"] + ways + math.log1p(parts["expressivity"]) + math.log10(1 + parts["complexity"])


def _entropy(rows: torch.Tensor) -> float:
    """How evenly the variance is spread over principal directions: rows (places, channels) to nats."""
    centred = rows - rows.mean(0)
    values = torch.linalg.eigvalsh((centred.T @ centred / len(rows)).double()).clamp(min=0)
    if float(values.sum()) == 0:
        return 0.0
    shares = values / values.sum()
    return float(-(shares * (shares + 1e-8).log()).sum())


def _trainability(features: list[torch.Tensor]) -> float:
    """Mean over blocks of 2 - s - 1/s, with s the largest singular value of the way of gradients: 0 is best.

    Random signs are sent back through each block; s belongs to the matrix that relates what comes out in front
    of the block to what was sent. A block that hands on its input would be best, so it is given the worst score.
    """
    scores = []
    for given, made in pairwise(features):
        sent = torch.randint_like(made, 2) * 2 - 1
        came = None
        if made.requires_grad:
            (came,) = torch.autograd.grad(made, given, sent, retain_graph=True, allow_unused=True)
        if came is None:
            raise NoScoreError("a block's features do not depend on those of the block before")
        if made.ndim == 4 and came.shape[2:] != sent.shape[2:]:
            if came.shape[2] % sent.shape[2] or came.shape[2] // sent.shape[2] != came.shape[3] // sent.shape[3]:
                continue  # places cannot be put side by side
            came = F.pixel_unshuffle(came, came.shape[2] // sent.shape[2])
        if came.shape == sent.shape and torch.equal(came, sent):
            scores.append(HANDS_ON)
            continue
        before, after = rows_of(came), rows_of(sent)
        if len(before) != len(after):
            continue
        largest = float(torch.linalg.matrix_norm(before.T @ after / len(after), 2))
        scores.append(2 - largest - 1 / (largest + 1e-6))
    if not scores:
        raise NoScoreError("no two blocks in a row have features that can be compared place by place")
    return sum(scores) / len(scores)
