"""Which layers produce a network's outputs: their channels are the answers, and are never pruned."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd


def output_layers(module: nn.Module, example: torch.Tensor) -> set[str]:
    """The paths of the last weighing layers on every way to the output, read from the autograd graph.

    Activation functions, normalisation, reshaping, sums and concatenations are passed through, so a Linear
    followed by a softmax is found, and so are both of two added heads. `example` is a batch [N, *shape]; it is made
    to need gradients, so that a weight that was scaled first can be told from what a layer gives.
    """
    twin = copy.deepcopy(module).eval().requires_grad_(True)
    owners = {}
    for path, layer in twin.named_modules():
        if isinstance(layer, (nn.Linear, _ConvNd, nn.RNNBase)):
            weights = layer.named_parameters(recurse=False)
            owners.update({id(weight): path for name, weight in weights if name.startswith("weight")})
    with torch.enable_grad():
        result = twin(example.detach().clone().requires_grad_(example.is_floating_point()))
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
    """The parameters that an operation reads directly, or transposed, scaled or reshaped, but joined with nothing."""
    found = []
    for step, _ in node.next_functions:
        while step is not None and not hasattr(step, "variable"):
            below = [one for one, _ in step.next_functions if one is not None]
            step = below[0] if len(below) == 1 else None
        if step is not None:
            found.append(id(step.variable))
    return found
