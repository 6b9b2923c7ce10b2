"""Copying the weights of one network into another of the same architecture, whatever their layers are called.

Both networks are run once, and the layers that hold weights are paired in the order in which they run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import nn


def tensors_in_order(model: nn.Module, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Names and tensors (weights, running means and variances) in the order in which their layers first run.

    Tensors of modules that are never called themselves, such as a positional embedding, are left out.
    """
    names = {module: name for name, module in model.named_modules() if any(True for _ in _own(module))}
    order: dict[nn.Module, None] = {}

    def note(module: nn.Module, *_: object) -> None:
        order.setdefault(module)

    hooks = [module.register_forward_pre_hook(note) for module in names if not any(module.children())]
    was_training = model.training
    try:
        with torch.inference_mode():
            model.eval()(*inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return {f"{names[module]}.{name}": tensor for module in order for name, tensor in _own(module)}


def copy_weights(
    source: nn.Module, target: nn.Module, *inputs: torch.Tensor, others: Mapping[str, str] | None = None
) -> None:
    """Copy every tensor of `source` into `target`; `others` pairs names that no call shows: target -> source.

    Raises ValueError when the two do not pair one to one with equal shapes, or a tensor of either is left out.
    """
    given, wanted = tensors_in_order(source, *inputs), tensors_in_order(target, *inputs)
    all_given, all_wanted = source.state_dict(keep_vars=True), target.state_dict(keep_vars=True)
    for target_name, source_name in (others or {}).items():
        given[source_name], wanted[target_name] = all_given[source_name], all_wanted[target_name]
    for pairs, everything, whose in ((given, all_given, "source"), (wanted, all_wanted, "target")):
        left = [name for name in everything if name not in pairs and not name.endswith("num_batches_tracked")]
        if left:
            raise ValueError(f"no call of a layer shows these tensors of the {whose}: {left}")
    copy_tensors(list(given.values()), wanted)


def copy_tensors(source: Sequence[torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors one by one; raises ValueError at the first pair whose shapes differ, or when one side is longer."""
    if len(source) != len(target):
        raise ValueError(f"{len(source)} tensors are given, {len(target)} wanted")
    with torch.no_grad():
        for given, (name, wanted) in zip(source, target.items(), strict=True):
            if given.shape != wanted.shape:
                raise ValueError(f"{name} has the shape {tuple(wanted.shape)}, came {tuple(given.shape)}")
            wanted.copy_(given)


def randomize(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Give running means, variances and scales values that a fresh network lacks, so that a mix-up would show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for tensor in (module.running_var, module.weight):
                    if tensor is not None:
                        tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
                for tensor in (module.running_mean, module.bias):
                    if tensor is not None:
                        tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


def _own(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Weights and buffers that a module itself holds, in their order; the count of batches is none of them."""
    found = chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    return [(name, tensor) for name, tensor in found if name != "num_batches_tracked"]
