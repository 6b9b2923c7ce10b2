"""Weights that are computed on the way (norms, masks), as plain ones of the same values."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn


def plain_weights(module: nn.Module) -> nn.Module:
    """The module itself with every weight a parameter of its own: what is computed on the way to it is done once."""
    from torch import nn
    from torch.nn.utils import parametrize
    from torch.nn.utils.prune import BasePruningMethod
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer):
            # a copy has the class of what it was copied from, which loses its weight with the parametrization
            made = type(layer)
            own = {name: value for name, value in vars(made).items() if name not in ("__dict__", "__weakref__")}
            layer.__class__ = type(made.__name__, made.__bases__, own)
            for name in list(cast(nn.ModuleDict, layer.parametrizations)):
                parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
        for key, hook in list(layer._forward_pre_hooks.items()):
            if isinstance(hook, (WeightNorm, SpectralNorm, BasePruningMethod)):
                hook.remove(layer)
                del layer._forward_pre_hooks[key]
        for key, loading in list(layer._load_state_dict_pre_hooks.items()):
            if loading.__module__.startswith("torch.nn.utils."):  # reads names that are gone, and cannot be pickled
                del layer._load_state_dict_pre_hooks[key]
    return module
