"""Which layers are worth factorizing, how and at which ranks; numbers only, nothing is replaced here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import prod

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from netwright.compression.factors_budget import Option, within_budget
from netwright.compression.factors_calls import FACTORABLE, Seen, called_layers
from netwright.compression.factors_matrices import View, Weights, as_matrix, is_matrix, weights_of
from netwright.compression.factors_spectrum import FactorSettings, Method, Spectrum, round_rank

LARGEST_CP = 300_000
"""Weights of more values than this are not tried by CP in `auto`: its fit would take minutes."""

ENERGIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995)
"""What a budget chooses from, for every layer."""

_OTHERS = (nn.Embedding, nn.Bilinear, nn.RNNCellBase, nn.MultiheadAttention)
"""Layers with large weights, for which there are no factors."""

CpError = Callable[[nn.Module, int], float]
"""The relative squared error of a convolution's CP factors of a rank."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One layer: whether factors pay, by which method, at which ranks, and the reason. `aliases` are all its paths.

    `inside` are the weights of a recurrent layer that become products, and their ranks.
    """

    path: str
    applies: bool
    reason: str
    ranks: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()
    method: str = ""
    inside: tuple[tuple[str, int], ...] = ()
    input: torch.Tensor | None = None


def plan_factors(
    module: nn.Module,
    example: torch.Tensor,
    settings: FactorSettings,
    *,
    cp_error: CpError | None = None,
    held: Collection[str] = (),
) -> list[Plan]:
    """A plan for every Linear, convolution and recurrent layer, then those for other large ones, which are left alone.

    `example` is a batch [N, *shape]. Parameters that are `held` in a form stay what they are inside of their layers.
    """
    seen = called_layers(module, example)
    parts = {layer: _parts(layer, found, held) for layer, found in seen.items() if found.called}
    chosen = _budgeted(seen, parts, settings) if settings.budget is not None else None
    plans = [_plan(layer, found, settings, parts.get(layer, []), chosen, cp_error) for layer, found in seen.items()]
    others = {path: layer for path, layer in module.named_modules() if isinstance(layer, _OTHERS)}
    return plans + [
        Plan(
            path,
            False,
            f"{type(layer).__name__} is no Linear, convolution or recurrent layer, which alone have factors",
        )
        for path, layer in others.items()
        if layer not in seen
    ]


class _Factorable:
    """Weights of a layer as matrices, and what their factors would cost and lose."""

    def __init__(self, layer: nn.Module, seen: Seen, weights: Weights) -> None:
        self.layer, self.seen, self.weights = layer, seen, weights
        self.weight = weights.of(layer)
        self.params = self.weight.numel()
        self.macs = self.params * seen.uses()
        self._spectra: dict[str, Spectrum] = {}

    def spectrum(self, which: View) -> Spectrum:
        if which not in self._spectra:
            groups = getattr(self.layer, "groups", 1)
            self._spectra[which] = Spectrum(as_matrix(self.weight, which), groups)
        return self._spectra[which]

    def option(self, method: str, ranks: tuple[int, ...], loss: float) -> Option:
        params, macs = self._costs(method, ranks)
        return Option(method, ranks, params, macs, loss)

    def by_rule(self, method: str, settings: FactorSettings) -> Option:
        """Ranks by the settings' rule, and the share of the squared weights that they lose, at most."""
        if method == "svd":
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
        rank = spectrum.rounded(spectrum.rank(1 - loss))
        return self.option("spatial", (rank,), spectrum.lost(rank))

    def gain(self, option: Option) -> float:
        """The share of the parameters, and of the MACs where those change, that an option saves; the smaller one."""
        params, macs = 1 - option.params / self.params, 1 - option.macs / self.macs
        return params if self.weights.inside else min(params, macs)

    def options(self, method: Method) -> list[Option]:
        """What a budget may choose from."""
        found = []
        for energy in ENERGIES:
            if is_matrix(self.layer):
                rows = self.spectrum("rows")
                rank = rows.rounded(rows.rank(energy))
                found.append(self.option("svd", (rank,), rows.lost(rank)))
                continue
            if method in ("auto", "spatial"):
                found.append(self.spatial_within(1 - energy))
            if method in ("auto", "tucker"):
                both = [self.spectrum("rows"), self.spectrum("columns")]
                ranks = tuple(one.rounded(one.rank(energy)) for one in both)
                found.append(self.option("tucker", ranks, self._tucker_loss(ranks)))
        return found

    def _tucker_loss(self, ranks: tuple[int, ...]) -> float:
        """The sum of what both truncations lose, which bounds what they lose together."""
        return min(1.0, self.spectrum("rows").lost(ranks[0]) + self.spectrum("columns").lost(ranks[1]))

    def _costs(self, method: str, ranks: tuple[int, ...]) -> tuple[int, int]:
        """(parameters, MACs) of the factors, biases left out."""
        seen = self.seen
        if method == "svd":
            *many, out, inner = as_matrix(self.weight, "rows").shape
            sizes = [prod(many) * ranks[0] * size for size in (inner, out)]
            if self.weights.inside:
                return sum(sizes), self.macs
            return sum(sizes), sizes[0] * seen.uses() + sizes[1] * seen.positions[-1]
        groups, out, inner, *kernel = self.weight.shape
        if method == "spatial":
            rank = ranks[0] * groups
            sizes = [rank * inner * kernel[0], rank * out * prod(kernel[1:])]
            uses = [seen.uses(0, 1), seen.uses(1)]
        elif method == "cp":
            sizes = [ranks[0] * size for size in (inner, *kernel, out)]
            uses = [seen.positions[0], *(seen.uses(i, i + 1) for i in range(len(kernel))), seen.positions[-1]]
        else:
            to, come = ranks
            sizes = [groups * size for size in (inner * come, come * to * prod(kernel), to * out)]
            uses = [seen.positions[0], seen.uses(), seen.positions[-1]]
        return sum(sizes), sum(size * times for size, times in zip(sizes, uses, strict=True))


def factored_views(
    module: nn.Module, example: torch.Tensor, settings: FactorSettings, *, held: Collection[str] = ()
) -> list[tuple[str, Weights, View]]:
    """Paths of the layers that may be factorized, and the matrices whose ranks their factors have."""
    both: tuple[View, ...] = ("spatial",) if settings.method == "spatial" else ("rows", "columns")
    return [
        (seen.paths[0], part.weights, view)
        for layer, seen in called_layers(module, example).items()
        if seen.called and not _refused(layer, seen, settings)
        for part in _parts(layer, seen, held)
        for view in (("rows",) if is_matrix(layer) else both)
    ]


def _parts(layer: nn.Module, seen: Seen, held: Collection[str]) -> list[_Factorable]:
    """The weights of a layer that may be factorized, but for those inside of it that have a form."""
    found = weights_of(layer, before=seen.plain and seen.hidden)
    free = [one for one in found if not (one.inside and any(f"{seen.paths[0]}.{name}" in held for name in one.names))]
    return [_Factorable(layer, seen, one) for one in free]


def _refused(layer: nn.Module, seen: Seen, settings: FactorSettings) -> str:
    path = seen.paths[0]
    if "" in seen.paths:
        return "it is the network itself; a Sequential around it can hold factors"
    if any(path == one or path.startswith(f"{one}.") for one in settings.ignore):
        return "it is on the list of layers to ignore"
    if not seen.called:
        return "it is not called"
    if isinstance(layer, nn.RNNBase) and is_parametrized(layer):
        return "its weights are computed from others"
    if seen.tied:
        return f"it has its weights together with {seen.tied}"
    if not _computes_as_torch(layer):
        return f"{type(layer).__name__} computes with its weights in a way of its own, or has hooks"
    if not seen.plain and not isinstance(layer, nn.RNNBase):
        return "it is called with more than its input"
    if not seen.hidden and not isinstance(layer, nn.RNNBase):
        return "the network reads its weights, or something else of it, beside calling it"
    return ""


_METHODS = ("forward", "_conv_forward", "_output_padding")


def _computes_as_torch(layer: nn.Module) -> bool:
    """Whether a layer, maybe of a class of its own, does with its weights what torch's layer of that name does."""
    kind = next(one for one in FACTORABLE if isinstance(layer, one))
    same = all(getattr(type(layer), name, None) is getattr(kind, name, None) for name in _METHODS)
    return same and not layer._forward_hooks and not layer._forward_pre_hooks


def _plan(
    layer: nn.Module,
    seen: Seen,
    settings: FactorSettings,
    parts: list[_Factorable],
    chosen: dict[_Factorable, Option] | None,
    cp_error: CpError | None,
) -> Plan:
    path = seen.paths[0]
    if why := _refused(layer, seen, settings):
        return Plan(path, False, why)
    if not parts:
        return Plan(path, False, "its weights are held in a form by an earlier pass")
    options = {part: _cheapest(part, settings, cp_error) for part in parts} if chosen is None else chosen
    found = {part: options[part] for part in parts if part in options}
    if not found:
        return Plan(path, False, "the budget is met without it")
    good = {p: option for p, option in found.items() if p.gain(option) >= settings.min_gain and p.gain(option) > 0}
    if not good:
        part, option = max(found.items(), key=lambda item: item[0].gain(item[1]))
        return Plan(path, False, _too_little(part, option, settings.min_gain))
    saved = sum(part.params - option.params for part, option in good.items()) / sum(_all_params(layer))
    outer = next(((part, option) for part, option in good.items() if not part.weights.inside), None)
    inside = {part.weights.names: option.ranks[0] for part, option in good.items() if part.weights.inside}
    told = [_told(*outer)] if outer else []
    if inside:
        stored = ", ".join(f"{' and '.join(names)} of rank {rank}" for names, rank in inside.items())
        told.append(f"{stored} as two factors in the file")
    return Plan(
        path,
        True,
        f"{'; '.join(told)}, {saved:.0%} fewer parameters",
        ranks=outer[1].ranks if outer else (),
        aliases=tuple(seen.paths),
        method=outer[1].method if outer else "svd",
        inside=tuple((name, rank) for names, rank in inside.items() for name in names),
        input=seen.example,
    )


_NAMES = {"svd": "SVD", "spatial": "spatial", "tucker": "Tucker-2", "cp": "CP"}


def _told(part: _Factorable, option: Option) -> str:
    of = " of the input weights" if isinstance(part.layer, nn.RNNBase) else ""
    return f"{_NAMES[option.method]}{of}, {_ranks(option)}"


def _ranks(option: Option) -> str:
    return f"rank {' and '.join(str(rank) for rank in option.ranks)}"


def _too_little(part: _Factorable, option: Option, min_gain: float) -> str:
    params, macs = option.params / part.params, option.macs / part.macs
    what = f" of {part.weights.names[0]}" if isinstance(part.layer, nn.RNNBase) else ""
    left = f"{params:.0%} of its parameters" + ("" if part.weights.inside else f" and {macs:.0%} of its MACs")
    return f"{_ranks(option)}{what} would leave {left}; at most {1 - min_gain:.0%} is asked"


def _all_params(layer: nn.Module) -> list[int]:
    """The sizes of all weights of a layer, biases left out."""
    return [weights.of(layer).numel() for weights in weights_of(layer)]


def _cheapest(factorable: _Factorable, settings: FactorSettings, cp_error: CpError | None) -> Option:
    """The factors by the settings' rule; with `auto` the method of the fewest MACs that loses no more than Tucker-2."""
    layer = factorable.layer
    if is_matrix(layer):
        return factorable.by_rule("svd", settings)
    if settings.method == "spatial":
        return factorable.by_rule("spatial", settings)
    tucker = factorable.by_rule("tucker", settings)
    grouped = factorable.spectrum("rows").groups > 1  # a fit for every group would take long, and gain little
    if settings.method == "cp" and not grouped:
        assert cp_error is not None
        return _cp_within(factorable, tucker.loss, cp_error, ratio=settings.ratio)
    if settings.method != "auto":
        return tucker
    best = min(tucker, factorable.spatial_within(tucker.loss), key=lambda option: option.macs)
    if cp_error is None or grouped or factorable.weight.numel() > LARGEST_CP:
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
    full = max(factorable.weight.shape[1:3])
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


def _budgeted(
    seen: dict[nn.Module, Seen], parts: dict[nn.Module, list[_Factorable]], settings: FactorSettings
) -> dict[_Factorable, Option]:
    """The options of all weights that a budget for the whole network factorizes."""
    assert settings.budget is not None
    of = settings.budget_of
    total = sum(sum(_all_params(layer)) * (seen[layer].uses() if of == "macs" else 1) for layer in parts)
    free = [part for layer, some in parts.items() for part in some if not _refused(layer, part.seen, settings)]
    fixed = total - sum(getattr(part, of) for part in free)
    choices = []
    for part in free:
        dense = Option("", (), part.params, part.macs, 0.0)
        choices.append([dense, *(o for o in part.options(settings.method) if part.gain(o) >= settings.min_gain)])
    picked = within_budget(choices, limit=settings.budget * total - fixed, of=of)
    return {part: option for part, option in zip(free, picked, strict=True) if option.method}
