"""How a supernet is trained and its paths are scored, as settings: light to import."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from netwright.core.config import Settings
from netwright.core.errors import ConfigurationError, Mistake


class SupernetTraining(Settings):
    """How a supernet is trained, and how one of its architectures is scored."""

    epochs: int = Field(default=30, ge=1, description="passes over the training samples")
    batch_size: int | None = Field(
        default=None,
        ge=2,
        description="samples per step; default: 64, and down to 16 where an epoch would have fewer than 20 steps",
    )
    learning_rate: float = Field(default=0.05, gt=0, description="at the start; falls as a cosine")
    weight_decay: float = Field(default=3e-4, ge=0, description="decay of weight matrices")
    gradient_clip: float | None = Field(default=5.0, gt=0, description="largest norm of all gradients together")
    samples: int | None = Field(default=None, ge=2, description="use only so many training samples; default: all")
    paths: int = Field(default=1, ge=1, description="architectures drawn for each step")
    sandwich: bool = Field(
        default=False,
        description="train the largest and the smallest in each step too, all learning from the largest's outputs",
    )
    shrinking: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description="instead of sandwich: train the largest alone first, then open these decisions phase by phase, "
        "such as [[kernel], [depth], [expansion, width]]",
    )
    calibration_samples: int = Field(
        default=512, ge=2, description="training samples that batch statistics are found from before scoring"
    )
    validation_samples: int | None = Field(
        default=None, ge=1, description="validation samples to score on; default: all"
    )

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        if self.shrinking and self.sandwich:
            raise ConfigurationError([Mistake("shrinking", "and sandwich are two ways; give one of them")])
        if any(not words for words in self.shrinking):
            raise ConfigurationError([Mistake("shrinking", "has a phase that names no decision; take it out")])
        if self.shrinking and self.epochs <= len(self.shrinking):
            what = f"has {len(self.shrinking) + 1} phases with that of the largest alone, but epochs is {self.epochs}"
            raise ConfigurationError([Mistake("shrinking", f"{what}; give each phase one epoch at least")])
        return self
