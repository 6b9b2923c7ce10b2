"""Reading a user's torch network: what cannot be read is named, and torchvision's networks are read exactly."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from netwright.core.errors import SpaceError
from netwright.search_spaces.channels import places
from netwright.search_spaces.from_model import space_from_model
from netwright.search_spaces.spaces.from_model import FromModel
from tests.search_spaces.user_networks import largest, narrower, outputs, same
from tests.search_spaces.weight_copy import randomize


class Forward(nn.Module):
    """A layer `conv`, and whatever `forward` is given."""

    def __init__(self, function, **layers: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def _written_then_read(net: Forward, x: torch.Tensor) -> torch.Tensor:
    y = net.conv(x)
    z = y.sigmoid()
    y.relu_()
    return z * y


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            Forward(lambda net, x: net.conv(x)[1:]),
            "'getitem' .* expected a result whose first axis is that of the samples",
        ),
        (Forward(lambda net, x: net.conv(x) if x.sum() > 0 else x), "cannot be traced: its forward decides by the val"),
        (Forward(lambda net, x: net.conv(x) * x.max().item()), "cannot be traced"),
        (Forward(lambda net, x: (net.conv(x), net.conv.weight)), "the result of forward cannot be read: expected tens"),
        (Forward(lambda net, x: net.conv(x) * (1 if type(x) is torch.Tensor else 2)), "gives other .*how it is called"),
        (Forward(lambda net, x: net.missing(x)), "does not run on inputs of 3 × 8 × 8: .*no attribute 'missing'"),
        (
            Forward(lambda net, x: net.last(x), last=nn.Conv2d(4, 4, 3)),
            r"does not run on inputs .* at 'last' \(Conv2d\): Given groups",
        ),
        (Forward(lambda net, x: net.last(x[:, 0])[0], last=nn.LSTM(8, 4)), "cannot be read: .*batch_first"),
        (
            Forward(lambda net, x: net.last(x[:, 0])[0], last=nn.LSTM(8, 4, batch_first=True, proj_size=2)),
            r"the layer 'last' \(LSTM\) .* expected an LSTM without proj_size; write nn.Linear",
        ),
        (Forward(_written_then_read), "gives other values here than in the network: is a tensor written in place"),
    ],
)
def test_a_layer_that_cannot_be_read_is_named(model, words):
    with pytest.raises(SpaceError, match=words):
        space_from_model(model, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    "model",
    [
        Forward(lambda net, x: net.last(net.conv(x)), last=nn.Hardtanh()),
        Forward(lambda net, x: net.last(net.conv(x)), last=nn.LeakyReLU(0.3)),
        Forward(lambda net, x: net.last(x), last=nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
        Forward(lambda net, x: net.conv((x - 0.5) / 0.2) + 1),
        Forward(lambda net, x: net.conv(x).permute(0, 2, 3, 1)),
        Forward(lambda net, x: net.conv(x).mean(1)),
        Forward(lambda net, x: net.conv(x)[:, 1:3]),
        Forward(lambda net, x: 1 - net.conv(x).clamp(min=0)),
        Forward(lambda net, x: net.conv(x) * len(x)),
        Forward(lambda net, x: torch.stack([net.conv(x), x.repeat(1, 3, 1, 1)[:, :8]], 1).flatten(1, 2)),
    ],
)
def test_a_function_of_torch_needs_no_operation_of_its_own(model):
    inputs = torch.rand(2, 3, 8, 8)
    space = space_from_model(model, inputs)
    same(outputs(space.inherit(largest(space)), inputs), outputs(model, inputs))


def test_a_recurrent_layer_must_have_the_batch_first():
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0][:, -1]

    with pytest.raises(SpaceError, match=r"the layer 'lstm' \(LSTM\) cannot be read: expected .* batch_first=True"):
        space_from_model(Classifier(), torch.randn(2, 7, 6))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "densenet121"])
def test_networks_of_torchvision_are_read_exactly(name):
    models = pytest.importorskip("torchvision").models
    torch.manual_seed(0)
    model = randomize(getattr(models, name)(num_classes=10))
    inputs = torch.randn(2, 3, 64, 64)
    space = space_from_model(model, inputs)
    same(outputs(space.inherit(largest(space)), inputs), outputs(model, inputs))
    decisions = narrower(space, 0)
    kept = space.supernet(space.shapes).kept(decisions)
    same(outputs(space.inherit(decisions), inputs), outputs(_zeroed(space, model, kept), inputs))
    assert len(space.runs) == {"resnet18": 4, "mobilenet_v2": 5, "mobilenet_v3_small": 4, "densenet121": 0}[name]


@pytest.mark.parametrize(
    ("name", "groups"),
    [("efficientnet_b0", 40), ("resnext50_32x4d", 21), ("shufflenet_v2_x0_5", 18), ("convnext_tiny", 22)],
)
def test_more_networks_of_torchvision_become_spaces(name, groups):
    models = pytest.importorskip("torchvision").models
    torch.manual_seed(0)
    model, inputs = getattr(models, name)(num_classes=10), torch.randn(2, 3, 64, 64)
    space = space_from_model(model, inputs)
    assert len(space.groups) == groups
    same(outputs(space.inherit(largest(space)), inputs), outputs(model, inputs))
    decisions = narrower(space, 0)
    assert sum(p.numel() for p in space.inherit(decisions).parameters()) == space.cost(decisions, space.shapes).params


def _zeroed(space: FromModel, model: nn.Module, kept: dict[str, tuple[int, ...]]) -> nn.Module:
    """The network with zeros for the rows of every removed unit."""
    graph, channels = space.network_at(space.shapes)
    zeroed = copy.deepcopy(model)
    for node in graph.nodes:
        for key, axes in channels.flows[node.name].weights.items():
            tensor = getattr(zeroed.get_submodule(node.weights.replace("/", ".")), key, None)
            if isinstance(tensor, nn.Parameter) and axes[0] is not None:
                mask = torch.zeros(len(tensor))
                mask[places(axes[0], kept)] = 1
                tensor.data.mul_(mask.reshape(-1, *[1] * (tensor.dim() - 1)))
    return zeroed


class Attending(nn.Module):
    """A block as people write it: torch's attention called with its input three times."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, **{"batch_first": True, **settings})
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        y = self.norm(x)
        found, _ = self.attention(y, y, y, need_weights=False)
        return functional.log_softmax(self.head((x + found).mean(dim=1)), dim=1)


class Unpacking(nn.Module):
    """The usual way of calling an LSTM: its states are named and not used."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 16, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(32, 4), nn.Softmax(dim=-1))

    def forward(self, x):
        out, (_hidden, _cells) = self.lstm(x)
        return self.head(out[:, -1])


@pytest.mark.parametrize(
    ("model", "shape"), [(Attending(), (9, 16)), (Unpacking(), (12, 6))], ids=["attention", "LSTM"]
)
def test_networks_as_people_write_them_are_read(model, shape):
    inputs = torch.randn(8, *shape, generator=torch.Generator().manual_seed(2))
    space = space_from_model(model, inputs)
    whole = space.inherit(largest(space))
    same(whole(inputs), outputs(model, inputs))
    decisions = narrower(space, 1)
    smaller = space.inherit(decisions)
    assert not smaller.training
    assert sum(p.numel() for p in smaller.parameters()) == space.cost(decisions, space.shapes).params


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"batch_first": False}, "batch_first=True")],
)
def test_attention_of_another_kind_is_refused_with_its_name(settings, expected):
    with pytest.raises(SpaceError, match=rf"the layer 'attention' \(MultiheadAttention\) cannot be read: .*{expected}"):
        space_from_model(Attending(**settings), torch.randn(4, 4, 16))
