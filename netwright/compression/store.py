"""Stages of a recipe kept on disk, so that an interrupted recipe goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from netwright.compression.model import Model, Note
from netwright.core.errors import CheckpointError, ConfigurationError
from netwright.core.files import canonical_json, content_hash, file_hash, write_atomic
from netwright.core.plugins import built, spec_of

if TYPE_CHECKING:
    from torch import nn

    from netwright.compression.form import Form

logger = logging.getLogger(__name__)

PATCH, WEIGHTS, FILE, STAGE = "patch.json", "weights.safetensors", "model.onnx", "stage.json"
ARCHIVE = "model.nwz"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one stage: the model and its measured row, or the reason why the pass gave none."""

    model: Model | None
    row: Mapping[str, Any]
    error: str = ""
    seconds: float = 0.0


class Store(Protocol):
    """Where a recipe keeps its stages. `base` is the network that came into the recipe."""

    def load(self, key: str, *, base: nn.Module) -> Outcome | None:
        """The outcome of a stage, or None when it has to be computed."""
        ...

    def save(self, key: str, outcome: Outcome, *, base: nn.Module) -> None:
        """Keep an outcome; raises CompressionError when the model cannot be described as a patch."""
        ...


@dataclass(frozen=True, slots=True)
class FolderStore:
    """A folder with one folder per stage: patch.json, weights.safetensors, model.onnx, stage.json.

    stage.json is written last and holds the hashes of the others, so a stage is whole or counts as absent.
    """

    folder: Path

    def load(self, key: str, *, base: nn.Module) -> Outcome | None:
        from netwright.compression.patch import load_compressed

        place = self.folder / key
        if not (place / STAGE).exists():
            return None
        try:
            stage = json.loads((place / STAGE).read_text(encoding="utf-8"))
            for name, wanted in stage["files"].items():
                if file_hash(place / name) != wanted:
                    raise CheckpointError(f"{name} does not have the hash it was stored with")
            model = None
            if not stage["error"]:
                patch = json.loads((place / PATCH).read_text(encoding="utf-8"))
                module = load_compressed(base, patch=patch, weights=place / WEIGHTS)
                notes = tuple(Note.from_json(note) for note in stage["notes"])
                model = Model(
                    module,
                    place / FILE if FILE in stage["files"] else None,
                    notes,
                    archive=place / ARCHIVE if ARCHIVE in stage["files"] else None,
                    forms={name: _form(spec) for name, spec in stage["forms"].items()},
                )
            return Outcome(model, stage["row"], stage["error"], float(stage["seconds"]))
        except (CheckpointError, ConfigurationError, OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the stored stage %s is computed again: %s", key[:12], error)
            return None

    def save(self, key: str, outcome: Outcome, *, base: nn.Module) -> None:
        from netwright.compression.patch import difference, patch_text, save_weights

        place = self.folder / key
        shutil.rmtree(place, ignore_errors=True)
        files = []
        if outcome.model is not None:
            patch = patch_text(difference(base, outcome.model.module))
            write_atomic(place / PATCH, patch)
            save_weights(outcome.model.module, place / WEIGHTS)
            files = [PATCH, WEIGHTS]
            for made, name in ((outcome.model.file, FILE), (outcome.model.archive, ARCHIVE)):
                if made is not None:
                    _copy(made, place / name)
                    files.append(name)
        stage = {
            "row": dict(outcome.row),
            "error": outcome.error,
            "seconds": outcome.seconds,
            "notes": [note.to_json() for note in outcome.model.notes] if outcome.model else [],
            "forms": {n: spec_of(form) for n, form in outcome.model.forms.items()} if outcome.model else {},
            "files": {name: file_hash(place / name) for name in files},
        }
        write_atomic(place / STAGE, canonical_json(stage))


def model_identity(model: Model) -> str:
    """SHA-256 over a model's layers, graph code, weights, forms and files: equal models, equal identities."""
    from netwright.compression.patch import describe

    digest = hashlib.sha256(canonical_json(describe(model.module)).encode())
    digest.update(str(getattr(model.module, "code", "")).encode())
    for name, tensor in model.module.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().numpy().tobytes())
    for made in (model.file, model.archive):
        if made is not None:
            digest.update(file_hash(made).encode())
    if model.forms:
        digest.update(content_hash({name: spec_of(form) for name, form in model.forms.items()}).encode())
    return digest.hexdigest()


def _form(spec: object) -> Form:
    from netwright.compression.form import Form

    return built(Form, spec)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
