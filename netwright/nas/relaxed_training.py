"""How a relaxed network is trained, as settings: light to import."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from netwright.core.config import Settings
from netwright.core.errors import ConfigurationError, Mistake

Temperature = Annotated[float, Field(gt=0)]


class RelaxedTraining(Settings):
    """How weights and strengths of options are trained in turn."""

    epochs: int = Field(default=25, ge=1, description="passes over the half of the samples that trains the weights")
    batch_size: int | None = Field(
        default=None,
        ge=2,
        description="samples per step, of each half; default: 64, and down to 16 where an epoch would have fewer than "
        "20 steps",
    )
    samples: int | None = Field(default=None, ge=4, description="use only so many training samples; default: all")
    learning_rate: float = Field(default=0.025, gt=0, description="of the weights, at the start; falls as a cosine")
    weight_decay: float = Field(default=3e-4, ge=0, description="of weight matrices")
    gradient_clip: float = Field(default=5.0, gt=0, description="largest norm of the weights' gradients together")
    strength_rate: float = Field(default=3e-4, gt=0, description="learning rate of the strengths (Adam)")
    strength_decay: float = Field(default=1e-3, ge=0, description="decay of the strengths")
    warm_up: int = Field(default=0, ge=0, description="epochs in which only the weights are trained")
    temperature: tuple[Temperature, Temperature] = Field(
        default=(10.0, 0.1), description="of gdas, in the first and last epoch"
    )
    anchor: float = Field(default=1e-3, ge=0, description="weight of the distance to a uniform distribution, of drnas")
    most_skips: float = Field(
        default=0.5, gt=0, le=1,
        description="stop when skips win more than this share of the decisions that have one; 1: never",
    )  # fmt: skip

    @model_validator(mode="after")
    def _strengths_are_moved(self) -> Self:
        if self.warm_up >= self.epochs:
            what = f"leaves no epoch that moves the strengths: epochs is {self.epochs}"
            raise ConfigurationError([Mistake("warm_up", what)])
        return self
