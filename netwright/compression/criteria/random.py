"""Chance, the control that every criterion must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from netwright.compression.criterion import Part


class Random(Criterion):
    """Drawn from the seed: what a criterion gains is seen beside this one."""

    def chosen(self, parts: Sequence[Part]) -> Sequence[Part]:
        return parts[:1]

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.rand(sum(len(block) for block in part.blocks), generator=part.random, dtype=torch.float64)
