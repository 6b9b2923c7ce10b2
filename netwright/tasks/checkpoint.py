"""The state of a training in one safetensors file: written whole or not at all, checked when read.

The tensors are named `model.*`, `optimizer.<number>.*`, `generator.*` and `hook.*`; everything else is JSON in the
file's metadata. Nothing is pickled, so a file from a stranger can be refused but cannot run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from netwright.core.errors import CheckpointError
from netwright.core.files import canonical_json, write_atomic

FORMAT = "netwright-training-1"
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class TrainingState:
    """All that a training needs to go on as if it had never stopped.

    `identity` says which training it is: settings, seed, data, and the digest of the weights at its `start`;
    a state is only ever continued by the same training.
    """

    identity: Mapping[str, str]
    model: Tensors
    optimizer: dict[int, Tensors]
    generators: Tensors
    hooks: Tensors = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)


def put_into(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a model the values of all its tensors, by name, as stored by a model of its own version.

    Files of tensors alone do not tell versions, for which some networks ask. Raises RuntimeError as torch does.
    """
    own = model.state_dict()
    own.clear()  # the versions stay
    own.update(tensors)
    model.load_state_dict(own)


def save_state(path: Path, state: TrainingState) -> None:
    """Write a state to a file, atomically."""
    tensors = {f"model.{name}": tensor for name, tensor in state.model.items()}
    tensors |= {f"generator.{name}": tensor for name, tensor in state.generators.items()}
    tensors |= {f"hook.{name}": tensor for name, tensor in state.hooks.items()}
    for number, held in state.optimizer.items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in held.items()}
    # Tied weights share memory, which the format refuses: each name gets its own copy.
    tensors = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    facts = {
        "format": FORMAT,
        "identity": dict(state.identity),
        "rows": state.rows,
        "digest": digest_of(tensors),
    }
    write_atomic(path, save(tensors, metadata={"netwright": canonical_json(facts)}))


def load_state(path: Path, *, identity: Mapping[str, str], defaults: Mapping[str, str] | None = None) -> TrainingState:
    """The state in a file; raises CheckpointError when it is damaged or of another training.

    What the file's identity does not name counts as in `defaults`: it is older than that setting.
    """
    tensors, facts = _read(path)
    if facts.get("format") != FORMAT:
        raise _damaged(path, f"it is not a training checkpoint of the format {FORMAT}")
    if facts.get("digest") != digest_of(tensors):
        raise _damaged(path, "its content does not match its checksum")
    model = _group(tensors, "model.")
    different = _differing(facts["identity"], identity, defaults or {})
    if identity.get("start") == digest_of(model):
        # The caller kept the model of the training that stopped here, instead of making it anew.
        different.discard("start")
    if different:
        raise CheckpointError(
            f"the checkpoint {path} is of another training: it differs in {', '.join(sorted(different))}; "
            "give another path, or delete the file to start afresh"
        )
    return TrainingState(
        identity={**identity, **{name: v for name, v in facts["identity"].items() if name == "start"}},
        model=model,
        optimizer=_by_number(_group(tensors, "optimizer.")),
        generators=_group(tensors, "generator."),
        hooks=_group(tensors, "hook."),
        rows=facts["rows"],
    )


def _differing(stored: Mapping[str, str], wanted: Mapping[str, str], defaults: Mapping[str, str]) -> set[str]:
    """The names whose values differ; what is not stored has its default."""
    known = {**{name: value for name, value in defaults.items() if name in wanted}, **stored}
    return {name for name in known.keys() | wanted.keys() if known.get(name) != wanted.get(name)}


def stored_rows(path: Path) -> list[dict[str, float]]:
    """The epochs that the training of a checkpoint has behind it; none where there is no file, or no readable one.

    Whether the file can be gone on from is only known to `load_state`.
    """
    if not path.exists():
        return []
    try:
        with safe_open(path, framework="pt") as stored:
            facts = json.loads((stored.metadata() or {}).get("netwright", "{}"))
    except (SafetensorError, OSError, ValueError):
        return []
    return list(facts.get("rows", []))


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as stored:
            facts = json.loads((stored.metadata() or {}).get("netwright", "{}"))
            return {name: stored.get_tensor(name) for name in stored.keys()}, facts  # noqa: SIM118 -- no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint {path} cannot be used: {reason}; delete the file to start afresh, or restore a copy of it"
    )


def _group(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _by_number(tensors: Tensors) -> dict[int, Tensors]:
    result: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        result.setdefault(int(number), {})[key] = tensor
    return result
