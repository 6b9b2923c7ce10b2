"""Layers that get the signs of their inputs: XNOR-Net (Rastegari et al., ECCV 2016), in torch's own functions."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression.chains import NORMS, Chains
from netwright.compression.hooks import hooked
from netwright.compression.proof import outputs

LAYER = "layer"
"""The name of the convolution or Linear layer inside the module that takes its place."""
_NORMS: Mapping[int, type[nn.Module]] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_MEANS: Mapping[int, type[nn.Module]] = {3: nn.AvgPool1d, 4: nn.AvgPool2d, 5: nn.AvgPool3d}


def obstacle(layer: nn.Module, axes: int, *, scaled: bool) -> str:
    """Why a layer whose input has so many axes keeps its inputs, or nothing."""
    if isinstance(layer, nn.Linear):
        return "" if axes == 2 else f"they have {axes} axes, and only rows of features are known"
    assert isinstance(layer, _ConvNd)
    if axes not in _MEANS or axes != layer.weight.ndim:
        return f"they have {axes} axes"
    if layer.groups > 1:
        return "its channels are in groups"
    padding: Any = layer.padding
    plain = layer.padding_mode == "zeros" and not isinstance(padding, str)
    if not plain or (
        scaled
        and (
            any(one != 1 for one in layer.dilation)
            or any(2 * border > size for border, size in zip(padding, layer.kernel_size, strict=True))
        )
    ):
        return "the mean of their sizes is not known for its border or dilation"
    return ""


def with_binary_inputs(layer: nn.Module, *, axes: int, normalised: bool, scaled: bool) -> fx.GraphModule:
    """The layer behind a batch normalisation without weights, unless `normalised`, and signs.

    With `scaled` its outputs are multiplied by K (section 3.2 of the paper): the mean size of the inputs over channels,
    and over the kernel. The sign of zero is 1. Gradients go straight through where inputs are from -1 to 1: what they
    go through is a difference that is exactly zero. The layer's bias is added last. Inputs are [N, features] or
    [N, channels, ...], as many axes as `axes` says.
    """
    own: Any = copy.deepcopy(layer)
    root = nn.Module()
    graph = fx.Graph()
    value = graph.placeholder("input")
    if not normalised:
        width = own.in_features if isinstance(layer, nn.Linear) else own.in_channels
        root.add_module("norm", _NORMS[axes](width, affine=False).train(layer.training))
        value = graph.call_module("norm", (value,))
    clipped = graph.call_function(torch.clamp, (value, -1.0, 1.0))
    through = graph.call_function(torch.sub, (clipped, graph.call_method("detach", (clipped,))))
    half = graph.call_function(torch.add, (graph.call_function(torch.sign, (value,)), 0.5))
    signs = graph.call_function(torch.add, (graph.call_function(torch.sign, (half,)), through))
    result = graph.call_module(LAYER, (signs,))
    if scaled:
        sizes = graph.call_function(torch.mean, (graph.call_function(torch.abs, (value,)), 1, True))
        if not isinstance(layer, nn.Linear):
            root.add_module("mean", _MEANS[axes](own.kernel_size, own.stride, own.padding))
            sizes = graph.call_module("mean", (sizes,))
        result = graph.call_function(torch.mul, (result, sizes))
    if own.bias is not None:
        bias = own.bias.detach().view(-1, *[1] * (axes - 2))
        root.register_parameter("bias", nn.Parameter(bias, requires_grad=own.bias.requires_grad))
        own.bias = None
        result = graph.call_function(torch.add, (result, graph.get_attr("bias")))
    root.add_module(LAYER, own)
    graph.output(result)
    return fx.GraphModule(root, graph, class_name="BinaryInputs").train(layer.training)


def input_axes(module: nn.Module, example: torch.Tensor, paths: Collection[str]) -> dict[str, int]:
    """How many axes the inputs of layers have, by path; `example` is a batch [N, *shape]."""
    names = {module.get_submodule(path): path for path in paths}
    found: dict[str, int] = {}

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        found[names[layer]] = inputs[0].ndim

    handles = [layer.register_forward_pre_hook(note) for layer in names]
    with hooked(handles):
        outputs(module, example)
    return found


def normalised_before(module: nn.Module, example: torch.Tensor) -> set[str]:
    """Paths of layers that get just what a batch normalisation gives."""
    return {second for first, second in Chains(module, example) if type(module.get_submodule(first)) in NORMS}


def settle(module: nn.Module, inputs: torch.Tensor, paths: Collection[str]) -> None:
    """Give the normalisations before signs, in layers at `paths`, the statistics of `inputs` [N, *shape], in place."""
    norms: list[Any] = [
        norm for path in paths if (norm := dict(module.get_submodule(path).named_children()).get("norm")) is not None
    ]
    module.eval()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    try:
        with torch.no_grad():
            module(inputs)
    finally:
        for norm in norms:
            norm.momentum = 0.1
            norm.eval()
