"""A user's trained network as a space: read, proven, narrowed and shortened with its own weights."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from functools import cache

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from netwright.cli.main import run
from netwright.core.errors import CheckpointError, ShapeError, SpaceError
from netwright.core.plugins import build, spec_of
from netwright.core.shapes import Shapes
from netwright.search_spaces.from_model import space_from_model
from netwright.search_spaces.spaces.from_model import FromModel
from tests.search_spaces.user_networks import NETWORKS, Vgg, largest, narrower, outputs, same
from tests.search_spaces.weight_copy import randomize

every_network = pytest.mark.parametrize("name", NETWORKS)

# for every layer with weights the groups that its rows belong to, in order, each with rows per unit
ROWS: dict[str, dict[str, list[tuple[str, int]]]] = {
    "vgg": {
        "features.0": [("features/0", 1)],
        "features.1": [("features/0", 1)],
        "features.4": [("features/4", 1)],
        "features.5": [("features/4", 1)],
        "fc1": [("fc1", 1)],
    },
    "resnet": {
        **{path: [("conv1", 1)] for path in ("conv1", "bn1")},
        **{f"layer1.{i}.{kind}2": [("conv1", 1)] for i in (0, 1) for kind in ("conv", "bn")},
        **{f"layer1.{i}.{kind}1": [(f"layer1/{i}/conv1", 1)] for i in (0, 1) for kind in ("conv", "bn")},
        **{f"layer2.{i}.{kind}1": [(f"layer2/{i}/conv1", 1)] for i in (0, 1) for kind in ("conv", "bn")},
        **{f"layer2.{i}.{kind}2": [("layer2/0/downsample/0", 1)] for i in (0, 1) for kind in ("conv", "bn")},
        **{f"layer2.0.downsample.{i}": [("layer2/0/downsample/0", 1)] for i in (0, 1)},
    },
    "dense": {
        **{path: [("stem", 1)] for path in ("stem", "norm1")},
        "conv1": [("conv1", 1)],
        "norm2": [("stem", 1), ("conv1", 1)],
        "conv2": [("conv2", 1)],
    },
    "squeeze_excite": {
        "expand": [("expand", 1)],
        **{path: [("expand", 2)] for path in ("depthwise", "norm", "excite")},
        "squeeze": [("squeeze", 1)],
    },
    "mlp": {"1": [("1", 1)], "2": [("1", 1)], "4": [("4", 1)]},
    "vit": {f"encoder.layers.{i}.linear1": [(f"encoder/layers/{i}/linear1", 1)] for i in range(3)},
    "lstm": {"lstm": [("lstm/layer0", 4), ("lstm/layer1", 4)], "gru": [("gru", 3)]},
}


@cache
def network(name: str) -> nn.Module:
    torch.manual_seed(1)
    return randomize(NETWORKS[name][0]())


def inputs_of(name: str, batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, *NETWORKS[name][1], generator=torch.Generator().manual_seed(2))


@cache
def space_of(name: str) -> FromModel:
    return space_from_model(network(name), inputs_of(name))


def with_zeros(name: str, kept: dict[str, tuple[int, ...]]) -> nn.Module:
    """The user's network in which the removed units are made from zeros, so that they hold nothing but zeros."""
    model = copy.deepcopy(network(name))
    for path, pieces in ROWS[name].items():
        for key, tensor in model.get_submodule(path).named_parameters():
            if name == "lstm":
                layer = int(key.removesuffix("_reverse")[-1])
                group, gates = pieces[layer]
                mask = torch.zeros(tensor.shape[0] // gates)
                mask[list(kept[group])] = 1
                mask = mask.repeat(gates)
            else:
                mask = torch.cat([_mask(space_of(name), group, kept[group], rows) for group, rows in pieces])
            tensor.data.mul_(mask.reshape(-1, *[1] * (tensor.dim() - 1)))
    return model


def _mask(space: FromModel, group: str, kept: tuple[int, ...], rows: int) -> torch.Tensor:
    mask = torch.zeros(next(g.units for g in space.groups if g.name == group))
    mask[list(kept)] = 1
    return mask.repeat_interleave(rows)


@every_network
def test_at_its_largest_the_space_is_the_users_network(name):
    space, model, inputs = space_of(name), network(name), inputs_of(name)
    whole = largest(space)
    assert space.cost(whole, space.shapes).params == sum(p.numel() for p in model.parameters())
    same(outputs(space.inherit(whole), inputs), outputs(model, inputs))
    supernet = space.supernet(space.shapes)
    supernet.choose(whole)
    same(outputs(supernet, inputs), outputs(model, inputs))


@every_network
@pytest.mark.parametrize("seed", range(3))
def test_a_narrowed_network_is_the_users_with_the_removed_channels_zeroed(name, seed):
    space, inputs = space_of(name), inputs_of(name)
    decisions = narrower(space, seed)
    kept = space.supernet(space.shapes).kept(decisions)
    assert any(len(kept[group.name]) < group.units for group in space.groups)
    narrowed = space.inherit(decisions)
    expected = outputs(with_zeros(name, kept), inputs)
    assert (expected - outputs(network(name), inputs)).abs().max() > 1e-3
    same(outputs(narrowed, inputs), expected)
    assert sum(p.numel() for p in narrowed.parameters()) == space.cost(decisions, space.shapes).params


@every_network
@pytest.mark.parametrize("seed", range(3))
def test_costs_are_those_of_the_built_network(name, seed):
    space = space_of(name)
    decisions = space.sample(random.Random(seed))
    cost = space.cost(decisions, space.shapes)
    model = space.build(decisions, space.shapes).to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, *space.shapes.input, device="meta"))
    assert counter.get_total_flops() == 2 * cost.macs
    assert sum(p.numel() for p in model.parameters()) == cost.params


def test_blocks_are_left_out_from_the_end_and_without_them_the_rest_is_the_same():
    space, inputs = space_of("resnet"), inputs_of("resnet")
    assert [(run.name, len(run.blocks)) for run in space.runs] == [("layer1/0-1", 2), ("layer2/1", 1)]
    for depth, gone in ((1, [("layer1", 1)]), (0, [("layer1", 0), ("layer1", 1)])):
        decisions = {**largest(space), "depth/layer1/0-1": depth, "depth/layer2/1": 0}
        # widths inside dropped blocks do not exist
        decisions = {key: value for key, value in decisions.items() if not _inside(key, [*gone, ("layer2", 1)])}
        shorter = copy.deepcopy(network("resnet"))
        for layer, index in [*gone, ("layer2", 1)]:
            shorter.get_submodule(layer)[index] = nn.Identity()
        same(outputs(space.inherit(decisions), inputs), outputs(shorter, inputs))


def test_attention_and_neurons_are_left_out_together():
    space, inputs = space_of("vit"), inputs_of("vit")
    assert [(run.name, len(run.blocks)) for run in space.runs] == [("encoder/layers/0-2", 3)]
    decisions = {"depth/encoder/layers/0-2": 2, **{f"width/encoder/layers/{i}/linear1": 1.0 for i in range(2)}}
    shorter = copy.deepcopy(network("vit"))
    shorter.encoder.layers = shorter.encoder.layers[:2]
    same(outputs(space.inherit(decisions), inputs), outputs(shorter, inputs))


def _inside(key: str, blocks: list[tuple[str, int]]) -> bool:
    return any(key.startswith(f"width/{layer}/{index}/") for layer, index in blocks)


def test_dead_channels_go_first():
    model = copy.deepcopy(network("vgg"))
    alive = sorted(random.Random(0).sample(range(32), 16))
    dead = [channel for channel in range(32) if channel not in alive]
    with torch.no_grad():
        for tensor in (model.features[4].weight, model.features[5].weight, model.features[5].bias):
            tensor[dead] = 0
    space = space_from_model(model, inputs_of("vgg"))
    decisions = {**largest(space), "width/features/4": 0.5}
    assert space.supernet(space.shapes).kept(decisions)["features/4"] == tuple(alive)
    same(outputs(space.inherit(decisions), inputs_of("vgg")), outputs(model, inputs_of("vgg")))


def test_training_a_narrow_architecture_changes_only_what_it_has():
    space = space_of("vgg")
    supernet = space.supernet(space.shapes)
    decisions = {**largest(space), "width/features/4": 0.5}
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    supernet.choose(decisions)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    supernet.train()(inputs_of("vgg", 8)).square().sum().backward()
    optimizer.step()
    kept = list(supernet.kept(decisions)["features/4"])
    others = [channel for channel in range(32) if channel not in kept]
    key = {name.partition(".")[2]: name for name in before}
    for name in ("features.4.weight", "features.5.weight", "features.5.running_mean", "features.5.running_var"):
        after, first = supernet.state_dict()[key[name]], before[key[name]]
        assert torch.equal(after[others], first[others])
        assert not torch.equal(after[kept], first[kept])
    same(outputs(supernet, inputs_of("vgg")), outputs(supernet.cut(decisions), inputs_of("vgg")))


@every_network
def test_an_inherited_network_can_be_trained(name):
    space = space_of(name)
    model = space.inherit(space.sample(random.Random(5))).train()
    before = copy.deepcopy(model.state_dict())
    model(inputs_of(name)).square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert all(p.grad is not None for p in model.parameters())
    assert any(not torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_widths_are_rounded_and_repeated_ones_left_out():
    space = space_from_model(Vgg(), inputs_of("vgg"), widths=(0.1, 0.12, 0.5, 1.0), round_to=4)
    decisions = {**largest(space), "width/features/4": 0.12, "width/fc1": 0.5}
    with pytest.raises(SpaceError, match=r"'width/features/0' is 0\.1; expected one of 0\.12, 0\.5, 1\.0"):
        space.trace({**decisions, "width/features/0": 0.1})
    plan = space.plan(decisions)
    assert (plan.kept["features/4"], plan.kept["fc1"], plan.kept["features/0"]) == (4, 20, 16)


def test_neither_the_network_nor_the_example_is_changed():
    model, inputs = Vgg().train(), inputs_of("vgg")
    before, given = copy.deepcopy(model.state_dict()), inputs.clone()
    space = space_from_model(model, inputs)
    space.inherit(space.sample(random.Random(0)))(inputs)
    assert model.training
    assert torch.equal(inputs, given)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_it_is_saved_and_decides_without_torch(tmp_path):
    space = space_of("resnet")
    saved = space.save(tmp_path / "mine")
    decisions = saved.sample(random.Random(3))
    assert decisions == space.sample(random.Random(3))
    again = build("space", json.loads(json.dumps(spec_of(saved))))
    same(
        outputs(again.build(decisions, space.shapes), inputs_of("resnet")),
        outputs(space.inherit(decisions), inputs_of("resnet")),
    )
    code = (
        "import json, random, sys; from netwright.core.plugins import build;"
        "s = build('space', json.loads(sys.argv[1]));"
        "d = s.sample(random.Random(3)); print('torch' in sys.modules, s.cost(d, s.shapes).macs)"
    )
    command = [sys.executable, "-c", code, json.dumps(spec_of(saved))]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert printed == ["False", str(space.cost(decisions, space.shapes).macs)]


def test_as_data_it_keeps_its_architectures_but_not_its_weights():
    space = space_of("dense")
    again = build("space", json.loads(json.dumps(spec_of(space))))
    decisions = space.sample(random.Random(1))
    assert again.trace(decisions).domains == space.trace(decisions).domains
    assert again.cost(decisions, again.shapes) == space.cost(decisions, space.shapes)
    assert again.trained_state() is None


def test_an_identity_tells_inherited_weights_apart(tmp_path):
    space = space_of("vgg")
    decisions = space.sample(random.Random(1))
    plain = build("space", spec_of(space)).identity(decisions, space.shapes)
    other = space_from_model(Vgg(), inputs_of("vgg")).identity(decisions, space.shapes)
    saved = space.save(tmp_path / "vgg")
    assert saved.identity(decisions, space.shapes) == space.identity(decisions, space.shapes)
    assert len({plain, other, space.identity(decisions, space.shapes)}) == 3
    assert space.describe(decisions, space.shapes)[0] == space.identity(decisions, space.shapes)


def test_without_weights_there_is_nothing_to_inherit():
    space = FromModel()
    decisions = space.sample(random.Random(0))
    with pytest.raises(SpaceError, match="there are no weights to inherit"):
        space.inherit(decisions)
    supernet = space.supernet(space.shapes, seed=1)
    supernet.choose(decisions)
    inputs = torch.randn(2, 3, 32, 32)
    same(outputs(supernet, inputs), outputs(supernet.cut(decisions), inputs))


def test_a_function_and_weights_make_the_space(tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file(network("resnet").state_dict(), weights)
    spec = {"kind": "from_model", "model": "tests.search_spaces.user_networks:build_resnet", "weights": str(weights)}
    space = build("space", json.loads(json.dumps(spec)))
    decisions = space_of("resnet").sample(random.Random(4))
    shapes = space_of("resnet").shapes
    same(
        outputs(space.build(decisions, shapes), inputs_of("resnet")),
        outputs(space_of("resnet").inherit(decisions), inputs_of("resnet")),
    )
    # other sizes of images are served as well
    assert space.build(decisions, Shapes((3, 48, 40), 7))(torch.randn(2, 3, 48, 40)).shape == (2, 7)


def test_a_network_of_one_input_size_is_told_it(tmp_path):
    function = "tests.search_spaces.user_networks:build_vgg"
    with pytest.raises(SpaceError, match=r"give the space's input.*takes none of the usual shapes \(3×224×224"):
        FromModel(model=function).sample(random.Random(0))
    space = FromModel(model=function, input=(3, 16, 16))
    assert space.examples() == [Shapes((3, 16, 16), 5)]
    decisions = space.sample(random.Random(0))
    with pytest.raises(ShapeError, match=r"at fc1: the network was read with the input .* do not fit the input"):
        space.graph(decisions, Shapes((3, 32, 32), 5))
    with pytest.raises(ShapeError, match=r"ends in the shape \(5,\), the task needs \(6,\)"):
        space.graph(decisions, Shapes((3, 16, 16), 6))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"model": "nonsense"}, SpaceError, "'nonsense' is none of package.module:function, a .json file"),
        ({"model": "missing.json"}, SpaceError, "the network missing.json cannot be read"),
        ({"model": {"nodes": []}}, SpaceError, "the space's model is no layer graph"),
        ({"model": "random:Random"}, SpaceError, "must make a torch.nn.Module, came a Random"),
        (
            {"model": "tests.search_spaces.user_networks:build_resnet", "weights": "missing.safetensors"},
            CheckpointError,
            "the weights missing.safetensors cannot be read",
        ),
    ],
)
def test_what_is_no_network_is_refused(settings, error, words):
    with pytest.raises(error, match=words):
        FromModel(**settings).sample(random.Random(0))


def test_weights_of_another_network_are_refused(tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file(network("vgg").state_dict(), weights)
    space = FromModel(model="tests.search_spaces.user_networks:build_resnet", weights=str(weights))
    with pytest.raises(
        CheckpointError, match=r"do not fit the network that .*build_resnet' makes: they lack 'conv1\.weight'"
    ):
        space.sample(random.Random(0))
    saved = space_of("dense").save(tmp_path / "dense")
    other = FromModel(model=saved.model, weights=str(weights))
    with pytest.raises(CheckpointError, match=r"the file lacks 'conv1\.bias'"):
        other.build(largest(other), other.shapes)


def test_a_layer_that_is_used_twice_is_narrowed_once():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, padding=1)
            self.body = nn.Conv2d(16, 16, 3, padding=1)
            self.head = nn.Conv2d(16, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.stem(x))
            return self.head(torch.relu(self.body(torch.relu(self.body(x))))).mean((2, 3))

    model, inputs = Twice(), torch.randn(2, 3, 8, 8)
    space = space_from_model(model, inputs)
    assert [group.producers for group in space.groups] == [("stem", "body")]
    assert space.cost(largest(space), space.shapes).params == sum(p.numel() for p in model.parameters())
    same(outputs(space.inherit(largest(space)), inputs), outputs(model, inputs))
    narrowed = space.inherit({"width/stem": 0.5})
    assert narrowed.body.weight.shape == (8, 8, 3, 3)
    assert outputs(narrowed, inputs).shape == (2, 4)


@pytest.mark.parametrize("landmark", ["resnet-18", "mobilenet-v2", "densenet-121", "se-resnet-50", "lstm-jsb", "u-net"])
def test_landmarks_are_narrowed_too(landmark):
    space = FromModel(model=f"landmark:{landmark}")
    whole = space.cost(largest(space), space.shapes)
    for seed in range(2):
        decisions = narrower(space, seed)
        cost = space.cost(decisions, space.shapes)
        assert cost.params < whole.params
        with torch.device("meta"):
            model = space.build(decisions, space.shapes)
        assert sum(p.numel() for p in model.parameters()) == cost.params


def test_the_command_line_profiles_it(tmp_path, capsys):
    weights = tmp_path / "weights.safetensors"
    save_file(network("resnet").state_dict(), weights)
    spec = {"kind": "from_model", "model": "tests.search_spaces.user_networks:build_resnet", "weights": str(weights)}
    (tmp_path / "mine.yaml").write_text(json.dumps({"space": spec}))
    line = ["space", "profile", str(tmp_path / "mine.yaml"), "--input", "3x32x32", "--classes", "7", "--samples", "20"]
    assert run([*line, "--bound", "params<=20000", "--json"]) == 0
    profile = json.loads(capsys.readouterr().out)
    assert profile["costs"]["params"]["most"] == sum(p.numel() for p in network("resnet").parameters())
    assert profile["bounds"][0]["reachable"]


class Attending(nn.Module):
    """Functions that the CPU runs as one operation, or that torch's counter passes over."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.pairs, self.head = nn.Linear(4, 8), nn.Bilinear(8, 8, 8), nn.Linear(8, 3)
        self.vector = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.query(x)[:, None]
        steps = nn.functional.scaled_dot_product_attention(q, q, q)[:, 0]
        steps = self.pairs(steps, steps * torch.matmul(steps, self.vector)[..., None])
        return self.head(steps.mean(1))


def test_multiplications_of_functions_are_those_that_the_network_does():
    model = Attending().eval()
    space = space_from_model(model, torch.rand(2, 6, 4))
    wanted = 6 * 4 * 8 + 2 * 6 * 6 * 8 + 6 * 8 + 6 * (8 * 8 * 8 + 8 * 8) + 8 * 3
    assert space.cost(largest(space), space.shapes).macs == wanted
