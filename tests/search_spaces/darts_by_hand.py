"""The network of DARTS written by hand in plain torch, from its description: what counts are checked against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Sides = Sequence[tuple[str, int]]


def separable(inputs: int, outputs: int, size: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (size - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(inputs, inputs, size, stride, padding, dilation, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Shifted(nn.Module):
    """Half of the size: even places by one convolution, odd ones by another."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


def operation(name: str, filters: int, stride: int) -> nn.Module:
    size = int(name[-1]) if name[-1].isdigit() else 0
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else Shifted(filters, filters)
    if name.startswith("sep_conv"):
        layers = separable(filters, filters, size, stride) + separable(filters, filters, size, 1)
        return nn.Sequential(*layers)
    if name.startswith("dil_conv"):
        return nn.Sequential(*separable(filters, filters, size, stride, dilation=2))
    if name == "conv_7x1_1x7":
        wide = nn.Conv2d(filters, filters, (1, 7), (1, stride), (0, 3), bias=False)
        high = nn.Conv2d(filters, filters, (7, 1), (stride, 1), (3, 0), bias=False)
        return nn.Sequential(nn.ReLU(), wide, high, nn.BatchNorm2d(filters))
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    assert name == "avg_pool_3x3"
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


def matched(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class Cell(nn.Module):
    def __init__(
        self, sides: Sides, concat: Sequence[int], before: int, last: int, filters: int, halves: bool, halved: bool
    ) -> None:
        super().__init__()
        self.sides, self.concat = list(sides), list(concat)
        self.before = Shifted(before, filters) if halved else matched(before, filters)
        self.last = matched(last, filters)
        steps = [operation(name, filters, 2 if halves and source < 2 else 1) for name, source in sides]
        self.steps = nn.ModuleList(steps)

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        states = [self.before(before), self.last(last)]
        for node in range(0, len(self.sides), 2):
            left, right = (self.steps[side](states[self.sides[side][1]]) for side in (node, node + 1))
            states.append(left + right)
        return torch.cat([states[state] for state in self.concat], 1)


class Network(nn.Module):
    def __init__(
        self,
        normal: Sides,
        normal_concat: Sequence[int],
        reduce: Sides,
        reduce_concat: Sequence[int],
        *,
        filters: int = 36,
        layers: int = 20,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * filters, 3, padding=1, bias=False), nn.BatchNorm2d(3 * filters))
        before = last = 3 * filters
        halved, cells = False, []
        for number in range(layers):
            halves = number in (layers // 3, 2 * layers // 3)
            filters *= 2 if halves else 1
            sides, concat = (reduce, reduce_concat) if halves else (normal, normal_concat)
            cells.append(Cell(sides, concat, before, last, filters, halves, halved))
            halved, before, last = halves, last, filters * len(concat)
        self.cells = nn.ModuleList(cells)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.classifier(last.mean((2, 3)))


def counts(model: nn.Module, size: int = 32) -> tuple[int, int]:
    """Parameters and multiply-accumulates, counted on the meta device."""
    model = model.to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, size, size, device="meta"))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2
