"""A search space whose networks each go wrong in another way while they are trained, and data that never come."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from netwright.core.shapes import Shape, Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.data import Arrays
from netwright.tasks.kinds.digits import Digits


class Stopping(Digits):
    """Data during whose reading somebody presses Ctrl-C."""

    def load(self) -> Arrays:
        raise KeyboardInterrupt


FATES = ("none", "bug", "exit", "killed", "nan", "memory")
"""Those that end by themselves; `hang` does not."""


class FatedModule(nn.Module):
    """Passes its input on, unless its fate strikes while it is trained."""

    def __init__(self, fate: str) -> None:
        super().__init__()
        self.fate = fate

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return values
        match self.fate:
            case "bug":
                raise ValueError("a bug in the network")
            case "exit":
                os._exit(3)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(1000)
            case "memory":
                raise MemoryError("cannot have so much memory")
            case "nan":
                return values * float("nan")
        return values


class Fate(Operation):
    """One way of going wrong."""

    fate: str

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        return FatedModule(self.fate)


class Treacherous(SearchSpace):
    """Logistic regression with a fate."""

    fates: tuple[str, ...] = FATES

    def decide(self, choose: Chooser) -> Any:
        return choose.one_of("fate", self.fates)

    def lower(self, plan: Any, net: GraphBuilder, shapes: Shapes) -> Tensor:
        return net.chain(net.input, Flatten(), Linear(features=shapes.output), Fate(fate=plan))
