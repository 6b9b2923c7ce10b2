"""Trainings at a lower fidelity: a share of the samples, smaller images, or a narrower network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from netwright.core.errors import ConfigurationError, Mistake, ShapeError
from netwright.core.plugins import field_of, name_of, spec_of
from netwright.core.records import Objective
from netwright.core.seeds import generator
from netwright.runs.specification import RunSpecification
from netwright.search_spaces.graph import INPUT, LayerGraph
from netwright.tasks.data import AnyArray, HeldOut, Split, TaskData
from netwright.tasks.settings import Training
from netwright.tasks.targets import Targets
from netwright.tasks.task import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

CHANNELS = ("filters", "features", "width", "count", "first", "last")
"""Settings of operations that count channels."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is trained at a rung: the network, the task, the settings; and the network with its auxiliary heads."""

    model: nn.Module
    task: Task
    training: Training
    auxiliary: nn.Module | None = None


def at_rung(
    spec: RunSpecification, decisions: Mapping[str, Any], model: nn.Module, *, rung: float | None, seed: int
) -> Reduced:
    """What is trained at a rung of the search's fidelity; `model` is the whole network, taken where it can be."""
    training, fidelity = spec.search.training, spec.search.fidelity
    if fidelity is None or rung is None or fidelity.axis == "epochs" or rung >= 1:
        return Reduced(model, spec.task, training, helped(spec, decisions, model, training=training, seed=seed))
    if fidelity.axis == "data":
        fewer = training.model_copy(update={"samples": _samples(spec, rung)})
        return Reduced(model, spec.task, fewer, helped(spec, decisions, model, training=training, seed=seed))
    if fidelity.axis == "resolution":
        task = AtResolution(task=spec.task, share=rung, split_seed=spec.task.split_seed)
        model = spec.searched.build(decisions, task.shapes(), seed=seed)
        return Reduced(model, task, training, helped(spec, decisions, model, task=task, training=training, seed=seed))
    from netwright.search_spaces.compiler import compile_beside, compile_graph

    shapes = spec.task.shapes()
    sides = spec.searched.auxiliary_graphs(decisions, shapes) if training.auxiliary else []
    graph, *sides = [narrowed(part, rung) for part in (spec.searched.graph(decisions, shapes), *sides)]
    model = compile_graph(graph, seed=seed)
    return Reduced(model, spec.task, training, compile_beside(model, graph, sides, seed=seed) if sides else None)


def helped(
    spec: RunSpecification,
    decisions: Mapping[str, Any],
    model: nn.Module,
    *,
    training: Training,
    seed: int,
    task: Task | None = None,
) -> nn.Module | None:
    """The network with its auxiliary heads, for a training that weighs them; none for any other."""
    shapes = (task or spec.task).shapes()
    return spec.searched.with_auxiliary(model, decisions, shapes, seed=seed) if training.auxiliary else None


def check_fidelity(spec: RunSpecification) -> None:
    """Raise ConfigurationError or SpaceError when the task or the space cannot be reduced as the search declares."""
    fidelity = spec.search.fidelity
    if fidelity is None or fidelity.axis in ("epochs", "data"):
        return
    decisions = spec.searched.sample(generator(spec.seed, "fidelity"))
    if fidelity.axis == "width":
        narrowed(spec.searched.graph(decisions, spec.task.shapes()), fidelity.rungs[0])
        return
    if spec.task.data().train.inputs.ndim != 4 or spec.task.targets().aligned:
        what = "is resolution, which needs images and targets that are not images; take epochs, data or width"
        raise ConfigurationError([Mistake("search.fidelity.axis", what)])
    task = AtResolution(task=spec.task, share=fidelity.rungs[0], split_seed=spec.task.split_seed)
    spec.searched.graph(decisions, task.shapes())


def check_auxiliary(spec: RunSpecification) -> None:
    """Raise ConfigurationError where a training weighs auxiliary heads and the networks have none."""
    mistakes = []
    if spec.compress is not None and spec.compress.fine_tune.auxiliary:
        mistakes.append(
            Mistake("compress.fine_tune.auxiliary", "what is compressed has no auxiliary head; leave it out")
        )
    trainings = {"search.training": spec.search.training, "winner.training": spec.winner.training}
    if spec.space is not None and (weighed := [name for name, one in trainings.items() if one.auxiliary]):
        decisions = spec.space.sample(generator(spec.seed, "auxiliary"))
        with suppress(ShapeError):  # others may fit the task; a trial that does not will say so
            if not spec.space.auxiliary_graphs(decisions, spec.task.shapes()):
                what = f"the space {name_of(spec.space)!r} brings no auxiliary head; leave it out"
                mistakes += [Mistake(f"{name}.auxiliary", what) for name in weighed]
    if mistakes:
        raise ConfigurationError(mistakes)


def narrowed(graph: LayerGraph, share: float) -> LayerGraph:
    """The graph with a share of the channels everywhere but at its output, at least one.

    Raises SpaceError where the operations no longer fit together.
    """
    fixed = _sets_output(graph)
    nodes = []
    for node in graph.nodes:
        spec = spec_of(node.operation)
        settings = dict(spec) if isinstance(spec, Mapping) else {"kind": spec}
        if node.name not in fixed:
            settings |= {name: _fewer(settings, name, share) for name in CHANNELS if settings.get(name)}
        nodes.append({"name": node.name, "operation": settings, "inputs": node.inputs, "weights": node.weights})
    return LayerGraph.from_json({"input_shape": graph.input_shape, "nodes": nodes, "output": graph.output})


def _fewer(settings: Mapping[str, Any], name: str, share: float) -> int:
    """A share of some channels that groups and heads divide."""
    unit = max(1, int(settings.get("groups") or 1), int(settings.get("heads") or 1))
    return max(1, round(share * int(settings[name]) / unit)) * unit


def _sets_output(graph: LayerGraph) -> set[str]:
    """The nodes that decide how many channels the output has: the last ones that set any, on every way to it."""
    by_name = {node.name: node for node in graph.nodes}
    found: set[str] = set()
    ahead, seen = [graph.output], set()
    while ahead:
        name = ahead.pop()
        if name == INPUT or name in seen:
            continue
        seen.add(name)
        node = by_name[name]
        if any(getattr(node.operation, setting, 0) for setting in CHANNELS):
            found.add(name)
        else:
            ahead += node.inputs
    return found


def _samples(spec: RunSpecification, share: float) -> int:
    whole = spec.search.training.samples or len(spec.task.data().train)
    return max(2, round(share * whole))


class AtResolution(Task):
    """Another task on smaller images: each side is a share of what it was, by averaging areas."""

    task: Annotated[Task, *field_of(Task)] = Field(description="the task itself")
    share: float = Field(gt=0, le=1, description="of each side of the images")

    def data(self) -> TaskData:
        return _smaller(type(self.task), self.task.model_dump_json(), self.share)

    def targets(self) -> Targets:
        return self.task.targets()

    def primary(self) -> Objective:
        return self.task.primary()

    def augments(self) -> bool:
        return self.task.augments()

    def augment(self, inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return self.task.augment(inputs, generator)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
        return self.task.loss(outputs, targets, label_smoothing=label_smoothing)

    def soft_loss(self, outputs: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
        return self.task.soft_loss(outputs, teacher, temperature=temperature)

    def score(self, outputs: Any, targets: AnyArray) -> dict[str, float]:
        return self.task.score(outputs, targets)


@lru_cache(maxsize=4)
def _smaller(cls: type[Task], settings: str, share: float) -> TaskData:
    task = cls.model_validate_json(settings)
    data = task.data()
    train = _resized(data.train, share)
    calibration, validation = _resized(data.calibration, share), _resized(data.validation, share)
    return dataclasses.replace(
        data,
        train=train,
        validation=validation,
        calibration=calibration,
        test=HeldOut(Split(data.train.inputs[:0], data.train.targets[:0])),
        preprocessing=task.preprocess(train.inputs),
        fingerprint=f"{data.fingerprint} at {share:g} of its sides",
    )


def _resized(split: Split, share: float) -> Split:
    """Images [N, C, H, W] with sides times `share`, in the type they were stored in."""
    import numpy as np
    import torch
    from torch.nn import functional as F

    size = [max(1, round(side * share)) for side in split.inputs.shape[2:]]
    smaller = F.interpolate(torch.tensor(split.inputs).float(), size=size, mode="area").numpy()
    if np.issubdtype(split.inputs.dtype, np.integer):
        smaller = np.rint(smaller)
    inputs = smaller.astype(split.inputs.dtype)
    inputs.setflags(write=False)
    return Split(inputs, split.targets)
