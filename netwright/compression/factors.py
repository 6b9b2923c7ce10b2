"""Which layers are worth factorizing, how and at which ranks; numbers only, nothing is replaced here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import ceil, prod
from typing import Literal, Protocol

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression.factors_budget import Option, within_budget
from netwright.compression.factors_calls import FACTORABLE, Seen, called_layers
from netwright.compression.factors_vbmf import vbmf_rank

Method = Literal["auto", "tucker", "spatial", "cp"]
LARGEST_CP = 300_000
"""Weights of more values than this are not tried by CP in `auto`: its fit would take minutes."""

LEFT = 1 - 1e-7
"""Where ranks are learned, the energy that counts as all: singular values above are rounding."""

View = Literal["rows", "columns", "spatial"]
"""How a layer's weights are read as a matrix."""

ENERGIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995)
"""What a budget chooses from, for every layer."""

CpError = Callable[[nn.Conv2d, int], float]
"""The relative squared error of a convolution's CP factors of a rank."""


class FactorSettings(Protocol):
    """What planning is told; the fields of the low-rank pass."""

    @property
    def method(self) -> Method: ...
    @property
    def energy(self) -> float: ...
    @property
    def ratio(self) -> float | None: ...
    @property
    def vbmf(self) -> bool: ...
    @property
    def learned(self) -> float | None: ...
    @property
    def budget(self) -> float | None: ...
    @property
    def budget_of(self) -> Literal["macs", "params"]: ...
    @property
    def min_gain(self) -> float: ...
    @property
    def ignore(self) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """One layer: whether factors pay, by which method, at which ranks, and the reason. `aliases` are all its paths."""

    path: str
    applies: bool
    reason: str
    ranks: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()
    method: str = ""
    input: torch.Tensor | None = None


def plan_factors(
    module: nn.Module, example: torch.Tensor, settings: FactorSettings, *, cp_error: CpError | None = None
) -> list[Plan]:
    """A plan for every Linear, Conv2d and recurrent layer, then those for other large ones, which are left alone.

    `example` is a batch [N, *shape].
    """
    seen = called_layers(module, example)
    chosen = _budgeted(seen, settings) if settings.budget is not None else {}
    plans = [_plan(layer, found, settings, chosen.get(layer), cp_error) for layer, found in seen.items()]
    others = {path: layer for path, layer in module.named_modules() if isinstance(layer, (_ConvNd, nn.Embedding))}
    return plans + [
        Plan(path, False, f"there are factors for Linear, Conv2d and recurrent layers, not for {type(layer).__name__}")
        for path, layer in others.items()
        if layer not in seen
    ]


def round_rank(rank: float, *, full: int) -> int:
    """A rank rounded up to a multiple of 8, or of 4 where the full rank is below 32; never above it.

    >>> [round_rank(rank, full=64) for rank in (1, 8, 9, 63)], round_rank(5, full=16)
    ([8, 8, 16, 64], 8)
    """
    unit = 8 if full >= 32 else 4
    return min(full, max(unit, ceil(rank / unit) * unit))


class Spectrum:
    """The squared singular values of a matrix, as shares of their sum."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix.detach().double().cpu()
        self.full = min(matrix.shape)
        squared = torch.linalg.svdvals(self.matrix).square()
        total = squared.sum()
        self.kept = squared.cumsum(0) / total if total > 0 else torch.ones_like(squared)

    def rank(self, energy: float) -> int:
        """The least rank whose squared singular values hold this share of all."""
        return min(self.full, int((self.kept < energy).sum().item()) + 1)

    def lost(self, rank: int) -> float:
        """The share of the energy above a rank."""
        return max(0.0, 1 - float(self.kept[rank - 1]))

    def ruled(self, settings: FactorSettings) -> int:
        """The rank by the settings' rule, rounded."""
        if settings.ratio is not None:
            wanted: float = settings.ratio * self.full
        elif settings.vbmf:
            wanted = vbmf_rank(self.matrix.numpy())
        else:
            wanted = self.rank(settings.energy if settings.learned is None else LEFT)
        return round_rank(wanted, full=self.full)


class _Factorable:
    """A layer's weights as matrices, and what its factors would cost and lose."""

    def __init__(self, layer: nn.Module, seen: Seen) -> None:
        self.layer, self.seen = layer, seen
        self.weight = weight_of(layer)
        others = sum(p.numel() for n, p in layer.named_parameters() if "weight_" in n) if is_recurrent(layer) else 0
        self.params = others or self.weight.numel()
        self.macs = self.params * seen.outputs
        self._spectra: dict[str, Spectrum] = {}

    def spectrum(self, which: View) -> Spectrum:
        if which not in self._spectra:
            self._spectra[which] = Spectrum(as_matrix(self.weight, which))
        return self._spectra[which]

    def option(self, method: str, ranks: tuple[int, ...], loss: float) -> Option:
        params, macs = self._costs(method, ranks)
        return Option(method, ranks, params, macs, loss)

    def by_rule(self, method: str, settings: FactorSettings) -> Option:
        """Ranks by the settings' rule, and the share of the squared weights that they lose, at most."""
        if method in ("svd", "recurrent"):
            rank = self.spectrum("rows").ruled(settings)
            return self.option(method, (rank,), self.spectrum("rows").lost(rank))
        if method == "spatial":
            rank = self.spectrum("spatial").ruled(settings)
            return self.option(method, (rank,), self.spectrum("spatial").lost(rank))
        ranks = (self.spectrum("rows").ruled(settings), self.spectrum("columns").ruled(settings))
        return self.option("tucker", ranks, self._tucker_loss(ranks))

    def spatial_within(self, loss: float) -> Option:
        """The cheapest pair of one-dimensional convolutions that lose no more than this."""
        spectrum = self.spectrum("spatial")
        rank = round_rank(spectrum.rank(1 - loss), full=spectrum.full)
        return self.option("spatial", (rank,), spectrum.lost(rank))

    def options(self, method: Method) -> list[Option]:
        """What a budget may choose from."""
        found = []
        for energy in ENERGIES:
            if is_recurrent(self.layer) or is_matrix(self.layer):
                name = "recurrent" if is_recurrent(self.layer) else "svd"
                rank = round_rank(self.spectrum("rows").rank(energy), full=self.spectrum("rows").full)
                found.append(self.option(name, (rank,), self.spectrum("rows").lost(rank)))
                continue
            if method in ("auto", "spatial"):
                found.append(self.spatial_within(1 - energy))
            if method in ("auto", "tucker"):
                both = [self.spectrum("rows"), self.spectrum("columns")]
                ranks = tuple(round_rank(one.rank(energy), full=one.full) for one in both)
                found.append(self.option("tucker", ranks, self._tucker_loss(ranks)))
        return found

    def _tucker_loss(self, ranks: tuple[int, ...]) -> float:
        """The sum of what both truncations lose, which bounds what they lose together."""
        return min(1.0, self.spectrum("rows").lost(ranks[0]) + self.spectrum("columns").lost(ranks[1]))

    def _costs(self, method: str, ranks: tuple[int, ...]) -> tuple[int, int]:
        """(parameters, MACs) of the factors, biases left out."""
        seen, (out, inner) = self.seen, self.weight.shape[:2]
        if method in ("svd", "recurrent"):
            size = ranks[0] * (out + inner) + (self.params - self.weight.numel())
            return size, size * seen.outputs
        high, wide = self.weight.shape[2:]
        if method == "spatial":
            sizes = (ranks[0] * inner * high, ranks[0] * out * wide)
            return sum(sizes), sizes[0] * seen.between + sizes[1] * seen.outputs
        if method == "cp":
            parts = (inner * ranks[0], high * ranks[0], (wide + out) * ranks[0])
            return sum(parts), parts[0] * seen.inputs + parts[1] * seen.between + parts[2] * seen.outputs
        to, come = ranks
        steps = (inner * come, come * to * high * wide, to * out)
        return sum(steps), steps[0] * seen.inputs + (steps[1] + steps[2]) * seen.outputs


_AXES: dict[View, tuple[int, ...]] = {"rows": (0, 1, 2, 3), "columns": (1, 0, 2, 3), "spatial": (1, 2, 0, 3)}


def as_matrix(weight: torch.Tensor, which: View) -> torch.Tensor:
    """Weights [out, in] or [out, in, high, wide] as the matrix that factors come from."""
    if weight.dim() == 2:
        return weight
    turned = weight.permute(_AXES[which])
    return turned.flatten(2).flatten(0, 1) if which == "spatial" else turned.flatten(1)


def as_weight(matrix: torch.Tensor, which: View, shape: torch.Size) -> torch.Tensor:
    """The weights of a shape whose matrix this is."""
    if len(shape) == 2:
        return matrix
    axes = _AXES[which]
    return matrix.reshape([shape[axis] for axis in axes]).permute([axes.index(axis) for axis in range(4)])


def factored_views(module: nn.Module, example: torch.Tensor, settings: FactorSettings) -> dict[str, tuple[View, ...]]:
    """The layers that may be factorized, by path, and the matrices whose ranks their factors have."""
    free = {
        seen.paths[0]: layer
        for layer, seen in called_layers(module, example).items()
        if seen.outputs and not _refused(layer, seen, settings)
    }

    def views(layer: nn.Module) -> tuple[View, ...]:
        if is_recurrent(layer) or is_matrix(layer):
            return ("rows",)
        return ("spatial",) if settings.method == "spatial" else ("rows", "columns")

    return {path: views(layer) for path, layer in free.items()}


def is_matrix(layer: nn.Module) -> bool:
    """Whether a layer multiplies the channels of every position by one matrix: Linear, and 1×1 convolutions."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and prod(layer.kernel_size) == 1)


def is_recurrent(layer: nn.Module) -> bool:
    """Whether a layer is an RNN, LSTM or GRU."""
    return isinstance(layer, nn.RNNBase)


def weight_of(layer: nn.Module) -> torch.Tensor:
    """The weights that are factorized: of a recurrent layer those of its first layer's inputs, both directions."""
    return torch.cat([one.detach() for one in parameters_of(layer)])


def parameters_of(layer: nn.Module) -> list[torch.Tensor]:
    """The parameters whose rows, one below the other, are the weights that are factorized."""
    names = ["weight"]
    if isinstance(layer, nn.RNNBase):
        names = ["weight_ih_l0", *(["weight_ih_l0_reverse"] if layer.bidirectional else [])]
    return [getattr(layer, name) for name in names]


def _refused(layer: nn.Module, seen: Seen, settings: FactorSettings) -> str:
    path = seen.paths[0]
    if "" in seen.paths:
        return "it is the network itself; a Sequential around it can hold factors"
    if any(path == one or path.startswith(f"{one}.") for one in settings.ignore):
        return "it is on the list of layers to ignore"
    if not seen.outputs:
        return "it is not called"
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return "its channels are in groups"
    if is_recurrent(layer) and not seen.plain:
        return "it is called with a state or a packed sequence, for which a Linear layer cannot stand before it"
    if not _computes_as_torch(layer):
        return f"{type(layer).__name__} computes with its weights in a way of its own, or has hooks"
    if not seen.hidden:
        return "the network reads its weights, or something else of it, beside calling it"
    return ""


def _computes_as_torch(layer: nn.Module) -> bool:
    """Whether a layer, maybe of a class of its own, does with its weights what torch's layer of that name does."""
    kind = next(one for one in FACTORABLE if isinstance(layer, one))
    same = all(getattr(type(layer), name, None) is getattr(kind, name, None) for name in ("forward", "_conv_forward"))
    return same and not layer._forward_hooks and not layer._forward_pre_hooks


def _plan(
    layer: nn.Module, seen: Seen, settings: FactorSettings, chosen: Option | None, cp_error: CpError | None
) -> Plan:
    path = seen.paths[0]
    if why := _refused(layer, seen, settings):
        return Plan(path, False, why)
    if settings.budget is not None and chosen is None:
        return Plan(path, False, "the budget is met without it")
    factorable = _Factorable(layer, seen)
    option = chosen or _cheapest(factorable, settings, cp_error)
    params, macs = 1 - option.params / factorable.params, 1 - option.macs / factorable.macs
    text = f"rank {' and '.join(str(rank) for rank in option.ranks)}"
    if min(params, macs) < settings.min_gain or min(params, macs) <= 0:
        reason = f"{text} would leave {1 - params:.0%} of its parameters and {1 - macs:.0%} of its MACs"
        return Plan(path, False, f"{reason}; at most {1 - settings.min_gain:.0%} is asked")
    reason = f"{_NAMES[option.method]}, {text}, {params:.0%} fewer parameters"
    return Plan(path, True, reason, option.ranks, tuple(seen.paths), option.method, seen.example)


_NAMES = {
    "svd": "SVD",
    "recurrent": "SVD of the input weights (those of the state would need unrolling, which is slower)",
    "tucker": "Tucker-2",
    "spatial": "k×1 and 1×k",
    "cp": "CP",
}


def _cheapest(factorable: _Factorable, settings: FactorSettings, cp_error: CpError | None) -> Option:
    """The factors by the settings' rule; with `auto` the method of the fewest MACs that loses no more than Tucker-2."""
    layer = factorable.layer
    if is_recurrent(layer) or is_matrix(layer):
        return factorable.by_rule("recurrent" if is_recurrent(layer) else "svd", settings)
    assert isinstance(layer, nn.Conv2d)
    if settings.method == "spatial":
        return factorable.by_rule("spatial", settings)
    tucker = factorable.by_rule("tucker", settings)
    if settings.method == "cp":
        assert cp_error is not None
        return _cp_within(factorable, tucker.loss, cp_error, ratio=settings.ratio)
    if settings.method == "tucker":
        return tucker
    best = min(tucker, factorable.spatial_within(tucker.loss), key=lambda option: option.macs)
    if cp_error is None or factorable.weight.numel() > LARGEST_CP:
        return best
    rank = _cp_rank_of(factorable, 0.9 * best.macs)
    if rank < 1:
        return best
    option = factorable.option("cp", (rank,), cp_error(layer, rank))
    return option if option.loss <= tucker.loss and option.params < factorable.params else best


def _cp_rank_of(factorable: _Factorable, macs: float) -> int:
    """The largest rank, a multiple of 4, at which CP costs at most so many MACs."""
    return int(macs / factorable.option("cp", (1,), 0.0).macs) // 4 * 4


def _cp_within(factorable: _Factorable, loss: float, cp_error: CpError, *, ratio: float | None) -> Option:
    """CP at a share of the larger number of channels, or at the least of seven ranks that loses no more than `loss`."""
    layer = factorable.layer
    assert isinstance(layer, nn.Conv2d)
    full = max(factorable.weight.shape[:2])
    if ratio is not None:
        rank = round_rank(ratio * full, full=full)
        return factorable.option("cp", (rank,), cp_error(layer, rank))
    option = factorable.option("cp", (full,), 1.0)
    for share in (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0):
        rank = max(1, round(share * full))
        option = factorable.option("cp", (rank,), cp_error(layer, rank))
        if option.loss <= loss:
            break
    return option


def _budgeted(seen: dict[nn.Module, Seen], settings: FactorSettings) -> dict[nn.Module, Option]:
    """The option of every layer that a budget for the whole network factorizes."""
    assert settings.budget is not None
    called = {layer: _Factorable(layer, found) for layer, found in seen.items() if found.outputs}
    free = {layer: one for layer, one in called.items() if not _refused(layer, seen[layer], settings)}
    total = sum(getattr(one, settings.budget_of) for one in called.values())
    fixed = sum(getattr(one, settings.budget_of) for layer, one in called.items() if layer not in free)
    choices = {}
    for layer, one in free.items():
        least = (1 - settings.min_gain) * one.params, (1 - settings.min_gain) * one.macs
        smaller = [o for o in one.options(settings.method) if o.params <= least[0] and o.macs <= least[1]]
        dense = Option("", (), one.params, one.macs, 0.0)
        choices[layer] = [dense, *smaller]
    picked = within_budget(list(choices.values()), limit=settings.budget * total - fixed, of=settings.budget_of)
    return {layer: option for layer, option in zip(choices, picked, strict=True) if option.method}
