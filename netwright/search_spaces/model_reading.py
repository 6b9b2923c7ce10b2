"""A user's torch network read as a layer graph with its weights, and proven to compute the same.

The network is traced with torch.fx: modules of `torch.nn` become operations under their own names, functions
in `forward` become operations under the name of the module that calls them.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netwright.core.errors import CheckpointError, SpaceError
from netwright.core.shapes import Shape
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.graph import LayerGraph
from netwright.search_spaces.model_inputs import check_inputs, joined_inputs
from netwright.search_spaces.model_nodes import close
from netwright.search_spaces.model_steps import Reading
from netwright.search_spaces.model_tracing import BATCH, Traced

SIZES = (224, 32, 28, 64, 96, 128, 256, 299)
STEPS = 20
SIGNAL = 128


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A network as a layer graph, and its weights by their names in the compiled graph."""

    graph: LayerGraph
    state: Mapping[str, torch.Tensor]


def read_model(model: nn.Module, example: torch.Tensor | Sequence[torch.Tensor]) -> ReadModel:
    """The network as a layer graph; `example` is a batch of inputs, or one of each input; the first few are used.

    Raises SpaceError that names the layer which cannot be read, or does not compute the same.
    """
    if not isinstance(model, nn.Module):
        raise SpaceError(f"the model must be a torch module, came {model!r:.80}")
    traced = Traced(model, check_inputs(example))
    for node in reversed(traced.graph.nodes):
        # `x, (h, c) = lstm(x)` takes apart what nobody reads
        if node.target is operator.getitem and not node.users:
            traced.graph.erase_node(node)
    reading = Reading(traced)
    read = ReadModel(reading.graph(), reading.state)
    _prove(read, reading, traced)
    return read


def made_by(function: Any, path: str, weights: Mapping[str, torch.Tensor] | None) -> nn.Module:
    """The network that a user's function makes, always with the same random weights, and with these if given."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = function() if callable(function) else function
    if not isinstance(model, nn.Module):
        raise SpaceError(f"model: {path!r} must make a torch.nn.Module, came a {type(model).__name__}")
    if weights is None:
        return model
    named = model.state_dict()
    named.clear()  # the versions stay, for which some networks ask
    named.update(weights)
    try:
        missing, surplus = model.load_state_dict(named, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"the weights do not fit the network that {path!r} makes: {error}") from None
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or surplus:
        what = f"lack {missing[0]!r}" if missing else f"have {surplus[0]!r}, which it lacks"
        raise CheckpointError(f"the weights do not fit the network that {path!r} makes: they {what}")
    return model


def usual_example(model: nn.Module, path: str, shape: Shape | None) -> torch.Tensor:
    """Inputs of the given shape, or of the first usual one that the network takes."""
    generator = torch.Generator().manual_seed(0)
    if shape is not None:
        return torch.randn(BATCH, *shape, generator=generator)
    tried = _usual_shapes(model)
    module = copy.deepcopy(model).cpu().eval()
    for candidate in tried:
        inputs = torch.randn(BATCH, *candidate, generator=generator)
        try:
            with torch.inference_mode():
                module(inputs)
        except Exception:  # noqa: S112 -- it says only that this is not the shape
            continue
        return inputs
    listed = ", ".join("×".join(map(str, candidate)) for candidate in tried) or "none"
    raise SpaceError(f"give the space's input, such as [3, 48, 48]: {path!r} takes none of the usual shapes ({listed})")


def _usual_shapes(model: nn.Module) -> list[Shape]:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return [(module.in_channels, size, size) for size in SIZES]
        if isinstance(module, nn.Conv1d):
            return [(module.in_channels, SIGNAL), (SIGNAL, module.in_channels)]
        if isinstance(module, nn.Linear):
            return [(module.in_features,), (STEPS, module.in_features)]
        if isinstance(module, nn.RNNBase):
            return [(STEPS, module.input_size)]
    return []


def _prove(read: ReadModel, reading: Reading, traced: Traced) -> None:
    """Raise SpaceError at the first step whose result differs from the user's network's, for either batch."""
    outputs = [x if x.dim() > 1 else x.unsqueeze(-1) for x in map(joined_inputs, traced.outputs)]
    if _same(read.graph, read.state, traced, outputs):
        return
    for node, tensor in reading.steps:
        wanted = [traced.results[node], traced.results[traced.others[node]]]
        if not _same(reading.until(tensor), read.state, traced, wanted):
            raise SpaceError(
                f"{reading.where(node)} gives other values here than in the network: is a tensor written in place "
                "that is read again, or does a step depend on the number of samples?"
            )
    raise SpaceError(
        "the network as it was read gives other values than the network itself: do torch's transformers "
        "mask in another way at inference (torch.backends.mha.set_fastpath_enabled(False) ends that), or does forward "
        "look how it is called?"
    )


def _same(graph: LayerGraph, state: Mapping[str, torch.Tensor], traced: Traced, wanted: Sequence[torch.Tensor]) -> bool:
    """Whether a graph gives these values for both batches."""
    try:
        return all(close(_run(graph, state, x), given) for x, given in zip(traced.batches, wanted, strict=True))
    except (RuntimeError, IndexError, TypeError, ValueError):
        return False


def _run(graph: LayerGraph, state: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    with torch.device("meta"):
        model = compile_graph(graph).eval()
    model.load_state_dict({name: state[name] for name in model.state_dict()}, assign=True)
    with torch.inference_mode():
        outputs: torch.Tensor = model(inputs.clone())
    return outputs
