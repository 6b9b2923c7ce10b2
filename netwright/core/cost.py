"""What a network costs to keep and to run once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters, multiply-accumulates of one inference and peak activation memory, at batch 1."""

    params: int
    macs: int
    peak_activation_bytes: int
