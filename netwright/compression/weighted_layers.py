"""The Linear and convolution layers of a network, in the order in which it calls them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from netwright.compression.compression_pass import Verdict
from netwright.compression.hooks import hooked
from netwright.compression.proof import outputs

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.form import Form
    from netwright.compression.model import Model


def in_order(module: nn.Module, example: torch.Tensor) -> list[str]:
    """Paths of Linear and convolution layers as they are called on an example; those never called are left out."""
    names = {layer: path for path, layer in module.named_modules() if is_weighted(layer)}
    seen: dict[str, None] = {}

    def note(layer: nn.Module, inputs: object) -> None:
        del inputs
        seen.setdefault(names[layer])

    handles = [layer.register_forward_pre_hook(note) for layer in names]
    with hooked(handles):
        outputs(module, example)
    return list(seen)


def verdicts_in_order(
    model: Model, context: Context, judge: Callable[[str, list[str]], Verdict], *, exclude: Collection[str]
) -> list[Verdict]:
    """A verdict per Linear or convolution layer by `judge(path, all of them)`, then those on layers of other kinds."""
    if model.file is not None:
        return [Verdict("", False, "the model's file is already there; it works on the module")]
    layers = in_order(model.module, context.example_tensor())
    verdicts = [Verdict(path, False, "excluded") if path in exclude else judge(path, layers) for path in layers]
    for path, layer in model.module.named_modules():
        own = [name for name, _ in layer.named_parameters(recurse=False)]
        if path in layers or not own:
            continue
        why = (
            "it is not called"
            if is_weighted(layer)
            else f"only Linear and convolution layers, not {type(layer).__name__}"
        )
        verdicts += [Verdict(name, False, why) for name in ([path] if path else own)]
    return verdicts or [Verdict("", False, "no layer has weights")]


def is_weighted(layer: nn.Module) -> bool:
    """Whether a layer's weight has one row per output channel."""
    return isinstance(layer, (nn.Linear, _ConvNd)) and not isinstance(layer, _ConvTransposeNd)


def put_in_form(module: nn.Module, forms: Mapping[str, Form]) -> nn.Module:
    """The module itself with the named parameters brought into their forms; the module must be the caller's own."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, form in forms.items():
            weight = parameters[name]
            weight.copy_(form.keeper(weight.detach().clone()).value(weight.detach().clone()))
    return module
