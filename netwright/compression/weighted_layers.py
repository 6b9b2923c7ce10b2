"""The Linear and convolution layers of a network, in the order in which it calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from netwright.compression.proof import outputs

if TYPE_CHECKING:
    from netwright.compression.form import Form


def in_order(module: nn.Module, example: torch.Tensor) -> list[str]:
    """Paths of Linear and convolution layers as they are called on an example; those never called are left out."""
    names = {layer: path for path, layer in module.named_modules() if is_weighted(layer)}
    seen: dict[str, None] = {}

    def note(layer: nn.Module, inputs: object) -> None:
        del inputs
        seen.setdefault(names[layer])

    handles = [layer.register_forward_pre_hook(note) for layer in names]
    try:
        outputs(module, example)
    finally:
        for handle in handles:
            handle.remove()
    return list(seen)


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
