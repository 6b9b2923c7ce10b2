"""Networks from outside: built by a user's function, by torchvision or by timm, with weights from a file.

Nothing is ever downloaded: weights come from a file, or they are those the builder made.
"""

from __future__ import annotations

import copy
import importlib
import traceback
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from netwright.core.errors import ConfigurationError, MissingPackageError, Mistake, NetwrightError
from netwright.core.plugins import import_dotted
from netwright.runs.artifacts import load_state
from netwright.runs.own_weights import read_state
from netwright.search_spaces.plain_weights import plain_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

COLLECTIONS = ("torchvision", "timm")
"""What `NAME:model` may begin with, beside a package of the user's own."""

_ASKED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
"""Kinds of parameters that must be given where they have no default."""


def built_model(build: str, *, outputs: int | None = None, weights: Path | None = None) -> nn.Module:
    """The network that `package.module:build`, `torchvision:NAME` or `timm:NAME` stands for, with weights from a file.

    `outputs` is the number of classes of a network of torchvision or timm; by default as many as its author chose.
    Without `weights` those networks have random ones, the same each time. Auxiliary heads, which GoogLeNet and
    Inception v3 of torchvision have for training, are left out once their weights are read. Weight and spectral
    norms, other parametrizations and the masks of torch's pruning become plain weights of the same values, in single
    precision.
    Raises ConfigurationError when it cannot be built, MissingPackageError when the collection is not installed and
    CheckpointError when the weights do not fit.
    """
    import torch
    from torch import nn

    collection, _, name = build.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # weights that no file has are the same when the command is given again
        made = _from_collection(collection, name, outputs) if is_from_collection(build) else _called(build)
    if not isinstance(made, nn.Module):
        raise ConfigurationError(
            [Mistake("--model", f"{build!r} gives a {type(made).__name__}, not a torch nn.Module")]
        )
    made = _uncompiled(made, build)
    if weights is not None:
        load_state(made, _with_tied(read_state(weights, own=made.state_dict()), made), source=str(weights))
    _leave_auxiliary_heads(made)
    return plain_weights(made.eval()).float()


def _leave_auxiliary_heads(model: nn.Module) -> None:
    """Take out, as torchvision does, the heads with which its networks give several outputs in training."""
    if getattr(model, "aux_logits", False):
        heads = {"aux1", "aux2", "AuxLogits"} & dict(model.named_children()).keys()
        for name, value in {"aux_logits": False, **dict.fromkeys(heads)}.items():
            setattr(model, name, value)


def is_from_collection(build: str) -> bool:
    """Whether the name means a network of torchvision or timm."""
    return build.partition(":")[0] in COLLECTIONS


def _with_tied(state: Mapping[str, Tensor], model: nn.Module) -> Mapping[str, Tensor]:
    """The state with the second names of tensors that the model shares, of which some files hold one alone."""
    names: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, tensor in model.state_dict().items():
        names.setdefault((tensor.data_ptr(), tuple(tensor.shape)), []).append(name)
    found = dict(state)
    for shared in names.values():
        known = next((name for name in shared if name in state), None)
        found |= {name: state[known] for name in shared if known is not None and name not in state}
    return found


def _called(build: str) -> Any:
    from torch import nn

    if Path(build).is_file():
        what = f"{build} is a file; name what builds the network, as package.module:build, and its weights by --weights"
        raise ConfigurationError([Mistake("--model", what)])
    found = import_dotted(build, what="--model")
    if isinstance(found, nn.Module):
        return copy.deepcopy(found)
    if not callable(found):
        return found
    try:
        needed = [
            one.name for one in signature(found).parameters.values() if one.default is one.empty and one.kind in _ASKED
        ]
    except (TypeError, ValueError):
        # some callables do not tell what they take
        needed = []
    if needed:
        name = build.rpartition(":")[2]
        raise ConfigurationError(
            [
                Mistake(
                    "--model",
                    f"{build!r} needs {', '.join(needed)}, and is called without arguments; name a function "
                    f"that gives them, such as `def build(): return {name}({needed[0]}=...)`",
                )
            ]
        )
    try:
        return found()
    except NetwrightError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}, line {where.lineno}"
        raise ConfigurationError(
            [Mistake("--model", f"{build!r} failed with {type(error).__name__}: {error} ({place})")]
        ) from error


def _uncompiled(made: nn.Module, build: str) -> nn.Module:
    """The network under `torch.compile`; raises ConfigurationError for one that is no plain float network any more."""
    import torch

    made = getattr(made, "_orig_mod", made)
    for path, layer in made.named_modules():
        if isinstance(layer, torch.jit.ScriptModule):
            raise _not_plain(build, "is a TorchScript program", path)
        if ".quantized" in type(layer).__module__:
            raise _not_plain(build, f"is quantized already, with {type(layer).__name__}", path)
    return made


def _not_plain(build: str, what: str, path: str) -> ConfigurationError:
    at = f" at {path!r}" if path else ""
    text = f"{build!r} {what}{at}; passes work on the float network of plain layers that it was made from"
    return ConfigurationError([Mistake("--model", text)])


def _from_collection(collection: str, name: str, outputs: int | None) -> Any:
    package = _package(collection)
    options: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    known = package.models.list_models() if collection == "torchvision" else package.list_models()
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigurationError([Mistake("--model", f"{collection} has no network {name!r}{hint}")])
    try:
        if collection == "torchvision":
            builder = package.models.get_model_builder(name)
            # without it the trained part of networks for segmentation and detection would be downloaded
            options |= {"weights_backbone": None} if "weights_backbone" in signature(builder).parameters else {}
            return builder(weights=None, **options)
        return package.create_model(name, pretrained=False, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError([Mistake("--model", f"{collection} cannot build {name!r}: {error}")]) from error


def _package(collection: str) -> ModuleType:
    try:
        if collection == "torchvision":
            importlib.import_module("torchvision.models")
        return importlib.import_module(collection)
    except (ImportError, RuntimeError) as error:
        # torchvision raises RuntimeError beside a torch that it was not built for
        raise MissingPackageError(
            f"{collection} is needed for '{collection}:NAME' and cannot be imported ({error}); "
            f"install one that fits your torch: pip install {collection}"
        ) from None
