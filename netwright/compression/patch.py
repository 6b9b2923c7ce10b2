"""The architecture of a compressed network as a JSON difference from the network it was made from.

A patch names the layers whose constructor arguments changed, the layers replaced by a sequence of others, and those of
a class of their own, made from one of torch's, whose tensors got smaller, and the modules that state a size themselves.
With the base network, which needs no stored form of its own, and a safetensors file it gives the compressed
network back exactly. Only torch.nn layers on a fixed list are ever built, with checked arguments; nothing is
unpickled.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from netwright.compression.patch_graph import GRAPH, build_graph, graph_spec
from netwright.core.errors import CheckpointError, CompressionError
from netwright.core.files import canonical_json, content_hash, write_atomic
from netwright.tasks.checkpoint import put_into

FORMAT = "netwright.patch/1"
LARGEST = 1 << 24

_NAMES = """
Linear Bilinear Embedding Identity Flatten Unflatten Dropout Dropout1d Dropout2d Dropout3d AlphaDropout
Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
BatchNorm1d BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d InstanceNorm3d GroupNorm LayerNorm RMSNorm
RNN LSTM GRU
ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Hardswish Hardsigmoid Hardtanh Sigmoid Tanh Softplus
Softmax LogSoftmax
MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
PixelShuffle PixelUnshuffle Upsample ChannelShuffle ZeroPad2d
""".split()  # noqa: SIM905 -- one can read it
LAYERS: Mapping[str, type[nn.Module]] = {name: getattr(nn, name) for name in _NAMES}
"""The layers a patch may build."""
_CUT = (nn.Linear, _ConvNd, _NormBase, nn.LayerNorm, nn.GroupNorm, nn.RNNBase, nn.Embedding, nn.PReLU)
"""Of layers of a class of their own, those made from one of these may get smaller."""
_SIZES = """
in_features out_features in_channels out_channels groups num_features num_channels normalized_shape embedding_dim
num_parameters input_size hidden_size
""".split()  # noqa: SIM905 -- one can read it
"""The attributes in which such layers state their sizes."""

_SKIPPED = frozenset({"device", "dtype", "self", "args", "kwargs"})
_HAS_BIAS = frozenset({"bias"})

Spec = dict[str, Any]
"""`{"type": name, "args": {...}}`, `{"type": "Sequential", "layers": [spec, ...]}`, a graph of layers and functions
(`graph_spec`), or, for a layer of the base that only gets smaller, `{"type": "smaller", "tensors": {name: shape},
"args": {size: value}}`; so are modules said in which only numbers such as `self.hidden_size` got smaller, with no
tensors."""


def describe(module: nn.Module) -> dict[str, Spec]:
    """Every layer on the list, by path: its type and constructor arguments.

    Layers of other types are listed with the shapes of their own tensors instead.
    """
    found: dict[str, Spec] = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        if _is_known(layer):
            found[path] = _spec(layer, path)
        elif own := _own_shapes(layer):
            found[path] = {"type": f"{type(layer).__module__}.{type(layer).__qualname__}", "tensors": own}
    return found


def difference(base: nn.Module, module: nn.Module) -> dict[str, Any]:
    """The patch that turns the architecture of `base` into that of `module`.

    Raises CompressionError when a change cannot be said as layers on the list.
    """
    changes: dict[str, Spec] = {}
    _compare(base, module, "", changes)
    return {"format": FORMAT, "base": content_hash(describe(base)), "changes": changes}


def apply_patch(base: nn.Module, patch: object) -> nn.Module:
    """A copy of `base` with the patch's layers in place of its own; their weights are not yet set.

    Raises CheckpointError for a patch that is damaged, foreign, made for another network, or not smaller.
    """
    changes = _checked(base, patch)
    module = copy.deepcopy(base)
    replaced: dict[nn.Module, list[str]] = {}
    for path in changes:
        try:
            replaced.setdefault(module.get_submodule(path), []).append(path)
        except AttributeError:
            raise CheckpointError(f"the patch changes {path!r}, which the network does not have") from None
    for layer, (path, *_) in list(replaced.items()):
        if isinstance(changes[path], dict) and changes[path].get("type") == "smaller":
            change = _make_smaller if isinstance(layer, _CUT) else _lower_numbers
            change(layer, changes[path], path)
            del replaced[layer]
    with torch.device("meta"):
        rough = {paths[0]: _build(changes[paths[0]], paths[0]) for paths in replaced.values()}
    old = sum(p.numel() for layer in replaced for p in layer.parameters())
    if sum(p.numel() for layer in rough.values() for p in layer.parameters()) > max(old, 1):
        raise CheckpointError("the patch makes layers larger than those it replaces, so it is not a compression")
    with torch.random.fork_rng(devices=[]):
        for layer, paths in replaced.items():
            new = _build(changes[paths[0]], paths[0]).train(layer.training)
            for path in paths:
                if path == "":
                    return new
                module.set_submodule(path, new)
    return module


def save_weights(module: nn.Module, path: Path) -> None:
    """All parameters and buffers as a safetensors file, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    write_atomic(path, save(tensors))


def load_compressed(base: nn.Module, *, patch: object, weights: Path) -> nn.Module:
    """The compressed network from the base, a patch and a safetensors file; computes exactly what was saved.

    Raises CheckpointError when they do not belong together or cannot be read.
    """
    module = apply_patch(base, patch)
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"the weights {weights.name} cannot be read: {error}") from None
    wanted = module.state_dict()
    wrong = sorted(wanted.keys() ^ tensors.keys()) or sorted(
        name
        for name in wanted
        if wanted[name].shape != tensors[name].shape or wanted[name].dtype != tensors[name].dtype
    )
    if wrong:
        raise CheckpointError(f"the weights {weights.name} do not fit the network: {', '.join(wrong[:5])}")
    put_into(module, tensors)
    return module


def _compare(base: nn.Module, module: nn.Module, path: str, changes: dict[str, Spec]) -> None:
    # every copy of a graph module has a class of its own
    graphs = isinstance(base, fx.GraphModule) and isinstance(module, fx.GraphModule) and base.code == module.code
    same = not isinstance(module, fx.GraphModule) and type(base) is type(module)
    if _is_known(module) or not (graphs or same):
        spec = _spec(module, path)
        if not _is_known(base) or spec != _spec(base, path):
            changes[path] = spec
        return
    ours, theirs = _children(base), _children(module)
    if ours.keys() != theirs.keys():
        changes[path] = _spec(module, path)
        return
    if _own_shapes(base) != _own_shapes(module):
        if not isinstance(base, _CUT):
            raise CompressionError(f"the tensors of {path or 'the network'} itself changed, which a patch cannot say")
        changes[path] = {"type": "smaller", "tensors": _own_shapes(module), "args": _sizes(module)}
    elif numbers := _changed_numbers(base, module):
        changes[path] = {"type": "smaller", "tensors": {}, "args": numbers}
    for name, child in theirs.items():
        _compare(ours[name], child, f"{path}.{name}" if path else name, changes)


def _changed_numbers(base: nn.Module, module: nn.Module) -> dict[str, int]:
    """Whole numbers of a module of a class of its own that got smaller, such as the width of a layer in it."""
    old = vars(base)
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and type(value) is int and type(old.get(name)) is int and value < old[name]
    }


def _children(module: nn.Module) -> dict[str, nn.Module]:
    """The layers right below, one that is there twice included twice, unlike `named_children`."""
    return {name: child for name, child in module._modules.items() if child is not None}


def _sizes(layer: nn.Module) -> dict[str, Any]:
    return {name: _plain(getattr(layer, name)) for name in _SIZES if hasattr(layer, name)}


def _is_known(layer: nn.Module) -> bool:
    return LAYERS.get(type(layer).__name__) is type(layer)


def _own_shapes(layer: nn.Module) -> dict[str, list[int]]:
    passing = layer._non_persistent_buffers_set  # what a network makes for itself, such as a cache, has any shape
    kept = [(name, buffer) for name, buffer in layer.named_buffers(recurse=False) if name not in passing]
    return {name: list(tensor.shape) for name, tensor in [*layer.named_parameters(recurse=False), *kept]}


def _spec(layer: nn.Module, path: str) -> Spec:
    if type(layer) is nn.Sequential:
        return {"type": "Sequential", "layers": [_spec(one, f"{path}.{n}") for n, one in _children(layer).items()]}
    if isinstance(layer, fx.GraphModule):
        return graph_spec(layer, layer_spec=_spec, path=path)
    if not _is_known(layer):
        raise CompressionError(f"{path or 'the network'} is a {type(layer).__name__}, which a patch cannot describe")
    return {"type": type(layer).__name__, "args": _arguments(layer)}


def _arguments(layer: nn.Module) -> dict[str, Any]:
    """The constructor arguments that would make this layer again, read from its attributes."""
    arguments: dict[str, Any] = {}
    for name in _parameters_of(type(layer)):
        if name in _HAS_BIAS and not isinstance(layer, nn.RNNBase):
            arguments[name] = getattr(layer, "bias", None) is not None
        elif name == "init" or name.startswith("_") or not hasattr(layer, name):
            continue
        else:
            arguments[name] = _plain(getattr(layer, name))
    return arguments


def _parameters_of(kind: type[nn.Module]) -> list[str]:
    """Names of constructor arguments; recurrent layers take most of theirs by keyword from their base."""
    names = list(inspect.signature(kind.__init__).parameters)
    if issubclass(kind, nn.RNNBase):
        names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"]
        names += ["nonlinearity"] if kind is nn.RNN else ["proj_size"] if kind is nn.LSTM else []
    return [name for name in names if name not in _SKIPPED]


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    raise CompressionError(f"an argument of type {type(value).__name__} cannot be written to a patch")


def _checked(base: nn.Module, patch: object) -> dict[str, Spec]:
    if not isinstance(patch, dict) or patch.get("format") != FORMAT:
        raise CheckpointError(f"not an architecture patch of the format {FORMAT}")
    changes = patch.get("changes")
    if not isinstance(changes, dict) or set(patch) != {"format", "base", "changes"}:
        raise CheckpointError("the architecture patch is damaged: expected 'format', 'base' and 'changes' only")
    if patch["base"] != content_hash(describe(base)):
        raise CheckpointError("the architecture patch was made for another network")
    return changes


def _build(spec: object, path: str) -> nn.Module:
    """A layer from its specification; raises CheckpointError for anything that is not on the list."""
    if not isinstance(spec, dict):
        raise CheckpointError(f"the patch of {path!r} is damaged: expected a mapping, came {type(spec).__name__}")
    if spec.get("type") == "Sequential" and isinstance(spec.get("layers"), list) and len(spec) == 2:
        return nn.Sequential(*(_build(one, f"{path}.{number}") for number, one in enumerate(spec["layers"])))
    if spec.get("type") == GRAPH:
        return build_graph(spec, path, build_layer=_build)
    kind = LAYERS.get(str(spec.get("type")))
    arguments = spec.get("args")
    if kind is None or not isinstance(arguments, dict) or len(spec) != 2:
        raise CheckpointError(f"the patch of {path!r} asks for {spec.get('type')!r}, which is not a layer it may")
    unknown = set(arguments) - set(_parameters_of(kind))
    wrong = [name for name, value in arguments.items() if not _is_allowed(value)]
    if unknown or wrong:
        raise CheckpointError(f"the patch of {path!r} has arguments that do not belong: {sorted(unknown) + wrong}")
    try:
        return kind(**{name: _tupled(value) for name, value in arguments.items()})
    except (TypeError, ValueError, RuntimeError, AssertionError, OverflowError) as error:
        raise CheckpointError(f"the patch of {path!r} makes no layer: {error}") from None


def _make_smaller(layer: nn.Module, spec: Spec, path: str) -> None:
    """Gives a layer tensors of the sizes in the patch, to be filled; raises CheckpointError for any that it may not."""
    old, new, sizes = _own_shapes(layer), spec.get("tensors"), spec.get("args")
    if not isinstance(layer, _CUT) or not isinstance(new, dict) or not isinstance(sizes, dict) or len(spec) != 3:
        raise CheckpointError(f"the patch of {path!r} makes a {type(layer).__name__} smaller, which it may not")
    known = new.keys() == old.keys() and sizes.keys() == _sizes(layer).keys()
    if not known or not all(_is_allowed(value) for value in sizes.values()):
        raise CheckpointError(f"the patch of {path!r} has sizes that do not belong to a {type(layer).__name__}")
    for name, shape in new.items():
        whole = isinstance(shape, list) and all(type(one) is int for one in shape) and len(shape) == len(old[name])
        if not whole or not all(1 <= one <= was for one, was in zip(shape, old[name], strict=True)):
            raise CheckpointError(f"the patch of {path!r} makes its {name} {shape}, and {old[name]} is the most")
        tensor = getattr(layer, name)
        empty = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)
        is_parameter = isinstance(tensor, nn.Parameter)
        setattr(layer, name, nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_parameter else empty)
    for name, value in sizes.items():
        setattr(layer, name, _tupled(value))


def _lower_numbers(layer: nn.Module, spec: Spec, path: str) -> None:
    """Lowers whole numbers that a module has; raises CheckpointError for any other change."""
    numbers, old = spec.get("args"), vars(layer)
    if not isinstance(numbers, dict) or spec.get("tensors") != {} or len(spec) != 3:
        raise CheckpointError(f"the patch of {path!r} makes a {type(layer).__name__} smaller, which it may not")
    for name, value in numbers.items():
        known = not name.startswith("_") and type(old.get(name)) is int
        if not known or type(value) is not int or not 1 <= value <= old[name]:
            raise CheckpointError(f"the patch of {path!r} sets {name} to {value!r}, which it may not")
        setattr(layer, name, value)


def _is_allowed(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= 8 and all(_is_allowed(one) for one in value)
    if isinstance(value, (bool, float)) or value is None:
        return True
    return abs(value) <= LARGEST if isinstance(value, int) else isinstance(value, str) and len(value) < 64


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def patch_text(patch: Mapping[str, Any]) -> str:
    """The patch as canonical JSON."""
    return canonical_json(dict(patch))
