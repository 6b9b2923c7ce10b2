"""Running a model as it is: outputs for arrays, scores on a split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn

from netwright.core.errors import ConfigurationError, DataError, Mistake
from netwright.tasks.data import AnyArray, FloatArray, Preprocessing, Split

if TYPE_CHECKING:
    from netwright.tasks.task import Task

VALUES_AT_ONCE = 2**21
"""Input values in a batch at most: feature maps of large images are many times as large."""

SplitName = Literal["train", "validation", "test"]


def predict(
    model: nn.Module,
    inputs: AnyArray,
    *,
    batch_size: int = 512,
    device: str = "cpu",
    preprocessing: Preprocessing | None = None,
) -> FloatArray:
    """The model's outputs [N, ...] in float32 for inputs [N, *shape], in evaluation mode.

    Inputs are preprocessed float32, or as stored when `preprocessing` is given; batches of large inputs are smaller.
    The model ends as it was: same mode in every part, same device. Raises DataError when there are no inputs.
    """
    if len(inputs) == 0:
        raise DataError("there are no inputs to predict; give at least one")
    parts = []
    batch_size = max(1, min(batch_size, VALUES_AT_ONCE // max(1, prod(np.shape(inputs)[1:]))))
    with on_device(model, device) as place, evaluating(model), torch.inference_mode():
        for start in range(0, len(inputs), batch_size):
            batch = inputs[start : start + batch_size]
            ready = preprocessing(batch) if preprocessing else np.asarray(batch, np.float32)
            parts.append(model(torch.tensor(ready, device=place)).float().cpu().numpy())
    return np.concatenate(parts)


def evaluate(
    model: nn.Module, task: Task, split_name: SplitName, *, batch_size: int = 512, device: str = "cpu"
) -> dict[str, float]:
    """The task's scores of a model on one of its splits; `test` counts as a read of the test split."""
    data = task.data()
    if split_name == "test":
        return evaluate_split(model, task, task.test_split(), batch_size=batch_size, device=device)
    if split_name not in ("train", "validation"):
        raise DataError(f"no split is called {split_name!r} (known: train, validation, test)")
    split = data.train if split_name == "train" else data.validation
    return evaluate_split(model, task, split, batch_size=batch_size, device=device)


def evaluate_split(
    model: nn.Module, task: Task, split: Split, *, batch_size: int = 512, device: str = "cpu"
) -> dict[str, float]:
    """The task's scores of a model on samples at hand; lets a report read the test split once for many models."""
    preprocessing = task.data().preprocessing
    outputs = predict(model, split.inputs, batch_size=batch_size, device=device, preprocessing=preprocessing)
    return task.score(outputs, split.targets)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every part gets its own mode back, frozen ones too."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def on_device(model: nn.Module, device: str) -> Iterator[torch.device]:
    """The model on a device for a while; raises ConfigurationError when there is no such device."""
    place = usable_device(device)
    first = next(model.parameters(), None)
    home = place if first is None else first.device
    model.to(place)
    try:
        yield place
    finally:
        model.to(home)


def usable_device(device: str) -> torch.device:
    """The device of that name; raises ConfigurationError when this machine has none."""
    try:
        place = torch.device(device)
    except RuntimeError:
        raise ConfigurationError([Mistake("device", f"expected cpu, cuda or cuda:0, came {device!r}")]) from None
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError([Mistake("device", f"{device!r} is not on this machine; use cpu")])
    return place
