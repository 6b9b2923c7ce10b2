"""Well-known networks written out in plain torch, to check the counters against published figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F


def _conv_bn(inputs: int, outputs: int, kernel: int | tuple[int, int], **settings: object) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, bias=False, **settings),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def alexnet() -> nn.Module:
    """Krizhevsky 2014, the one-tower variant."""
    layers: list[nn.Module] = []
    channels = 3
    for outputs, kernel, stride, padding, pool in (
        (64, 11, 4, 2, True),
        (192, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ):
        layers += [nn.Conv2d(channels, outputs, kernel, stride, padding), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(3, 2)] if pool else []
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(6), nn.Flatten(), *_classifier(256 * 36))


def _classifier(inputs: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 1000),
    ]


def vgg16() -> nn.Module:
    """Simonyan and Zisserman 2015, configuration D."""
    layers: list[nn.Module] = []
    channels = 3
    for width, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *_classifier(512 * 49))


class Residual(nn.Module):
    """A body, a shortcut that fits it, and their sum."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, *, activate: bool = True) -> None:
        super().__init__()
        self.body, self.shortcut, self.activate = body, shortcut, activate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x) + self.shortcut(x)
        return F.relu(y) if self.activate else y


def _resnet(repeats: tuple[int, ...], *, bottleneck: bool) -> nn.Module:
    """He et al. 2016; bottlenecks stride in their 3x3 convolution (v1.5)."""
    layers: list[nn.Module] = [_conv_bn(3, 64, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, count in enumerate(repeats):
        width = 64 << stage
        outputs = width * 4 if bottleneck else width
        for index in range(count):
            stride = 2 if stage and not index else 1
            layers.append(_residual(channels, width, outputs, stride, bottleneck=bottleneck))
            channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def _residual(channels: int, width: int, outputs: int, stride: int, *, bottleneck: bool) -> Residual:
    if bottleneck:
        body = [_conv_bn(channels, width, 1), _conv_bn(width, width, 3, stride=stride, padding=1)]
        last = nn.Conv2d(width, outputs, 1, bias=False)
    else:
        body = [_conv_bn(channels, width, 3, stride=stride, padding=1)]
        last = nn.Conv2d(width, outputs, 3, padding=1, bias=False)
    shortcut: nn.Module = nn.Identity()
    if stride != 1 or channels != outputs:
        projection = nn.Conv2d(channels, outputs, 1, stride, bias=False)
        shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))
    return Residual(nn.Sequential(*body, last, nn.BatchNorm2d(outputs)), shortcut)


def resnet18() -> nn.Module:
    return _resnet((2, 2, 2, 2), bottleneck=False)


def resnet50() -> nn.Module:
    return _resnet((3, 4, 6, 3), bottleneck=True)


def mobilenet_v2() -> nn.Module:
    """Sandler et al. 2018, width 1."""
    layers: list[nn.Module] = [_conv_bn(3, 32, 3, stride=2, padding=1)]
    channels = 32
    for expand, outputs, repeats, first_stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for index in range(repeats):
            stride = first_stride if index == 0 else 1
            hidden = channels * expand
            body = [_conv_bn(channels, hidden, 1)] if expand > 1 else []
            body.append(_conv_bn(hidden, hidden, 3, stride=stride, padding=1, groups=hidden))
            block = nn.Sequential(*body, nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
            same = stride == 1 and channels == outputs
            layers.append(Residual(block, nn.Identity(), activate=False) if same else block)
            channels = outputs
    head = [_conv_bn(channels, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, *head, nn.Linear(1280, 1000))


class Concatenate(nn.Module):
    """Several branches on one input, concatenated over channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def densenet121() -> nn.Module:
    """Huang et al. 2017: growth 32, pre-activation bottlenecks of 4 x growth, halving transitions."""
    layers: list[nn.Module] = [_conv_bn(3, 64, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for block, repeats in enumerate((6, 12, 24, 16)):
        for _ in range(repeats):
            body = [*_pre_activated(channels, 128, 1), *_pre_activated(128, 32, 3)]
            layers.append(Concatenate(nn.Identity(), nn.Sequential(*body)))
            channels += 32
        if block < 3:
            layers += [*_pre_activated(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
    tail = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *tail, nn.Linear(channels, 1000))


def _pre_activated(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [nn.BatchNorm2d(inputs), nn.ReLU(), conv]


def _pooled(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), _conv_bn(inputs, outputs, 1))


def _inception_a(inputs: int, pooled: int) -> nn.Module:
    return Concatenate(
        _conv_bn(inputs, 64, 1),
        nn.Sequential(_conv_bn(inputs, 48, 1), _conv_bn(48, 64, 5, padding=2)),
        nn.Sequential(_conv_bn(inputs, 64, 1), _conv_bn(64, 96, 3, padding=1), _conv_bn(96, 96, 3, padding=1)),
        _pooled(inputs, pooled),
    )


def _wide(inputs: int, outputs: int) -> nn.Sequential:
    return _conv_bn(inputs, outputs, (1, 7), padding=(0, 3))


def _tall(inputs: int, outputs: int) -> nn.Sequential:
    return _conv_bn(inputs, outputs, (7, 1), padding=(3, 0))


def _inception_c(width: int) -> nn.Module:
    double = [_conv_bn(768, width, 1), _tall(width, width), _wide(width, width), _tall(width, width)]
    return Concatenate(
        _conv_bn(768, 192, 1),
        nn.Sequential(_conv_bn(768, width, 1), _wide(width, width), _tall(width, 192)),
        nn.Sequential(*double, _wide(width, 192)),
        _pooled(768, 192),
    )


def _inception_e(inputs: int) -> nn.Module:
    def forked() -> nn.Module:
        return Concatenate(_conv_bn(384, 384, (1, 3), padding=(0, 1)), _conv_bn(384, 384, (3, 1), padding=(1, 0)))

    return Concatenate(
        _conv_bn(inputs, 320, 1),
        nn.Sequential(_conv_bn(inputs, 384, 1), forked()),
        nn.Sequential(_conv_bn(inputs, 448, 1), _conv_bn(448, 384, 3, padding=1), forked()),
        _pooled(inputs, 192),
    )


class InceptionV3(nn.Module):
    """Szegedy et al. 2016; the auxiliary head counts as parameters but does not run in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        stem = [_conv_bn(3, 32, 3, stride=2), _conv_bn(32, 32, 3), _conv_bn(32, 64, 3, padding=1)]
        stem += [nn.MaxPool2d(3, 2), _conv_bn(64, 80, 1), _conv_bn(80, 192, 3), nn.MaxPool2d(3, 2)]
        shrink_b = Concatenate(
            _conv_bn(288, 384, 3, stride=2),
            nn.Sequential(_conv_bn(288, 64, 1), _conv_bn(64, 96, 3, padding=1), _conv_bn(96, 96, 3, stride=2)),
            nn.MaxPool2d(3, 2),
        )
        shrink_d = Concatenate(
            nn.Sequential(_conv_bn(768, 192, 1), _conv_bn(192, 320, 3, stride=2)),
            nn.Sequential(_conv_bn(768, 192, 1), _wide(192, 192), _tall(192, 192), _conv_bn(192, 192, 3, stride=2)),
            nn.MaxPool2d(3, 2),
        )
        first = [_inception_a(192, 32), _inception_a(256, 64), _inception_a(288, 64), shrink_b]
        middle = [_inception_c(width) for width in (128, 160, 160, 192)]
        self.body = nn.Sequential(*stem, *first, *middle)
        self.auxiliary = nn.Sequential(
            nn.AvgPool2d(5, 3),
            _conv_bn(768, 128, 1),
            _conv_bn(128, 768, 5),
            nn.Flatten(),
            nn.Linear(768, 1000),
        )
        self.tail = nn.Sequential(shrink_d, _inception_e(1280), _inception_e(2048))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        if self.training:
            self.auxiliary(x)
        return self.head(self.tail(x))


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "alexnet": alexnet,
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "densenet121": densenet121,
    "inception_v3": InceptionV3,
}
