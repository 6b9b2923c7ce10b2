"""Pruning while training: masks that tighten step by step, and the penalty of ADMM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from netwright.compression.sparsity import Densities, Masks, choose, present
from netwright.core.files import content_hash
from netwright.tasks.training_hook import TrainingHook

Rule = Literal["magnitude", "movement", "fixed"]


class TighteningMasks(TrainingHook):
    """Masks that let through fewer and fewer weights, down a cubic curve, and then stay (Zhu & Gupta, 2017).

    `rule` ranks the weights: `magnitude` by their size at the moment, `movement` by how far training has pushed them
    away from zero so far (Sanh et al., NeurIPS 2020), `fixed` by given `scores`. The descent takes the share `ramp` of
    all steps, with new masks every `every` steps. Masked weights are not trained: letting gradients through to them
    makes them grow until masks flicker and the network forgets. By movement they may come back during the descent.
    """

    def __init__(
        self,
        densities: Densities,
        names: tuple[str, ...],
        *,
        rule: Rule,
        ramp: float,
        every: int,
        scores: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.densities, self.names, self.rule, self.ramp, self.every = densities, names, rule, ramp, every
        self.fixed = dict(scores or {})
        self.scores: dict[str, torch.Tensor] = {}
        self.masks: Masks = {}
        self.step = 0
        self.last = 0
        self._parameters: dict[str, nn.Parameter] = {}
        self._trained: dict[str, torch.Tensor] = {}
        self._start = densities

    def identity(self) -> str:
        d = self.densities
        settings = [d.rest, dict(d.own), d.scope, d.least, self.names, self.rule, self.ramp, self.every]
        return content_hash(["tightening_masks", *settings])

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        self.last = max(1, round(self.ramp * epochs * steps))
        self._parameters = {name: model.get_parameter(name) for name in self.names}
        values = {name: parameter.detach() for name, parameter in self._parameters.items()}
        self.masks = {name: value != 0 for name, value in values.items()}
        self._start = present(values, self.densities)
        if self.rule == "movement":
            self.scores = {name: torch.zeros_like(value) for name, value in values.items()}

    def put(self) -> None:
        self._trained = {}
        for name, parameter in self._parameters.items():
            self._trained[name] = parameter.detach().clone()
            parameter.data.mul_(self.masks[name])

    def take_back(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data.copy_(self._trained[name])

    def gradients(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter.grad is None:
                continue
            if self.rule == "movement" and self.step < self.last:
                self.scores[name].sub_(parameter.detach() * parameter.grad)
            parameter.grad.mul_(self.masks[name])

    def stepped(self) -> None:
        self.step += 1
        if self.step > self.last or (self.step % self.every and self.step != self.last):
            return
        self.masks = choose(self._ranks(), self.densities.on_the_way(self.step / self.last, self._start))

    def tensors(self) -> Mapping[str, torch.Tensor]:
        held = {f"mask.{name}": mask for name, mask in self.masks.items()}
        held |= {f"score.{name}": score for name, score in self.scores.items()}
        return {**held, "step": torch.tensor(self.step)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.step = int(tensors["step"])
        self.masks = {name: tensors[f"mask.{name}"] for name in self.names}
        self.scores = {name: tensors[f"score.{name}"] for name in self.scores}

    def _ranks(self) -> dict[str, torch.Tensor]:
        """The scores of all weights; those that cannot come back have less than any other."""
        ranks = {}
        for name, parameter in self._parameters.items():
            score = parameter.detach().abs() if self.rule == "magnitude" else {**self.fixed, **self.scores}[name]
            ranks[name] = score if self.rule == "movement" else score.masked_fill(~self.masks[name], -1.0)
        return ranks


class Admm(TrainingHook):
    """Pull weights towards the nearest ones of the wanted density, by a penalty (Zhang et al., ECCV 2018).

    Adds `penalty` × (weights − nearest + dual) to the gradients; nearest and dual are renewed after each epoch.
    """

    def __init__(self, densities: Densities, names: tuple[str, ...], *, penalty: float) -> None:
        self.densities, self.names, self.pull = densities, names, penalty
        self._parameters: dict[str, nn.Parameter] = {}
        self.nearest: dict[str, torch.Tensor] = {}
        self.dual: dict[str, torch.Tensor] = {}

    def identity(self) -> str:
        d = self.densities
        return content_hash(["admm", d.rest, dict(d.own), d.scope, d.least, self.names, self.pull])

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        del epochs, steps
        self._parameters = {name: model.get_parameter(name) for name in self.names}
        self.dual = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        self._project()

    def gradients(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - self.nearest[name] + self.dual[name], alpha=self.pull)

    def epoch_done(self, number: int) -> None:
        del number
        self._project()
        for name, parameter in self._parameters.items():
            self.dual[name] += parameter.detach() - self.nearest[name]

    def tensors(self) -> Mapping[str, torch.Tensor]:
        held = {f"nearest.{name}": tensor for name, tensor in self.nearest.items()}
        return held | {f"dual.{name}": tensor for name, tensor in self.dual.items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.nearest = {name: tensors[f"nearest.{name}"] for name in self.names}
        self.dual = {name: tensors[f"dual.{name}"] for name in self.names}

    def _project(self) -> None:
        wanted = {name: parameter.detach() + self.dual[name] for name, parameter in self._parameters.items()}
        masks = choose({name: value.abs() for name, value in wanted.items()}, self.densities)
        self.nearest = {name: wanted[name] * masks[name] for name in self.names}
