"""Which weights of a network may become zero, how many stay, and which: masks by parameter name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.core.errors import ConfigurationError, Mistake, suggestion

if TYPE_CHECKING:
    from netwright.compression.form import Form

Scope = Literal["global", "layer", "lamp"]
Scores = Mapping[str, torch.Tensor]
"""How important each entry of each weight is, by parameter name."""
Masks = dict[str, torch.Tensor]
"""What stays, by parameter name: boolean tensors of the weights' shapes."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights a pass may work on, parameter name -> path of its layer, and why it leaves others alone."""

    layers: Mapping[str, str]
    refused: Mapping[str, str]

    def entries(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """The values by parameter name."""
        return {name: module.get_parameter(name).detach() for name in self.layers}


@dataclass(frozen=True, slots=True)
class Densities:
    """The shares of weights that stay: `own` ones by parameter name, `rest` of all others.

    `scope` says how the rest is chosen: the same share of every layer, all entries ranked together, or together
    by their LAMP scores. No layer keeps less than `least` of its weights, nor less than one.
    """

    rest: float
    own: Mapping[str, float] = field(default_factory=dict)
    scope: Scope = "global"
    least: float = 0.0

    def on_the_way(self, progress: float, start: Densities) -> Densities:
        """The shares at `progress` from 0 to 1 of a cubic descent from `start` (Zhu & Gupta, 2017, equation 1)."""
        left = (1 - progress) ** 3
        own = {name: end + (start.own.get(name, start.rest) - end) * left for name, end in self.own.items()}
        return Densities(self.rest + (start.rest - self.rest) * left, own, self.scope, self.least)


def find_weights(
    module: nn.Module, *, ignore: Collection[str] = (), forms: Mapping[str, Form] | None = None
) -> Weights:
    """Matrices and kernels of linear, convolution and recurrent layers; biases and norms are no part of them.

    `ignore` names layers or parameters. A weight that an earlier pass gave a form other than zeros is left alone.
    Raises ConfigurationError when `ignore` names something that is not there.
    """
    from netwright.compression.forms.sparse import Sparse

    names_to_paths(module, ignore, field="ignore")
    layers: dict[str, str] = {}
    refused: dict[str, str] = {}
    seen: set[int] = set()
    for path, layer in module.named_modules():
        for own, parameter in layer.named_parameters(recurse=False):
            name = f"{path}.{own}" if path else own
            if parameter.ndim < 2 or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            form = (forms or {}).get(name)
            if path in ignore or name in ignore:
                refused[name] = "it is on the list to ignore"
            elif not isinstance(layer, (nn.Linear, _ConvNd, nn.RNNBase)):
                refused[name] = f"{type(layer).__name__} is no linear, convolution or recurrent layer"
            elif form is not None and not isinstance(form, Sparse):
                refused[name] = f"its values are held in the form {type(form).__name__.lower()} by an earlier pass"
            else:
                layers[name] = path
    return Weights(layers, refused)


def names_to_paths(module: nn.Module, wanted: Collection[str], *, field: str) -> dict[str, list[str]]:
    """Parameter names that each wanted name, of a layer or of a parameter, stands for.

    Raises ConfigurationError when it stands for none, with the nearest name that would.
    """
    parameters = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    paths = {name.rpartition(".")[0] for name in parameters}
    found: dict[str, list[str]] = {}
    mistakes = []
    for one in wanted:
        found[one] = [n for n in parameters if n == one or n.rpartition(".")[0] == one]
        if not found[one]:
            near = suggestion(one, sorted({*paths, *parameters}))
            mistakes.append(Mistake(f"{field}.{one}", f"the network has no layer or parameter of this name{near}"))
    if mistakes:
        raise ConfigurationError(mistakes)
    return found


def choose(scores: Scores, densities: Densities) -> Masks:
    """Which entries stay: the ones of highest score, exactly as many as the densities say.

    LAMP (Lee et al., ICLR 2021): an entry's squared score as a share of all squares not above it in its layer.
    """
    masks: Masks = {}
    pool: dict[str, torch.Tensor] = {}
    for name, score in scores.items():
        if name in densities.own:
            masks[name] = _top(score, _count(score.numel(), densities.own[name], densities.least))
        elif densities.scope == "layer":
            masks[name] = _top(score, _count(score.numel(), densities.rest, densities.least))
        else:
            pool[name] = _lamp(score) if densities.scope == "lamp" else score
    return {**masks, **_choose_together(pool, densities)} if pool else masks


def density_of(tensors: Mapping[str, torch.Tensor], names: Collection[str]) -> float:
    """The share of entries that are not zero, over all tensors of these names."""
    total = sum(tensors[name].numel() for name in names)
    return sum(int(tensors[name].count_nonzero()) for name in names) / total if total else 1.0


def present(tensors: Mapping[str, torch.Tensor], wanted: Densities) -> Densities:
    """The densities that the weights have now, in the parts of the wanted ones."""
    rest = [name for name in tensors if name not in wanted.own]
    own = {name: density_of(tensors, [name]) for name in wanted.own}
    return Densities(density_of(tensors, rest), own, wanted.scope, wanted.least)


def masked(module: nn.Module, masks: Masks) -> None:
    """Zero what does not stay, in place."""
    with torch.no_grad():
        for name, mask in masks.items():
            module.get_parameter(name).mul_(mask)


def _choose_together(scores: Mapping[str, torch.Tensor], densities: Densities) -> Masks:
    flat = []
    floor = 0
    for score in scores.values():
        values = score.flatten().clone()
        safe = _count(values.numel(), 0.0, densities.least)
        values[torch.topk(values, safe).indices] = float("inf")
        floor += safe
        flat.append(values)
    together = torch.cat(flat)
    kept = _top(together, max(floor, round(densities.rest * together.numel())))
    parts = torch.split(kept, [len(values) for values in flat])
    return {name: part.reshape(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def _count(size: int, density: float, least: float) -> int:
    return min(size, max(1, round(size * max(density, least))))


def _top(score: torch.Tensor, count: int) -> torch.Tensor:
    mask = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    mask[torch.topk(score.flatten(), count, sorted=False).indices] = True
    return mask.reshape(score.shape)


def _lamp(score: torch.Tensor) -> torch.Tensor:
    squares = score.flatten().double().square()
    order = squares.argsort()
    result = torch.empty_like(squares)
    result[order] = squares[order] / squares[order].cumsum(0).clamp_min(1e-300)
    return result.reshape(score.shape).to(score.dtype)
