"""How a supernet is trained and its paths are scored, as settings: light to import."""

from __future__ import annotations

from pydantic import Field

from netwright.core.config import Settings


class SupernetTraining(Settings):
    """How a supernet is trained, and how one of its architectures is scored."""

    epochs: int = Field(default=30, ge=1, description="passes over the training samples")
    batch_size: int = Field(default=64, ge=2, description="samples per step")
    learning_rate: float = Field(default=0.05, gt=0, allow_inf_nan=False, description="at the start; falls as a cosine")
    weight_decay: float = Field(default=3e-4, ge=0, allow_inf_nan=False, description="decay of weight matrices")
    gradient_clip: float | None = Field(default=5.0, gt=0, description="largest norm of all gradients together")
    samples: int | None = Field(default=None, ge=2, description="use only so many training samples; default: all")
    paths: int = Field(default=1, ge=1, description="architectures drawn for each step")
    sandwich: bool = Field(
        default=False,
        description="train the largest and the smallest in each step too, all learning from the largest's outputs",
    )
    calibration_samples: int = Field(
        default=512, ge=2, description="training samples that batch statistics are found from before scoring"
    )
    validation_samples: int | None = Field(
        default=None, ge=1, description="validation samples to score on; default: all"
    )
