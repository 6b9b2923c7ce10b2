"""What a recipe with open fields is searched for, and how long."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from netwright.core.config import Settings
from netwright.core.errors import ConfigurationError, Mistake, suggestion

FIGURES = ("accuracy", "latency_ms", "params", "macs", "size_bytes", "coded_bytes", "peak_activation_bytes")


class Solve(Settings):
    """What a recipe with open fields is searched for."""

    minimize: tuple[str, ...] = Field(
        default=("size_bytes",),
        min_length=1,
        description="figures to make small, the most important first: " + ", ".join(FIGURES[1:]),
    )
    trials: int = Field(default=20, ge=1, description="settings to try in all")
    strategy: Any = Field(default="tpe", description="who proposes settings; see `netwright list strategies`")
    order: Literal["joint", "pass_by_pass"] = Field(
        default="joint", description="search all passes together, or one after the other with the earlier ones fixed"
    )
    sensitivity: bool = Field(
        default=True, description="measure first what each layer group bears, and leave out what is hopeless"
    )
    samples: int = Field(default=1000, ge=1, description="validation samples that sensitivities are measured on")
    hopeless: float = Field(
        default=0.5, gt=0, le=1, description="share of the score whose loss, untrained, makes a setting hopeless"
    )
    margin: float = Field(
        default=0.1, ge=0, description="share by which a prediction must break a bound to end a try before training"
    )

    @field_validator("minimize", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("minimize")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [
            Mistake("", f"{one!r} cannot be minimised{suggestion(one, FIGURES[1:])}")
            for one in value
            if one not in FIGURES[1:]
        ]
        if wrong:
            raise ConfigurationError(wrong)
        return value
