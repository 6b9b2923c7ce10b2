"""Learning from the inside of a teacher: what its layers give, matched with layers of the student."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression.hooks import hooked
from netwright.compression.outputs import output_layers
from netwright.compression.proof import outputs
from netwright.core.errors import CompressionError
from netwright.core.files import content_hash
from netwright.tasks.checkpoint import digest_of
from netwright.tasks.training_hook import TrainingHook

Features = Literal["hints", "attention"]
WEIGHING = (nn.Linear, _ConvNd, nn.RNNBase)
RIDGE = 1e-2


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer of the student and the teacher's that it learns from, both with results at these positions."""

    student: str
    teacher: str
    positions: tuple[int, ...]


def matched(student: nn.Module, teacher: nn.Module, example: torch.Tensor) -> list[Pair]:
    """For every shape of positions that both networks have, the last weighing layer of each with it.

    Positions are height and width, or time; networks may differ in everything else. The layers that give the network's
    output are left out: those are taught by its logits. `example` is a batch [N, *shape].
    """
    ours, theirs = _last_by_shape(student, example), _last_by_shape(teacher, example)
    return [Pair(path, theirs[shape], shape) for shape, path in ours.items() if shape in theirs]


def named_pairs(
    layers: Mapping[str, str], *, student: nn.Module, teacher: nn.Module, example: torch.Tensor
) -> list[Pair]:
    """The pairs that were asked for; raises CompressionError for a layer that is not there or of another shape."""
    ours, theirs = _shapes(student, example), _shapes(teacher, example)
    pairs = []
    for path, other in layers.items():
        for name, known, whose in ((path, ours, "the network"), (other, theirs, "its teacher")):
            if name not in known:
                raise CompressionError(f"layers: {whose} has no layer {name!r} that is called and gives a tensor")
        if ours[path] != theirs[other]:
            raise CompressionError(
                f"layers: {path} gives results at {ours[path]} positions, {other} of the teacher at {theirs[other]}"
            )
        pairs.append(Pair(path, other, ours[path]))
    return pairs


def _last_by_shape(module: nn.Module, example: torch.Tensor) -> dict[tuple[int, ...], str]:
    last = output_layers(module, example)
    layers = dict(module.named_modules())
    weighing = {
        path: shape
        for path, shape in _shapes(module, example).items()
        if isinstance(layers[path], WEIGHING) and path not in last
    }
    return {shape: path for path, shape in weighing.items()}


def _shapes(module: nn.Module, example: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """The positions of every layer's results, in the order in which layers were called last."""
    found: dict[str, tuple[int, ...]] = {}
    handles = []
    for path, layer in module.named_modules():

        def note(_: nn.Module, __: Any, output: Any, *, path: str = path, layer: nn.Module = layer) -> None:
            result = _tensor(output)
            if path and result is not None:
                found.pop(path, None)
                found[path] = tuple(_by_position(result, layer).shape[1:-1])

        handles.append(layer.register_forward_hook(note))
    with hooked(handles):
        outputs(module, example)
    return found


def _tensor(output: Any) -> torch.Tensor | None:
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) and output.ndim >= 2 else None


def _by_position(result: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    """Results as [N, *positions, channels]: sequences have their channels last already, images second."""
    last = isinstance(layer, (nn.Linear, nn.RNNBase, nn.LayerNorm)) or result.ndim == 2
    kept = result if last else result.movedim(1, -1)
    batch_second = isinstance(layer, nn.RNNBase) and not layer.batch_first and kept.ndim == 3
    return kept.transpose(0, 1) if batch_second else kept


class FeatureHook(TrainingHook):
    """Adds to the loss how far the student's layers are from the teacher's; `close` it when training is over."""

    def __init__(self, teacher: nn.Module, pairs: Sequence[Pair], *, kind: Features, weight: float) -> None:
        self.teacher = copy.deepcopy(teacher).eval()
        self.pairs, self.kind, self.weight = tuple(pairs), kind, weight
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._ours: dict[str, torch.Tensor] = {}
        self._theirs: dict[str, torch.Tensor] = {}

    def identity(self) -> str:
        pairs = [[pair.student, pair.teacher] for pair in self.pairs]
        return content_hash(["features", self.kind, self.weight, pairs, digest_of(self.teacher.state_dict())])

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        del epochs, steps
        self.teacher.to(next(model.parameters()).device)
        for pair in self.pairs:
            self._watch(model.get_submodule(pair.student), pair.student, self._ours)
            self._watch(self.teacher.get_submodule(pair.teacher), pair.teacher, self._theirs)

    def penalty(self, inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.teacher(inputs)
        distance = hint_distance if self.kind == "hints" else attention_distance
        terms = [distance(self._ours[pair.student], self._theirs[pair.teacher]) for pair in self.pairs]
        return self.weight * torch.stack(terms).mean()

    def close(self) -> None:
        """Take the hooks off both networks."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._ours, self._theirs = [], {}, {}

    def _watch(self, layer: nn.Module, path: str, kept: dict[str, torch.Tensor]) -> None:
        def note(own: nn.Module, _: Any, output: Any) -> None:
            result = _tensor(output)
            assert result is not None
            kept[path] = _by_position(result, own)

        self._handles.append(layer.register_forward_hook(note))


def hint_distance(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """The share of the teacher's results [N, *positions, C] that the student's [N, *positions, c] do not explain.

    FitNets (Romero et al., ICLR 2015) train a regressor from the student's channels to the teacher's; here it is the
    least-squares one of the batch, slightly ridged, so it has no weights to train. Channels are centred.
    """
    student, teacher = ours.flatten(0, -2), theirs.flatten(0, -2).detach()
    student, teacher = student - student.mean(0), teacher - teacher.mean(0)
    with torch.no_grad():
        gram = student.T @ student
        size = gram.diagonal().mean().clamp_min(1e-12)
        ridge = RIDGE * size * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        regressor = torch.linalg.solve(gram + ridge, student.T @ teacher)
    missed: torch.Tensor = (student @ regressor - teacher).square().sum()
    return missed / teacher.square().sum().clamp_min(1e-12)


def attention_distance(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """How differently two layers look at their positions: maps of summed squares, each of length 1.

    Attention transfer: Zagoruyko & Komodakis, ICLR 2017, equation 2.
    """
    maps = [one.square().sum(-1).flatten(1) for one in (ours, theirs.detach())]
    student, teacher = (one / one.norm(dim=1, keepdim=True).clamp_min(1e-12) for one in maps)
    distance: torch.Tensor = (student - teacher).square().sum(1)
    return distance.mean()
