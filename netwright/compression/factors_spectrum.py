"""Ranks of weights by a rule, from the singular values of their matrices."""

from __future__ import annotations

from collections.abc import Collection
from math import ceil, gcd
from typing import Literal, Protocol

import torch

from netwright.compression.factors_vbmf import vbmf_rank

Method = Literal["auto", "tucker", "spatial", "cp"]
LEFT = 1 - 1e-7
"""Where ranks are learned, the energy that counts as all: singular values above are rounding."""


class FactorSettings(Protocol):
    """What planning is told; the fields of the low-rank pass."""

    @property
    def method(self) -> Method: ...
    @property
    def energy(self) -> float: ...
    @property
    def ratio(self) -> float | None: ...
    @property
    def vbmf(self) -> bool: ...
    @property
    def learned(self) -> float | None: ...
    @property
    def budget(self) -> float | None: ...
    @property
    def budget_of(self) -> Literal["macs", "params"]: ...
    @property
    def min_gain(self) -> float: ...
    @property
    def ignore(self) -> Collection[str]: ...


def round_rank(rank: float, *, full: int, groups: int = 1) -> int:
    """A rank rounded up to a multiple of 8, or of 4 where the full rank is below 32; never above it.

    Of channels in groups, all groups together have such a multiple.

    >>> [round_rank(rank, full=64) for rank in (1, 8, 9, 63)], round_rank(5, full=16), round_rank(1, full=7, groups=16)
    ([8, 8, 16, 64], 8, 1)
    """
    unit = 8 if full * groups >= 32 else 4
    unit //= gcd(unit, groups)
    return min(full, max(unit, ceil(rank / unit) * unit))


class Spectrum:
    """The squared singular values of a matrix, or of several [..., rows, columns] together, as shares of their sum."""

    def __init__(self, matrix: torch.Tensor, groups: int = 1) -> None:
        self.matrix, self.groups = matrix.detach().double().cpu(), groups
        self.full = min(matrix.shape[-2:])
        squared = torch.linalg.svdvals(self.matrix).square().reshape(-1, self.full).sum(0)
        total = squared.sum()
        self.kept = squared.cumsum(0) / total if total > 0 else torch.ones_like(squared)

    def rank(self, energy: float) -> int:
        """The least rank whose squared singular values hold this share of all."""
        return min(self.full, int((self.kept < energy).sum().item()) + 1)

    def lost(self, rank: int) -> float:
        """The share of the energy above a rank."""
        return max(0.0, 1 - float(self.kept[rank - 1]))

    def ruled(self, settings: FactorSettings) -> int:
        """The rank by the settings' rule, rounded."""
        if settings.ratio is not None:
            wanted: float = settings.ratio * self.full
        elif settings.vbmf:
            wanted = max(vbmf_rank(one) for one in self.matrix.reshape(-1, *self.matrix.shape[-2:]).numpy())
        else:
            wanted = self.rank(settings.energy if settings.learned is None else LEFT)
        return self.rounded(wanted)

    def rounded(self, rank: float) -> int:
        return round_rank(rank, full=self.full, groups=self.groups)
