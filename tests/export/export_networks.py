"""Small networks of every kind that the export tests share; in a module, so that the exporter can import them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from netwright.export.to_onnx import export_onnx


def _block(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def convnet() -> nn.Module:
    """A plain CNN for [1, 12, 12]."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]
    return _settled(nn.Sequential(_block(1, 8), nn.MaxPool2d(2), _block(8, 16), *head), (1, 12, 12))


class Separable(nn.Module):
    """Depthwise and grouped convolutions, a shortcut and a transposed convolution, for [3, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(3, 8)
        self.depthwise = _block(8, 8, groups=8)
        self.up = nn.ConvTranspose2d(8, 6, 2, 2)
        self.head = nn.Sequential(nn.Conv2d(6, 6, 3, groups=2), nn.Flatten(), nn.Linear(6 * 14 * 14, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.up(x + self.depthwise(x)))


def separable() -> nn.Module:
    return _settled(Separable(), (3, 8, 8))


class Recurrent(nn.Module):
    """A recurrent layer and a linear head on its last step, for [time, 5]."""

    def __init__(self, kind: type[nn.RNNBase], *, layers: int = 1, bidirectional: bool = False) -> None:
        super().__init__()
        self.recurrent = kind(5, 8, layers, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(16 if bidirectional else 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


class Attention(nn.Module):
    """Self-attention over a sequence [6, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        nn.init.normal_(self.attention.out_proj.bias)  # the exporter drops a bias of zeros
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))


def mlp() -> nn.Module:
    return _settled(nn.Sequential(nn.Flatten(), nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 4)), (1, 12, 12))


class Refused(nn.Module):
    """Computes something that no exporter can follow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1.0 if np.asarray(x.detach().numpy()).sum() > 0 else 2.0)


class Deciding(nn.Module):
    """Takes one of two ways by what comes in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.mean() > 0:
            return x * 2
        return x


class Crashing(nn.Module):
    """Takes the process down with it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import os

        os.abort()


def _settled(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """The model with fixed weights and batch-norm statistics that belong to its inputs."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
        model.train()
        for _ in range(5):
            model(torch.randn(64, *shape, generator=generator))
    return model.eval()


def samples(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)


NETWORKS = {
    "convnet": (convnet, (1, 12, 12)),
    "separable": (separable, (3, 8, 8)),
    "mlp": (mlp, (1, 12, 12)),
    "attention": (Attention, (6, 8)),
    "lstm": (lambda: Recurrent(nn.LSTM, bidirectional=True), (9, 5)),
    "gru": (lambda: Recurrent(nn.GRU), (9, 5)),
}


class Exported:
    """Networks by name, each exported when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models: dict[str, nn.Module] = {}

    def model(self, name: str) -> nn.Module:
        if name not in self._models:
            self._models[name] = NETWORKS[name][0]().eval()
        return self._models[name]

    def shape(self, name: str) -> tuple[int, ...]:
        return NETWORKS[name][1]

    def file(self, name: str) -> Path:
        path = self._folder / f"{name}.onnx"
        if not path.exists():
            export_onnx(self.model(name), path, example=samples(1, *self.shape(name)))
        return path
