"""Weights replaced by a few shared values each, and the bits that each weight can do with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from netwright.compression.clustering import Start, cluster

if TYPE_CHECKING:
    from netwright.compression.form import Form


def shared(tensor: torch.Tensor, *, bits: int, start: Start, seed: int) -> torch.Tensor:
    """The tensor with at most 2^bits different values besides zero; its zeros are no cluster and stay zero."""
    flat = tensor.detach().cpu().numpy().ravel()
    places = np.flatnonzero(flat)
    result = flat.copy()
    if len(places):
        codebook = cluster(flat[places], count=2**bits, start=start, seed=seed)
        result[places] = codebook.values[codebook.places]
    return torch.from_numpy(result.reshape(tuple(tensor.shape))).to(tensor)


def find_shareable(
    module: nn.Module, *, biases: bool, ignored: Iterable[str], forms: Mapping[str, Form]
) -> tuple[list[str], dict[str, str]]:
    """Names of the parameters whose values can be shared, and why others are left alone.

    Weights of every kind of layer with more than one dimension; with `biases` the vectors too.
    """
    from netwright.compression.forms.shared import Shared
    from netwright.compression.forms.sparse import Sparse

    without = set(ignored)
    found: list[str] = []
    refused: dict[str, str] = {}
    for name, parameter in module.named_parameters():
        form = forms.get(name)
        if parameter.ndim < 2 and not biases:
            continue
        if name in without:
            refused[name] = "it is on the list to ignore"
        elif not parameter.is_floating_point() or not bool(parameter.detach().count_nonzero()):
            refused[name] = "all its values are zero"
        elif form is not None and not isinstance(form, (Sparse, Shared)):
            refused[name] = f"its values are held in the form {type(form).__name__.lower()} by an earlier pass"
        else:
            found.append(name)
    return found, refused


def fewest_bits(
    module: nn.Module,
    names: Iterable[str],
    *,
    most: Mapping[str, int],
    change: Callable[[torch.Tensor, int], torch.Tensor],
    loss: Callable[[nn.Module], float],
    allowed: float,
) -> dict[str, int]:
    """For each parameter the fewest bits, at most its `most`, at which it alone costs no more than `allowed`.

    `change(tensor, bits)` gives the shared values, `loss(module)` what is to be kept low. A parameter that costs too
    much at its most bits keeps those. The module's values are put back.
    """
    before = loss(module)
    found: dict[str, int] = {}
    for name in names:
        parameter = module.get_parameter(name)
        kept = parameter.detach().clone()
        found[name] = most[name]
        for bits in range(most[name], 0, -1):
            parameter.data.copy_(change(kept, bits))
            if loss(module) - before > allowed:
                break
            found[name] = bits
        parameter.data.copy_(kept)
    return found
