"""Weights from files of strangers: found by the network's own names, and nothing in such a file is run."""

from __future__ import annotations

import json
import logging
import pickle
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from netwright.core.errors import CheckpointError
from netwright.runs.artifacts import weights_from

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

DEEPEST = 16
"""Levels of dicts that are looked into; deeper is nothing that a training writes."""


class _Found(NamedTuple):
    """A set of tensors in a file: how many names of the network it has behind a prefix, and where it lies."""

    fits: int
    prefix: str
    where: str
    table: Mapping[str, Tensor]

    @property
    def label(self) -> str:
        return " ".join(filter(None, (self.where, f"{self.prefix}*" if self.prefix else ""))) or "the file itself"


class Inert:
    """Stands for an object of whatever class a file names: keeps what the file says of it, and does nothing."""

    state: Any = None

    def __new__(cls, *_: object, **__: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_state(path: Path, *, own: Collection[str]) -> Mapping[str, Tensor]:
    """The tensors of a file that a network with the names `own` can take.

    The file is of safetensors, the index of one in parts (`*.index.json`), or of `torch.save`: a state dict, a
    checkpoint that holds one anywhere, or a whole network. A prefix that wrappers put before the names, such as
    `module.`, `_orig_mod.` or `model.`, is taken off. Of several sets that fit as well the first is taken, with a
    warning. Objects beside tensors are passed over, their classes neither imported nor called. Raises
    CheckpointError when the file cannot be read or holds no tensors by name.
    """
    tables = list(_tables(_content(path)))
    if not tables:
        raise CheckpointError(
            f"{path} holds no tensors by name; save model.state_dict() with torch.save or safetensors"
        )
    ways = [
        _Found(fits, prefix, where, table) for where, table in tables for prefix, fits in _prefixes(table, own).items()
    ]
    best = max(ways, key=_fit)
    same = [way.label for way in ways if best.fits and _fit(way) == _fit(best)]
    if len(same) > 1:
        logger.warning("%s holds %s, which fit alike: %s is taken", path, " and ".join(same), best.label)
    return {n.removeprefix(best.prefix): tensor for n, tensor in best.table.items() if n.startswith(best.prefix)}


def _fit(way: _Found) -> tuple[int, int]:
    return way.fits, len(way.table)


def _prefixes(table: Mapping[str, Tensor], own: Collection[str]) -> Counter[str]:
    """How many of the network's names stand behind each beginning of names that ends at a dot, and behind none."""
    found = Counter({"": 0})
    for name in table:
        starts = [0, *(dot.end() for dot in re.finditer(r"\.", name))]
        found.update(name[:at] for at in starts if name[at:] in own)
    return found


def _content(path: Path) -> object:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"the weights {path} cannot be read: {error.strerror}") from None
    if path.suffix == ".json":
        return _parts(path, content)
    if path.suffix != ".safetensors" and _is_torch_file(content):
        return _unpickled(path)
    try:
        return weights_from(content, source=str(path))
    except CheckpointError:
        if path.suffix == ".safetensors":
            raise
    raise CheckpointError(
        f"{path} is neither a file of torch.save nor one of safetensors; save model.state_dict() with one of them"
    )


def _parts(index: Path, content: bytes) -> Mapping[str, Tensor]:
    """All tensors of the files that an index names; they lie beside it."""
    try:
        names = {Path(name).name for name in json.loads(content)["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{index} is no index of weights in parts: it has no `weight_map`") from None
    found: dict[str, Tensor] = {}
    for name in sorted(names):
        for _, table in _tables(_content(index.with_name(name))):
            found |= table
    return found


def _is_torch_file(content: bytes) -> bool:
    """torch writes zip archives, and wrote bare pickles before; safetensors files begin with a length."""
    return content[:4] == b"PK\x03\x04" or content[:2] in {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}


def _unpickled(path: Path) -> object:
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        named = get_unsafe_globals_in_checkpoint(path)
    except Exception:
        named = []  # another kind of file: the reader below says what is wrong with it
    try:
        with safe_globals([(Inert, name) for name in named]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # a damaged or hostile file makes the reader raise errors of any kind
        held = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        what = (
            f"holds objects of {held.group(1)}, not tensors alone" if held else "is damaged, or holds more than tensors"
        )
        raise CheckpointError(
            f"{path} {what}; load it where you trust it, and save model.state_dict() with torch.save or safetensors"
        ) from None


def _tables(found: object, where: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Every set of tensors in what a file holds, with the name that it lies under; of a network its state dict."""
    import torch

    if isinstance(found, Inert):
        found = dict(_of_network(found))
    if not isinstance(found, Mapping) or not found or depth > DEEPEST:
        return
    if all(isinstance(one, torch.Tensor) for one in found.values()):
        yield where, {str(name): tensor for name, tensor in found.items()}
        return
    for name, one in found.items():
        yield from _tables(one, str(name), depth + 1)


def _of_network(network: Inert, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """The state dict of a network that torch saved whole, from what the file says of its layers."""
    import torch

    held = network.state if isinstance(network.state, dict) else {}
    passing = held.get("_non_persistent_buffers_set") or ()
    for name, tensor in {**(held.get("_parameters") or {}), **(held.get("_buffers") or {})}.items():
        if isinstance(tensor, torch.Tensor) and name not in passing:
            yield f"{prefix}{name}", tensor
    for name, layer in (held.get("_modules") or {}).items():
        if isinstance(layer, Inert) and depth < DEEPEST:
            yield from _of_network(layer, f"{prefix}{name}.", depth + 1)
