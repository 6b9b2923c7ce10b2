"""The run's stored objects: files named by the hash of what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from netwright.core.errors import CheckpointError
from netwright.core.files import file_hash, write_atomic

if TYPE_CHECKING:
    from torch import Tensor, nn


ANEW = "restore it from a copy, or run `netwright compress` again, which makes those of the winner anew"


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Objects below a run folder; an object is written once, whole, and never changed."""

    run: Path

    def put(self, content: bytes) -> str:
        """Keep some bytes, in the place of a damaged object of theirs; returns their SHA-256."""
        digest = sha256(content).hexdigest()
        path = self.path(digest)
        if not path.exists() or file_hash(path) != digest:
            write_atomic(path, content)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of that hash; raises CheckpointError when they are missing or damaged."""
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise CheckpointError(f"{path} is missing: the run folder has lost an object; {ANEW}") from None
        if sha256(content).hexdigest() != digest:
            raise CheckpointError(f"{path} is damaged: its content does not match its hash; {ANEW}")
        return content

    def path(self, digest: str) -> Path:
        """Where the object of that hash lives."""
        return self.run / "objects" / digest[:2] / digest

    def put_weights(self, model: nn.Module) -> str:
        """Keep a model's parameters and buffers as safetensors; returns their hash."""
        from safetensors.torch import save

        state = {name: tensor.detach().contiguous().clone() for name, tensor in model.state_dict().items()}
        return self.put(save(state))

    def load_weights(self, digest: str, model: nn.Module) -> nn.Module:
        """Put stored weights into a model, in place; raises CheckpointError when they do not fit."""
        return load_state(model, weights_from(self.get(digest), source=str(self.path(digest))), source=digest[:12])


def weights_from(content: bytes, *, source: str) -> Mapping[str, Tensor]:
    """Tensors from safetensors bytes; raises CheckpointError when they are no such thing."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(content))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{source} is not a safetensors file ({error}); save weights with safetensors.torch.save_file"
        ) from None


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> nn.Module:
    """Put tensors into a model, in place; raises CheckpointError naming those that do not fit."""
    from netwright.tasks.checkpoint import put_into

    own = model.state_dict()
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or extra:
        lacks = f"the file lacks {_some(missing)}" if missing else ""
        has = f"the file has {_some(extra)}, which the model has not" if extra else ""
        raise CheckpointError(f"the weights in {source} do not fit this model: {'; '.join(filter(None, (lacks, has)))}")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            came, expected = tuple(tensor.shape), tuple(own[name].shape)
            raise CheckpointError(f"the weights in {source} do not fit: {name!r} is {came}, expected {expected}")
        if tensor.layout != own[name].layout or tensor.is_meta or _loses(tensor, own[name]):
            kind = f"{tensor.layout} {tensor.dtype} on {tensor.device}".replace("torch.", "")
            raise CheckpointError(f"the weights in {source} do not fit: {name!r} is {kind}, plain floats are expected")
    put_into(model, state)
    return model


def _loses(tensor: Tensor, own: Tensor) -> bool:
    """Whether integers, perhaps of a quantized network, or complex numbers would be taken for real ones."""
    return own.is_floating_point() and not tensor.is_floating_point()


def _some(names: Sequence[str], *, shown: int = 3) -> str:
    """The first few of many names."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + more
