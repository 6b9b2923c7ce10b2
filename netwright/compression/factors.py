"""Which layers are worth factorizing and at which ranks; numbers only, nothing is replaced here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Protocol

import torch
from torch import nn

from netwright.compression.proof import outputs


class FactorSettings(Protocol):
    """What planning is told; the fields of the low-rank pass."""

    @property
    def energy(self) -> float: ...
    @property
    def ratio(self) -> float | None: ...
    @property
    def min_gain(self) -> float: ...
    @property
    def ignore(self) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """One layer: whether factors pay, at which ranks, and the reason. `aliases` are all its paths."""

    path: str
    applies: bool
    reason: str
    ranks: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass
class _Seen:
    """Positions of a layer's input and output per sample, summed over its calls."""

    inputs: int = 0
    outputs: int = 0
    paths: list[str] = field(default_factory=list)


def plan_factors(module: nn.Module, example: torch.Tensor, settings: FactorSettings) -> list[Plan]:
    """A plan for every Linear and Conv2d; `example` is a batch [N, *shape]."""
    seen = _positions(module, example)
    return [_plan(layer, found, settings) for layer, found in seen.items()]


def round_rank(rank: float, *, full: int) -> int:
    """A rank rounded up to a multiple of 8, or of 4 where the full rank is below 32; never above it.

    >>> [round_rank(rank, full=64) for rank in (1, 8, 9, 63)], round_rank(5, full=16)
    ([8, 8, 16, 64], 8)
    """
    unit = 8 if full >= 32 else 4
    return min(full, max(unit, ceil(rank / unit) * unit))


def energy_rank(matrix: torch.Tensor, energy: float) -> int:
    """The least rank whose squared singular values hold this share of all."""
    squared = torch.linalg.svdvals(matrix.detach().double().cpu()).square()
    total = squared.sum()
    if total <= 0:
        return 1
    return int((squared.cumsum(0) / total < energy).sum().item()) + 1


def _plan(layer: nn.Module, seen: _Seen, settings: FactorSettings) -> Plan:
    path = seen.paths[0]
    if any(path == one or path.startswith(f"{one}.") for one in settings.ignore):
        return Plan(path, False, "it is on the list of layers to ignore")
    if not seen.outputs:
        return Plan(path, False, "it is not called")
    if isinstance(layer, nn.Conv2d):
        if layer.groups > 1:
            return Plan(path, False, "its channels are in groups")
        if prod(layer.kernel_size) == 1:
            return Plan(path, False, "a 1×1 convolution has no kernel to factorize")
    ranks, before, after = _ranks_and_costs(layer, seen, settings)
    params, macs = 1 - after[0] / before[0], 1 - after[1] / before[1]
    text = " and ".join(str(rank) for rank in ranks)
    if min(params, macs) < settings.min_gain or min(params, macs) <= 0:
        reason = f"rank {text} would save {params:.0%} of its parameters and {macs:.0%} of its MACs"
        return Plan(path, False, f"{reason}; at least {settings.min_gain:.0%} is asked")
    return Plan(path, True, f"rank {text}, {params:.0%} fewer parameters", ranks, tuple(seen.paths))


def _ranks_and_costs(
    layer: nn.Module, seen: _Seen, settings: FactorSettings
) -> tuple[tuple[int, ...], tuple[int, int], tuple[int, int]]:
    """Ranks, and (parameters, MACs) of the layer before and after, biases left out."""
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    out, inner = weight.shape[:2]
    if isinstance(layer, nn.Linear):
        rank = _rank(weight, min(out, inner), settings)
        return (
            (rank,),
            (out * inner, out * inner * seen.outputs),
            (
                rank * (out + inner),
                rank * (out + inner) * seen.outputs,
            ),
        )
    kernel = weight.shape[2:].numel()
    to = _rank(weight.flatten(1), min(out, inner * kernel), settings)
    come = _rank(weight.transpose(0, 1).flatten(1), min(inner, out * kernel), settings)
    sizes = (inner * come, come * to * kernel, to * out)
    before = out * inner * kernel
    after = (sum(sizes), sizes[0] * seen.inputs + (sizes[1] + sizes[2]) * seen.outputs)
    return (to, come), (before, before * seen.outputs), after


def _rank(matrix: torch.Tensor, full: int, settings: FactorSettings) -> int:
    wanted = settings.ratio * full if settings.ratio is not None else energy_rank(matrix, settings.energy)
    return round_rank(wanted, full=full)


def _positions(module: nn.Module, example: torch.Tensor) -> dict[nn.Module, _Seen]:
    seen: dict[nn.Module, _Seen] = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            seen.setdefault(layer, _Seen()).paths.append(path)

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        seen[layer].inputs += inputs[0].numel() // (inputs[0].shape[axis] * len(example))
        seen[layer].outputs += output.numel() // (output.shape[axis] * len(example))

    handles = [layer.register_forward_hook(note) for layer in seen]
    try:
        outputs(module, example)
    finally:
        for handle in handles:
            handle.remove()
    return seen
