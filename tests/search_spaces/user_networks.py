"""Networks as a user might write them in plain torch; what `space_from_model` is tried on, and comparisons."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from netwright.search_spaces.channels import places
from netwright.search_spaces.spaces.from_model import FromModel


class Vgg(nn.Module):
    """Convolutions, pooling, a flattened image, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.fc1 = nn.Linear(32 * 4 * 4, 40)
        self.fc2 = nn.Linear(40, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        x = x.view(x.size(0), -1)
        x = F.dropout(torch.tanh(self.fc1(x)), 0.3, self.training)
        return self.fc2(x)


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """The wiring of ResNet-18, narrower, for small images."""

    def __init__(self, width: int = 16, classes: int = 7) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(width, width, 1), BasicBlock(width, width, 1))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width, 1))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class DenseBlock(nn.Module):
    """Every layer reads all before it; the image is flattened at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 12, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(20)
        self.conv2 = nn.Conv2d(20, 16, 3, padding=1)
        self.pool = nn.AvgPool2d(4)
        self.fc = nn.Linear(36 * 4 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.stem(x)
        features = [first, self.conv1(F.relu(self.norm1(first)))]
        features.append(self.conv2(F.relu(self.norm2(torch.cat(features, 1)))))
        return self.fc(self.pool(F.relu(torch.cat(features, dim=1))).flatten(1))


class SqueezeExcite(nn.Module):
    """A depthwise convolution of two filters a channel, and channels scaled by what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, 16, 1)
        self.depthwise = nn.Conv2d(16, 32, 3, padding=1, groups=16, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.squeeze = nn.Linear(32, 8)
        self.excite = nn.Linear(8, 32)
        self.head = nn.Conv2d(32, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.norm(self.depthwise(F.silu(self.expand(x)))))
        batch, channels, _, _ = x.shape
        gates = self.excite(F.relu(self.squeeze(x.mean((2, 3)))))
        x = x * torch.sigmoid(gates).view(batch, channels, 1, 1)
        return F.adaptive_avg_pool2d(self.head(x), 1).squeeze(-1).squeeze(-1)


class Mlp(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(20, 32),
            nn.BatchNorm1d(32),
            nn.GELU(),
            nn.Linear(32, 24),
            nn.ELU(),
            nn.Linear(24, 4),
        )


class Lstm(nn.Module):
    """Two layers of LSTM, a bidirectional GRU, and a classifier of the last step and the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 16, num_layers=2, batch_first=True, dropout=0.1)
        self.gru = nn.GRU(16, 8, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, (hidden, _) = self.lstm(x)
        steps, _ = self.gru(steps)
        return self.fc(torch.cat([steps[:, -1, :], hidden[-1]], dim=1))


class Vit(nn.Module):
    """A small vision transformer: patches, a class token, learned positions, torch's encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 24))
        self.positions = nn.Parameter(torch.randn(1, 10, 24))
        layer = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(24), enable_nested_tensor=False)
        self.head = nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1) + self.positions
        return self.head(self.encoder(x)[:, 0])


NETWORKS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "vgg": (Vgg, (3, 16, 16)),
    "resnet": (ResNet, (3, 32, 32)),
    "dense": (DenseBlock, (3, 16, 16)),
    "squeeze_excite": (SqueezeExcite, (3, 9, 9)),
    "mlp": (Mlp, (4, 5)),
    "lstm": (Lstm, (7, 6)),
    "vit": (Vit, (3, 12, 12)),
}


def build_vgg() -> nn.Module:
    return Vgg()


def build_resnet() -> nn.Module:
    return ResNet()


def largest(space: FromModel) -> dict[str, object]:
    """Everything at its largest: the network itself."""
    depths = {f"depth/{run.name}": len(run.blocks) for run in space.runs}
    return {**depths, **{f"width/{group.name}": 1.0 for group in space.groups}}


def narrower(space: FromModel, seed: int) -> dict[str, object]:
    """All blocks; of every group less than all, other shares for other seeds."""
    given = largest(space)
    domains = space.trace(given).domains
    widths = [name for name in given if name.startswith("width/")]
    shares = {name: domains[name].values()[:-1] for name in widths}
    return {**given, **{name: shares[name][(i + seed) % len(shares[name])] for i, name in enumerate(widths)}}


def muted(space: FromModel, kept: dict[str, tuple[int, ...]]) -> nn.Module:
    """The whole network in which nobody reads a removed channel, and layers normalise without it."""
    graph, channels = space.network_at(space.shapes)
    whole = copy.deepcopy(space.inherit(largest(space)))
    for node in graph.nodes:
        for key, axes in channels.flows[node.name].weights.items():
            weight = getattr(whole.get_submodule(node.weights.replace("/", ".")), key, None)
            for axis, segments in enumerate(axes):
                if isinstance(weight, nn.Parameter) and segments is not None:
                    mask = torch.zeros(weight.shape[axis])
                    mask[places(segments, kept)] = 1
                    weight.data.mul_(mask.reshape(-1, *[1] * (weight.dim() - axis - 1)))
    return whole


def outputs(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(inputs)


def same(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=0, atol=1e-5)
