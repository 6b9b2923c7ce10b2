"""Which layer gets just what another gives."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator

import torch
from torch import fx, nn

from netwright.compression.hooks import hooked
from netwright.compression.proof import outputs

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
WEIGHING = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class _Tracer(fx.Tracer):
    """Takes layers of classes made from torch's as they are, whatever they are made of."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return isinstance(module, (*NORMS, *WEIGHING)) or super().is_leaf_module(module, path)


def graph_of(module: nn.Module) -> fx.Graph | None:
    """How the layers are wired, or None when the network cannot be traced."""
    if isinstance(module, fx.GraphModule):
        return module.graph
    try:
        with torch.random.fork_rng(devices=[]):
            return _Tracer().trace(module)
    except Exception:
        # a network may raise whatever it likes when it is traced
        return None


class Chains:
    """Pairs of layers of which the second gets nothing but what the first gives.

    In a network that can be traced nothing else does; in others only the proof of a fold tells.
    """

    def __init__(self, module: nn.Module, example: torch.Tensor) -> None:
        modules = dict(module.named_modules(remove_duplicate=False))
        graph = graph_of(copy.deepcopy(module).eval())
        found = _traced_pairs(graph) if graph is not None else _called_pairs(module, example)
        uses = Counter(id(layer) for layer in modules.values())
        self.pairs = [
            (a, b)
            for a, b in found
            if a in modules and b in modules and uses[id(modules[a])] == uses[id(modules[b])] == 1
        ]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)


def _traced_pairs(graph: fx.Graph) -> list[tuple[str, str]]:
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    pairs = []
    for node in graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        if len(node.args) == 1 and not node.kwargs and calls[node.target] == calls[source.target] == 1:
            pairs.append((str(source.target), str(node.target)))
    return pairs


def _called_pairs(module: nn.Module, example: torch.Tensor) -> list[tuple[str, str]]:
    """Layers called once, the second on the very tensor that the first gave."""
    kinds = (*NORMS, *WEIGHING)
    names: dict[nn.Module, str] = {layer: path for path, layer in module.named_modules() if isinstance(layer, kinds)}
    givers: dict[int, str] = {}
    alive: list[object] = []
    calls: list[tuple[str, str]] = []

    def note(layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        calls.append((givers.get(id(inputs[0]), "") if len(inputs) == 1 else "", names[layer]))
        givers[id(output)] = names[layer]
        alive.append(output)  # a tensor that is gone leaves its id to another

    handles = [layer.register_forward_hook(note) for layer in names]
    with hooked(handles):
        outputs(module, example)
    times = Counter(second for _, second in calls)
    return [(first, second) for first, second in calls if times[first] == times[second] == 1]
