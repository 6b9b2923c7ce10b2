"""Which layers produce a network's outputs: their channels are the answers, and are never pruned."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd


def output_layers(module: nn.Module, example: torch.Tensor) -> set[str]:
    """The paths of the last weighing layers on every way to the output, read from the autograd graph.

    Activation functions, normalisation, reshaping, sums and concatenations are passed through, so a Linear
    followed by a softmax is found, and so are both of two added heads. `example` is a batch [N, *shape].
    """
    twin = copy.deepcopy(module).eval()
    owners = {}
    for path, layer in twin.named_modules():
        if isinstance(layer, (nn.Linear, _ConvNd, nn.RNNBase)):
            for name, parameter in layer.named_parameters(recurse=False):
                if name.startswith("weight"):
                    parameter.requires_grad_(True)
                    owners[id(parameter)] = path
    with torch.enable_grad():
        result = twin(example)
    found: set[str] = set()
    waiting, visited = [result.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        here = {owners[key] for key in _leaf_weights(node) if key in owners}
        found |= here
        if not here:
            waiting += [step for step, _ in node.next_functions]
    return found


def _leaf_weights(node: torch.autograd.graph.Node) -> list[int]:
    """The parameters that an operation reads directly, or through one transposition."""
    found = []
    for step, _ in node.next_functions:
        if step is None:
            continue
        if hasattr(step, "variable"):
            found.append(id(step.variable))
        elif step.name() in ("TBackward0", "TransposeBackward0", "PermuteBackward0"):
            found += [
                id(leaf.variable) for leaf, _ in step.next_functions if leaf is not None and hasattr(leaf, "variable")
            ]
    return found
