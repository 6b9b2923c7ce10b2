"""The base of every zero-cost proxy: how good an untrained network is likely to become, from one batch."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from netwright.core.cost import Cost
from netwright.core.errors import NetwrightError
from netwright.core.plugins import Plugin, name_of

if TYPE_CHECKING:
    import torch
    from torch import nn

Loss: TypeAlias = "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]"
"""Outputs and targets to a scalar, such as `Task.loss`."""


class NoScoreError(NetwrightError):
    """A proxy that cannot score a network; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a proxy may look at: preprocessed inputs [N, *shape], their targets, and the task's loss."""

    inputs: torch.Tensor
    targets: torch.Tensor
    loss: Loss


class Proxy(Plugin, ABC):
    """A number that says, before any training, how good a network is likely to become: larger is better.

    Scores are for ranking networks of one space: their size means nothing. A subclass writes `evaluate`.
    Always compare a proxy with `macs`, which needs no network at all (Abdelfattah et al., 2021).
    """

    needs: ClassVar[Literal["cost", "batch"]] = "batch"
    """`cost`: the layer graph's cost alone, see `of_cost`; `batch`: the built network and a batch of data."""

    seed: int = Field(default=0, ge=0, description="fixes what a proxy draws at random, such as weights or inputs")

    @abstractmethod
    def evaluate(self, model: nn.Module, batch: Batch) -> float | Mapping[str, float]:
        """The score, or several parts of it by name. The model is a copy: it may be changed."""

    def of_cost(self, cost: Cost) -> float:
        """The score of a network of this cost; only of proxies that need no more."""
        raise NotImplementedError(f"{name_of(self)} needs a batch")

    def total(self, parts: Mapping[str, float]) -> float:
        """One number for all parts, where there is no pool of networks to rank."""
        (value,) = parts.values()
        return value

    def score(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, loss: Loss) -> float:
        """The score of a network as it is, untrained; equal arguments give equal scores.

        `inputs` are preprocessed, [N, *shape]. The model and the global random numbers stay as they were.
        Raises NoScoreError when there is no finite number.
        """
        return self.total(self.parts(model, inputs, targets, loss))

    def parts(self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, loss: Loss) -> dict[str, float]:
        """What the score is made of, by name; of most proxies just the score. Raises NoScoreError."""
        name = name_of(self)
        with _own_copy(model, self.seed) as own:
            try:
                found = self.evaluate(own, Batch(inputs, targets, loss))
            except (RuntimeError, ValueError, FloatingPointError) as error:
                # a network without a path for gradients, a singular matrix
                raise NoScoreError(f"{name} cannot score this network: {error}") from error
        parts = dict(found) if isinstance(found, Mapping) else {name: found}
        for part, value in parts.items():
            try:
                parts[part] = float(value)
            except (TypeError, ValueError):
                expected = "expected a number, or several by name"
                raise NetwrightError(f"`evaluate` of the proxy {name!r} answered {found!r:.100}; {expected}") from None
            if not math.isfinite(parts[part]):
                what = name if part == name else f"the part {part!r} of {name}"
                raise NoScoreError(f"{what} is {value} for this network")
        return parts


@contextmanager
def _own_copy(model: nn.Module, seed: int) -> Iterator[nn.Module]:
    """A copy in training mode, gradients on, with random numbers of its own for a while."""
    import torch

    places = [p.device for p in model.parameters() if p.device.type == "cuda"][:1]
    with torch.random.fork_rng(devices=places), torch.enable_grad():
        torch.manual_seed(seed)
        own = copy.deepcopy(model).train()
        for parameter in own.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
        yield own
