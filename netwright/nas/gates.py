"""How the strengths of options become gates: softmax, a drawn option, or a draw from a Dirichlet distribution."""

from __future__ import annotations

from typing import Literal

import torch
from torch.distributions import Dirichlet, kl_divergence
from torch.nn import functional as F

GateRule = Literal["darts", "darts_second_order", "gdas", "drnas"]


def gates_of(strengths: list[torch.Tensor], rule: GateRule, *, temperature: float) -> list[torch.Tensor]:
    """A row of gates for each row of strengths; gradients flow back to the strengths.

    `darts`: softmax (Liu et al., 2019). `gdas`: one option drawn by the Gumbel trick, with the gradient of its
    softened probability (Dong & Yang, 2019). `drnas`: weights drawn from Dirichlet(elu(strength) + 1) (Chen et
    al., 2021).
    """
    if rule == "gdas":
        return [_drawn(row, temperature) for row in strengths]
    if rule == "drnas":
        return [Dirichlet(F.elu(row) + 1).rsample() for row in strengths]
    return [torch.softmax(row, 0) for row in strengths]


def probabilities(strengths: list[torch.Tensor], rule: GateRule) -> list[list[float]]:
    """How strong each option is in the end; every row sums to 1."""
    with torch.no_grad():
        if rule == "drnas":
            rows = [(F.elu(row) + 1) / (F.elu(row) + 1).sum() for row in strengths]
        else:
            rows = [torch.softmax(row, 0) for row in strengths]
    return [[float(value) for value in row] for row in rows]


def anchor_penalty(strengths: list[torch.Tensor]) -> torch.Tensor:
    """How far the Dirichlet distributions are from the uniform one, a scalar: keeps DrNAS from narrowing early."""
    rows = [kl_divergence(Dirichlet(F.elu(row) + 1), Dirichlet(torch.ones_like(row))) for row in strengths]
    return torch.stack(rows).sum()


def _drawn(row: torch.Tensor, temperature: float) -> torch.Tensor:
    noise = -torch.empty_like(row).exponential_().log()
    soft = torch.softmax((F.log_softmax(row, 0) + noise) / temperature, 0)
    hard = F.one_hot(soft.argmax(), len(row)).to(row.dtype)
    return hard - soft.detach() + soft
