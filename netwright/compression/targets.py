"""How much to remove: a share of the channels, or what brings a measured cost nearest to its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from netwright.compression.allocation import Limits, Ranked, Scope, allocate
from netwright.compression.surgery import remove
from netwright.evaluation.profile import profile

if TYPE_CHECKING:
    from netwright.compression.coupling import Coupling
    from netwright.compression.criterion import Criterion
    from netwright.compression.latency_target import LatencyRuler

DEFAULT_RATIO = 0.3
"""Mild enough to be kept after a short fine-tuning in most networks."""
MACS_ROUNDS, LATENCY_ROUNDS = 12, 7
CLOSE_ENOUGH = 0.02
"""A measured latency share within this of its target is taken: measurements differ by about as much."""


class PruningSettings(Protocol):
    """What a pruning step is told; the fields of the structured pruning pass."""

    @property
    def ratio(self) -> float | None: ...
    @property
    def macs(self) -> float | None: ...
    @property
    def latency(self) -> float | None: ...
    @property
    def criterion(self) -> Criterion: ...
    @property
    def scope(self) -> Scope: ...
    @property
    def round_to(self) -> int: ...
    @property
    def min_channels(self) -> int: ...
    @property
    def max_ratio(self) -> float: ...
    @property
    def steps(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Start:
    """The network before the first step: its multiply-accumulates, the width of each coupling, its latency's ruler."""

    macs: int
    sizes: Mapping[str, int]
    ruler: LatencyRuler | None = None


def choose_channels(
    module: nn.Module,
    couplings: Sequence[Coupling],
    ranked: Mapping[str, Ranked],
    settings: PruningSettings,
    example: torch.Tensor,
    *,
    step: int,
    start: Start,
) -> Mapping[str, tuple[int, ...]]:
    """The channels that go in this step, by coupling: for the ratio of the step, or the one nearest to its target."""
    limits = Limits(settings.round_to, settings.min_channels, settings.max_ratio)

    def chosen(ratio: float) -> Mapping[str, tuple[int, ...]]:
        return allocate([ranked[c.name] for c in couplings], ratio=ratio, scope=settings.scope, limits=limits)

    def smaller(ratio: float) -> nn.Module:
        gone = chosen(ratio)
        return remove(module, [cut for c in couplings for cut in c.cuts(gone.get(c.name, ()))])

    def target(share: float) -> float:
        return 1 - (1 - share) * step / settings.steps

    if settings.macs is not None:
        macs = target(settings.macs)
        return chosen(_bisect(lambda r: profile(smaller(r), example).macs / max(start.macs, 1) - macs))
    if settings.latency is not None and start.ruler is not None:
        latency, ruler = target(settings.latency), start.ruler
        return chosen(_bisect(lambda r: ruler.share(smaller(r)) - latency, rounds=LATENCY_ROUNDS, enough=CLOSE_ENOUGH))
    return chosen((settings.ratio or DEFAULT_RATIO) * step / settings.steps)


def _bisect(distance: Callable[[float], float], *, rounds: int = MACS_ROUNDS, enough: float = 0.0) -> float:
    """The ratio in (0, 1) with the smallest absolute distance met while halving the interval."""
    low, high = 0.0, 1.0
    tried: dict[float, float] = {0.0: distance(0.0)}
    for _ in range(rounds):
        if abs(min(tried.values(), key=abs)) <= enough:
            break
        middle = (low + high) / 2
        tried[middle] = distance(middle)
        low, high = (middle, high) if tried[middle] > 0 else (low, middle)
    return min(tried, key=lambda ratio: (abs(tried[ratio]), ratio))
