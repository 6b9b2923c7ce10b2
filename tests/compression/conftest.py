"""Contexts for the tests: the small digits as images or as rows, and a fresh network each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from compression_nets import NETS, DigitRows
from torch import nn

from netwright.compression.context import Context, make_context
from netwright.core.plugins import build
from netwright.tasks.settings import Training


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def context_of(tmp_path: Path) -> Callable[..., tuple[nn.Module, Context]]:
    """A network by name with the context of its task; fine-tuning is one short epoch."""

    def make(name: str, *, seed: int = 0, epochs: int = 1) -> tuple[nn.Module, Context]:
        torch.manual_seed(3)
        net = NETS[name]()
        task = DigitRows() if name == "lstm" else build("task", "digits")
        training = Training(epochs=epochs, samples=256, learning_rate=1e-3)
        return net, make_context(task, net, workspace=tmp_path, training=training, seed=seed)

    return make
