"""The base of every importance criterion: what makes a channel worth keeping."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from netwright.core.errors import NetwrightError
from netwright.core.plugins import Plugin, name_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netwright.compression.surgery import Role


@dataclass(frozen=True, slots=True)
class Part:
    """One side of one layer: the weights that each of its channels owns.

    `blocks` are matrices [channels, weights per channel] in double precision, one after the other in the layer's
    own numbering. Most layers have one; a grouped convolution's input side has one per group, a recurrent layer one
    per stacked layer and direction. `gradients` has the same shapes, or is empty when the criterion asks for none.
    `random` is the generator to draw from.
    """

    layer: nn.Module
    role: Role
    blocks: tuple[torch.Tensor, ...]
    gradients: tuple[torch.Tensor, ...]
    random: torch.Generator

    @property
    def pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Each block with its gradient."""
        return list(zip(self.blocks, self.gradients, strict=True))


class Criterion(Plugin):
    """Scores channels; those with the lowest score are removed first.

    A channel runs through several layers: the one that gives it, its normalisation, the ones that take it. `scores`
    is asked for each of them, and the average counts.
    """

    def gradients(self) -> int:
        """How many gradients to look at: 0 for none, 1 for that of all calibration data, n for those of n samples.

        With several, `scores` is asked for each, and the average counts.
        """
        return 0

    def chosen(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The layers that are asked; by default all."""
        return parts

    @abstractmethod
    def scores(self, part: Part) -> torch.Tensor:
        """One value, not negative, for each channel of one layer's side, [channels]."""

    @final
    def asked(self, part: Part) -> torch.Tensor:
        """What `scores` answers, in double precision; raises NetwrightError unless each channel has a finite value."""
        import torch

        found: object = self.scores(part)
        wanted = (sum(map(len, part.blocks)),)
        if isinstance(found, torch.Tensor) and found.shape == wanted and bool(found.isfinite().all()):
            return found.double()
        came = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else f"{found!r:.100}"
        expected = f"expected a tensor of shape {wanted}, a finite value for each channel"
        raise NetwrightError(f"`scores` of the criterion {name_of(self)!r} answered {came}; {expected}")

    def finished(self, scores: torch.Tensor) -> torch.Tensor:
        """The scores of a set of coupled channels [slots, size] as they are compared with those of other sets.

        By default they are scaled to the mean 1, so that the least important go first within every set. A slot is a
        group of a convolution, or one layer and direction of a recurrent one.
        """
        import torch

        mean = scores.mean()
        return scores / mean if mean > 0 else torch.ones_like(scores)
