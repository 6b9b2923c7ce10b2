"""How much each channel of each coupling matters: lays out the weights that a channel owns and asks the criterion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression import recurrent_pruning
from netwright.compression.coupling import Coupling
from netwright.compression.criterion import Criterion, Part
from netwright.compression.surgery import Role, axes

if TYPE_CHECKING:
    from netwright.compression.context import Context

Gradients = Mapping[str, torch.Tensor]


def importances(
    module: nn.Module,
    couplings: Sequence[Coupling],
    *,
    criterion: Criterion,
    gradients: Iterable[Gradients] = ({},),
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """How much each channel matters to the criterion, [slots, size] by the coupling's name.

    `gradients` are by parameter name, one mapping for each time the criterion is asked; see `gradients_for`.
    """
    totals: dict[str, torch.Tensor] = {}
    asked = 0
    for gradient in gradients:
        asked += 1
        for number, coupling in enumerate(couplings):
            scores = _scores(module, coupling, criterion, gradient, seed=seed + number)
            totals[coupling.name] = totals.get(coupling.name, 0) + scores
    return {
        c.name: criterion.finished((totals[c.name] / asked).view(c.slots, c.size)).float() for c in couplings if asked
    }


def gradients_for(criterion: Criterion, module: nn.Module, context: Context) -> Iterable[Gradients]:
    """What the criterion wants to see of the loss on the calibration data."""
    count = criterion.gradients()
    if not count:
        return [{}]
    return [context.gradients(module)] if count == 1 else _one_by_one(module, context, count)


def _one_by_one(module: nn.Module, context: Context, count: int) -> Iterator[Gradients]:
    """The gradients of single samples, in evaluation mode."""
    import copy

    probe = copy.deepcopy(module).eval()
    named = dict(probe.named_parameters())
    for parameter in named.values():
        parameter.requires_grad_(True)
    inputs, targets = torch.tensor(context.calibration), torch.tensor(context.calibration_targets)
    for one in islice(range(len(inputs)), count):
        with torch.enable_grad():
            loss = context.task.loss(probe(inputs[one : one + 1]), targets[one : one + 1])
            found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        yield {name: value for name, value in zip(named, found, strict=True) if value is not None}


def _scores(
    module: nn.Module, coupling: Coupling, criterion: Criterion, gradients: Gradients, *, seed: int
) -> torch.Tensor:
    """The average over the coupling's layers, [width]."""
    random = torch.Generator().manual_seed(seed)
    parts, members = [], []
    for member in coupling.members:
        layer = module.get_submodule(member.path)
        part = _part(layer, member.path, member.role, gradients if criterion.gradients() else None, random)
        if part is not None:
            parts.append(part)
            members.append(member)
    total = torch.zeros(coupling.width, dtype=torch.float64)
    chosen = criterion.chosen(parts) if parts else []
    for part in chosen:
        member = members[next(i for i, other in enumerate(parts) if other is part)]
        total.index_add_(0, torch.tensor(member.channels), criterion.asked(part)[list(member.indices)])
    return total / max(len(chosen), 1)


def _part(layer: nn.Module, path: str, role: Role, gradients: Gradients | None, random: torch.Generator) -> Part | None:
    """One side of a layer, or None when it holds no weights for its channels."""
    values = {name: p.detach().double().cpu() for name, p in layer.named_parameters(recurse=False)}
    blocks = _blocks(layer, role, values)
    if not blocks:
        return None
    slopes: tuple[torch.Tensor, ...] = ()
    if gradients is not None:
        known = {name: gradients.get(f"{path}.{name}") for name in values}
        filled = {
            name: torch.zeros_like(values[name]) if slope is None else slope.double().cpu()
            for name, slope in known.items()
        }
        slopes = _blocks(layer, role, filled)
    return Part(layer, role, blocks, slopes, random)


def _blocks(layer: nn.Module, role: Role, values: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The weights of each channel as a row; biases are left out."""
    if isinstance(layer, nn.RNNBase) and role == "units":
        return recurrent_pruning.unit_blocks(layer, values)
    if isinstance(layer, _ConvNd) and layer.groups > 1 and role == "in" and not layer.transposed:
        return tuple(block.transpose(0, 1).flatten(1) for block in values["weight"].chunk(layer.groups, 0))
    rows = [
        values[name].movedim(dimension, 0).reshape(values[name].shape[dimension], -1)
        for name, dimension in axes(layer, role)
        if name in values and name != "bias"
    ]
    return (torch.cat(rows, dim=1),) if rows else ()
