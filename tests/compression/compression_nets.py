"""Small networks that the tests compress: torch layers wired by a function, and traced graphs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from netwright.tasks.data import Arrays
from netwright.tasks.task import Task

Conv, Lin = nn.Conv2d, nn.Linear


class Net(nn.Module):
    """Layers by name, and a function that wires them: `wire(net, inputs)`."""

    def __init__(self, wire: Callable[[Any, torch.Tensor], torch.Tensor], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.wire = wire

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.wire(self, inputs)


class _Leaves(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return type(module).__module__.startswith("torch.nn")


def traced(net: nn.Module) -> fx.GraphModule:
    """The net as a graph module of plain torch layers, like the networks netwright builds."""
    graph = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(_Leaves().trace(net), values))
    for node in graph.nodes:
        node.type = None
    return fx.GraphModule(net, graph, class_name="Network").eval()


def thin(layer: nn.Module, rank: int) -> nn.Module:
    """The layer with weights of a low rank, so that factors fit it."""
    with torch.no_grad():
        shape = layer.weight.shape
        noise = 0.01 * torch.randn(shape) / shape[1] ** 0.5
        if len(shape) == 2:
            weight = torch.randn(shape[0], rank) @ torch.randn(rank, shape[1]) / (rank * shape[1]) ** 0.5
        else:
            core = torch.randn(rank, rank, *shape[2:])
            weight = (
                torch.einsum("oa,ab...,bi->oi...", torch.randn(shape[0], rank), core, torch.randn(rank, shape[1]))
                / (rank * rank * 9 * shape[1]) ** 0.5
            )
        layer.weight.copy_(weight + noise)
    return layer


def plain_cnn() -> nn.Module:
    return traced(
        Net(
            lambda s, x: s.head(torch.flatten(s.pool(torch.relu(s.two(s.act(s.norm(s.one(x)))))), 1)),
            one=Conv(1, 16, 3, padding=1),
            norm=nn.BatchNorm2d(16),
            act=nn.ReLU(),
            two=thin(Conv(16, 32, 3, padding=1), 4),
            pool=nn.MaxPool2d(2),
            head=Lin(32 * 16, 10),
        )
    )


def residual() -> nn.Module:
    def wire(s: Any, x: torch.Tensor) -> torch.Tensor:
        stem = s.stem_act(s.stem_norm(s.stem(x)))
        inner = s.b(torch.relu(s.a_norm(s.a(stem))))
        joined = torch.cat([torch.add(stem, inner), s.side(stem)], dim=1)
        return s.head(torch.flatten(s.pool(joined), 1))

    return traced(
        Net(
            wire,
            stem=Conv(1, 16, 3, padding=1),
            stem_norm=nn.BatchNorm2d(16),
            stem_act=nn.ReLU(inplace=True),
            a=thin(Conv(16, 32, 3, padding=1), 4),
            a_norm=nn.BatchNorm2d(32),
            b=Conv(32, 16, 3, padding=1),
            side=Conv(16, 8, 1),
            pool=nn.AdaptiveAvgPool2d(1),
            head=Lin(24, 10),
        )
    )


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), Lin(64, 64), nn.ReLU(), nn.Dropout(0.1), thin(Lin(64, 64), 4), nn.ReLU(), Lin(64, 10)
    ).eval()


def lstm() -> nn.Module:
    return traced(
        Net(
            lambda s, x: s.head(torch.relu(s.mid(s.rnn(s.enter(x))[0][:, -1]))),
            enter=thin(Lin(8, 32), 2),
            rnn=nn.LSTM(32, 24, batch_first=True),
            mid=thin(Lin(24, 32), 4),
            head=Lin(32, 10),
        )
    )


NETS = {"plain_cnn": plain_cnn, "residual": residual, "mlp": mlp, "lstm": lstm}


class DigitRows(Task):
    """The small digits read as 8 time steps of 8 features."""

    def load(self) -> Arrays:
        from sklearn.datasets import load_digits

        images, targets = load_digits(return_X_y=True)
        return Arrays(train=(images.reshape(-1, 8, 8).astype("float32"), targets.astype("int64")))


def shuffled(x: torch.Tensor, groups: int = 2) -> torch.Tensor:
    """ShuffleNet's channel shuffle."""
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


def _gated(s: Any, x: torch.Tensor) -> torch.Tensor:
    y = s.a(x)
    return s.f(mean(y * s.up(torch.relu(s.down(y.mean((2, 3), keepdim=True)))).sigmoid()))


def _unet(s: Any, x: torch.Tensor) -> torch.Tensor:
    down = torch.relu(s.a(x))
    up = s.u(torch.relu(s.b(F.max_pool2d(down, 2))))
    return s.f(mean(s.o(torch.cat([down, up], 1))))


def _unequal(s: Any, x: torch.Tensor) -> torch.Tensor:
    left, right = s.a(x).split([4, 12], 1)
    return s.f(mean(torch.cat([s.b(left), right], 1)))


def _halves(s: Any, x: torch.Tensor) -> torch.Tensor:
    left, right = s.a(x).chunk(2, 1)
    return s.f(mean(torch.cat([s.b(left), right], 1)))


IMAGE, SEQUENCE = (3, 4, 4), (7, 6)
# name: (net, input shape, layers whose channels must be proven removable, layers that must be refused)
WIRINGS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], set[str], set[str]]] = {
    "channel shuffle": (
        lambda: Net(
            lambda s, x: s.f(mean(s.b(shuffled(torch.relu(s.a(x)))))),
            a=Conv(3, 16, 3, padding=1),
            b=Conv(16, 16, 1),
            f=Lin(16, 10),
        ),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "NHWC flatten": (
        lambda: Net(
            lambda s, x: s.f(torch.relu(s.a(x)).permute(0, 2, 3, 1).flatten(1)),
            a=Conv(3, 16, 3, padding=1),
            f=Lin(256, 10),
        ),
        IMAGE,
        {"a"},
        {"f"},
    ),
    "pixel shuffle": (
        lambda: Net(
            lambda s, x: s.f(mean(s.b(F.pixel_shuffle(s.a(x), 2)))),
            a=Conv(3, 16, 3, padding=1),
            b=Conv(4, 8, 1),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "depthwise": (
        lambda: Net(
            lambda s, x: s.f(mean(s.c(s.b(s.a(x))))),
            a=Conv(3, 8, 1),
            b=Conv(8, 8, 3, groups=8),
            c=Conv(8, 12, 1),
            f=Lin(12, 10),
        ),
        IMAGE,
        {"b", "c"},
        {"f"},
    ),
    "depthwise multiplier": (
        lambda: Net(
            lambda s, x: s.f(mean(s.c(s.b(s.a(x))))),
            a=Conv(3, 8, 1),
            b=Conv(8, 16, 3, groups=8),
            c=Conv(16, 12, 1),
            f=Lin(12, 10),
        ),
        IMAGE,
        {"b", "c"},
        {"a", "f"},
    ),
    "grouped": (
        lambda: Net(
            lambda s, x: s.f(mean(s.c(s.b(s.a(x))))),
            a=Conv(3, 16, 1),
            b=Conv(16, 16, 3, groups=4),
            c=Conv(16, 12, 1),
            f=Lin(12, 10),
        ),
        IMAGE,
        {"a", "b", "c"},
        {"f"},
    ),
    "grouped transposed": (
        lambda: Net(
            lambda s, x: s.f(mean(s.c(s.b(s.a(x))))),
            a=Conv(3, 16, 1),
            b=nn.ConvTranspose2d(16, 16, 3, groups=4),
            c=Conv(16, 12, 1),
            f=Lin(12, 10),
        ),
        IMAGE,
        {"c"},
        {"a", "b", "f"},
    ),
    "chunk": (lambda: Net(_halves, a=Conv(3, 16, 1), b=Conv(8, 8, 1), f=Lin(16, 10)), IMAGE, {"a", "b"}, {"f"}),
    "split in unequal parts": (
        lambda: Net(_unequal, a=Conv(3, 16, 1), b=Conv(4, 8, 1), f=Lin(20, 10)),
        IMAGE,
        {"b"},
        {"a", "f"},
    ),
    "squeeze and excite": (
        lambda: Net(_gated, a=Conv(3, 16, 1), down=Conv(16, 8, 1), up=Conv(8, 16, 1), f=Lin(16, 10)),
        IMAGE,
        {"a", "down"},
        {"f"},
    ),
    "U-Net": (
        lambda: Net(
            _unet,
            a=Conv(3, 8, 3, padding=1),
            b=Conv(8, 16, 3, padding=1),
            u=nn.ConvTranspose2d(16, 8, 2, stride=2),
            o=Conv(16, 12, 1),
            f=Lin(12, 10),
        ),
        IMAGE,
        {"a", "b", "u", "o"},
        {"f"},
    ),
    "concatenation and flatten": (
        lambda: Net(
            lambda s, x: s.f(torch.cat([s.a(x), s.b(x)], 1).flatten(1)),
            a=Conv(3, 8, 1),
            b=Conv(3, 16, 1),
            f=Lin(24 * 16, 10),
        ),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "shared convolution": (
        lambda: Net(
            lambda s, x: s.f(mean(torch.relu(s.b(torch.relu(s.b(s.a(x))))))),
            a=Conv(3, 16, 1),
            b=Conv(16, 16, 3, padding=1),
            f=Lin(16, 10),
        ),
        IMAGE,
        {"b"},
        {"f"},
    ),
    "group norm": (
        lambda: Net(lambda s, x: s.f(mean(s.n(s.a(x)))), a=Conv(3, 16, 1), n=nn.GroupNorm(4, 16), f=Lin(16, 10)),
        IMAGE,
        set(),
        {"a", "f"},
    ),
    "layer norm": (
        lambda: Net(lambda s, x: s.f(s.n(s.a(x))), a=Lin(6, 16), n=nn.LayerNorm(16), f=Lin(16, 10)),
        (6,),
        set(),
        {"a", "f"},
    ),
    "sigmoid before the head": (
        lambda: Net(lambda s, x: s.f(s.a(x).sigmoid()), a=Lin(6, 16), f=Lin(16, 10)),
        (6,),
        set(),
        {"a", "f"},
    ),
    "bare parameter": (
        lambda: Net(
            lambda s, x: s.f(mean(s.a(x) * s.g)),
            a=Conv(3, 16, 1),
            g=nn.Parameter(torch.rand(1, 16, 1, 1)),
            f=Lin(16, 10),
        ),
        IMAGE,
        set(),
        {"a", "f"},
    ),
    "head behind normalisation": (
        lambda: Net(
            lambda s, x: s.n(s.f(torch.relu(s.a(x)))).log_softmax(1), a=Lin(6, 16), f=Lin(16, 10), n=nn.BatchNorm1d(10)
        ),
        (6,),
        {"a"},
        {"f"},
    ),
    "two heads added": (
        lambda: Net(lambda s, x: s.f(torch.relu(s.a(x))) + s.g(x), a=Lin(6, 16), f=Lin(16, 10), g=Lin(6, 10)),
        (6,),
        {"a"},
        {"f", "g"},
    ),
    "convolution into GRU": (
        lambda: Net(
            lambda s, x: s.f(s.r(torch.relu(s.a(x.transpose(1, 2))).transpose(1, 2))[0][:, -1]),
            a=nn.Conv1d(6, 16, 3, padding=1),
            r=nn.GRU(16, 12, batch_first=True),
            f=Lin(12, 10),
        ),
        SEQUENCE,
        {"a", "r"},
        {"f"},
    ),
    "image rows into LSTM": (
        lambda: Net(
            lambda s, x: s.f(s.r(torch.relu(s.a(x)).transpose(1, 2).flatten(2))[0].mean(1)),
            a=Conv(3, 8, 3, padding=1),
            r=nn.LSTM(32, 12, batch_first=True),
            f=Lin(12, 10),
        ),
        IMAGE,
        {"a", "r"},
        {"f"},
    ),
    "stacked bidirectional LSTM between Linear": (
        lambda: Net(
            lambda s, x: s.f(torch.relu(s.g(s.r(s.e(x))[0])).mean(1)),
            e=Lin(6, 8),
            r=nn.LSTM(8, 12, 2, batch_first=True, bidirectional=True),
            g=Lin(24, 16),
            f=Lin(16, 10),
        ),
        SEQUENCE,
        {"e", "r", "g"},
        {"f"},
    ),
    "LSTM state": (
        lambda: Net(lambda s, x: s.f(s.r(x)[1][0][-1]), r=nn.LSTM(6, 12, 2, batch_first=True), f=Lin(12, 10)),
        SEQUENCE,
        {"r"},
        {"f"},
    ),
    "sum of two LSTM": (
        lambda: Net(
            lambda s, x: s.f(s.r(x)[0][:, -1] + s.q(x)[0][:, -1]),
            r=nn.LSTM(6, 12, batch_first=True),
            q=nn.GRU(6, 12, batch_first=True),
            f=Lin(12, 10),
        ),
        SEQUENCE,
        {"r", "q"},
        {"f"},
    ),
    "LSTM with a projection": (
        lambda: Net(lambda s, x: s.f(s.r(x)[0][:, -1]), r=nn.LSTM(6, 12, proj_size=8, batch_first=True), f=Lin(8, 10)),
        SEQUENCE,
        set(),
        {"r", "f"},
    ),
    "LSTM giving the output": (
        lambda: Net(lambda s, x: s.r(x)[0][:, -1], r=nn.LSTM(6, 10, batch_first=True)),
        SEQUENCE,
        set(),
        {"r"},
    ),
}
