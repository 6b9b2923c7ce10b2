"""The order of values in memory that training chooses suits every network that runs outside of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.training import Training, fit


class Viewing(nn.Module):
    """A network that flattens by `view`, as many do, and so takes channels outermost alone."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1))
        self.head = nn.Linear(64 * 14 * 14, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.maps(images)
        return self.head(maps.view(maps.size(0), -1))


def test_a_network_that_views_its_maps_learns_from_grey_images(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (300, 28, 28)).astype(np.uint8)
    parts = {"x_train": grey, "y_train": np.arange(300) % 2, "x_test": grey[:50], "y_test": np.arange(50) % 2}
    np.savez(tmp_path / "grey.npz", **parts)
    task = ImageClassification(path=tmp_path / "grey.npz")
    assert len(fit(Viewing(), task, training=Training(epochs=1, batch_size=128), seed=0).rows) == 1
