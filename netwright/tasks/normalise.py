"""`Preprocessing` on tensors, where they are."""

from __future__ import annotations

import torch

from netwright.tasks.data import Preprocessing


class Normalise:
    """Stored inputs [N, *shape] as the network's, float32 of the same shape, on the device of `like`."""

    def __init__(self, preprocessing: Preprocessing, like: torch.Tensor) -> None:
        shape = preprocessing.shape(like.ndim)
        self.scale = preprocessing.scale
        self.mean = torch.tensor(preprocessing.mean, device=like.device).reshape(shape)
        self.std = torch.tensor(preprocessing.std, device=like.device).reshape(shape)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs.float() * self.scale - self.mean) / self.std
