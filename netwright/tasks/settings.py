"""How to train, as settings: light to import, for specifications and the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, WrapValidator

from netwright.core.config import Settings

Schedule = Literal["one_cycle", "cosine", "constant"]


BALANCED_NEEDS = "needs a task with one class for each sample; leave it out"


def batch_for(samples: int, *, most: int) -> int:
    """Samples per step, of so many in all: `most`, and down to 16 where an epoch would have fewer than 20 steps."""
    return next((size for size in (128, 64, 32) if size <= most and samples >= size * 20), 16)


FEW_STEPS = 100
"""Trainings of fewer steps leave most networks near where they began."""


class Training(Settings):
    """How a model is trained."""

    epochs: int = Field(default=10, ge=1, description="passes over the training samples")
    steps: int | None = Field(
        default=None,
        ge=1,
        description="about so many steps at least: an epoch goes through a small set several times; default: any "
        "number, where `epochs` is given",
    )
    batch_size: int | None = Field(
        default=None,
        ge=2,
        description="samples per step; default: 128, and down to 16 where an epoch would have fewer than 20 steps",
    )
    learning_rate: float = Field(default=2e-3, gt=0, description="highest learning rate")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="adamw, or sgd with Nesterov momentum 0.9")
    weight_decay: float = Field(default=1e-4, ge=0, description="decay of weight matrices; biases and norms have none")
    schedule: Schedule = Field(
        default="one_cycle", description="one_cycle rises for a quarter of the steps, then falls to 0 like cosine"
    )
    balanced: bool = Field(
        default=False,
        description="draw each class equally often, where most samples are of one; an epoch stays as long",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="probability spread over all classes")
    auxiliary: float = Field(
        default=0.0,
        ge=0,
        description="weight of the loss of auxiliary heads, for spaces that bring some, usually 0.4; 0 goes without",
    )
    samples: int | None = Field(
        default=None,
        ge=2,
        description="use only so many training samples, the same ones for every model; default: all",
    )
    gradient_clip: float | None = Field(
        default=None, gt=0, description="largest norm of all gradients together; default: any"
    )

    def batch_of(self, samples: int) -> int:
        """Samples per step, of so many in all."""
        return self.batch_size or batch_for(samples, most=128)

    def times(self, steps: int) -> int:
        """How often an epoch goes through the samples, when that takes so many steps."""
        return max(1, round((self.steps or 1) / (self.epochs * steps)))

    def told(self, samples: int) -> str:
        """The length in words, for so many samples; with a hint where it is too short for most networks."""
        samples = min(samples, self.samples or samples)
        once = math.ceil(samples / self.batch_of(samples))
        steps = once * self.times(once)
        words = f"{self.epochs} epochs of {steps} steps" if self.epochs > 1 else f"{steps} steps"
        return words if self.epochs * steps >= FEW_STEPS else f"{words}, few for a network: more epochs may help"

    def lasting(self, epochs: int | None) -> Training:
        """The same for another number of epochs, and then for no least number of steps; None changes nothing."""
        return self if epochs is None else self.model_copy(update={"epochs": epochs, "steps": None})


def usual(training: Training) -> WrapValidator:
    """What a mapping of settings leaves out is as in `training`; whoever gives `epochs` gives the steps too."""

    def fill(given: Any, parse: ModelWrapValidatorHandler[Training]) -> Training:
        found = parse(given)
        if not isinstance(given, Mapping):
            return found
        told = found.model_fields_set
        rest = training.model_fields_set - told - ({"steps"} if "epochs" in told else set())
        values = {**dict(found), **{name: getattr(training, name) for name in rest}}
        return Training.model_construct(_fields_set=set(told), **values)

    return WrapValidator(fill)


class Distillation(Settings):
    """How a student learns from a teacher: Hinton, Vinyals and Dean, arXiv:1503.02531."""

    temperature: float = Field(default=4.0, gt=0, description="how much the outputs of both are softened")
    weight: float = Field(
        default=0.7, ge=0, le=1, description="share of the teacher in the loss; the rest is the task's own loss"
    )


def learning_rate_factor(schedule: Schedule, *, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at `step` of `steps`; above 0 and at most 1.

    Taken at the middle of a step, so that even a training of one step learns something.
    """
    position = (step + 0.5) / steps
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * position))
    rise, start = 0.25, 0.04
    if position < rise:
        return start + (1 - start) * position / rise
    return 0.5 * (1 + math.cos(math.pi * (position - rise) / (1 - rise)))
