"""Spaces for sequences: what their operations compute, what they refuse, and how layers share weights."""

from __future__ import annotations

import json
import random

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.errors import NetwrightError, ShapeError, SpaceError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.cost import cost
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.batch_norm1d import BatchNorm1d
from netwright.search_spaces.operations.conv1d import Conv1d
from netwright.search_spaces.operations.frames import Frames
from netwright.search_spaces.operations.last_steps import LastSteps
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.overlap_mean import OverlapMean
from netwright.search_spaces.operations.recurrent import GATES, Recurrent
from netwright.search_spaces.operations.self_attention import SelfAttention
from netwright.search_spaces.operations.sliding_windows import SlidingWindows
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.operations.wired_cell import WiredCell
from netwright.search_spaces.space import SearchSpace

EVERY_STEP = Shapes((12, 5), (12, 7))
ONE_RESULT = Shapes((20, 6), 4)
WIDE = {
    "recurrent": {
        "windows": [0, 4], "layer_dropouts": [0.1], "summaries": ["last", "mean", "max", "attention"], "depth": [1, 4],
    },
    "tcn": {
        "same_width": False, "summaries": ["last", "mean", "max", "attention"], "dilation_bases": [1, 2, 3],
        "weight_norms": [False, True], "normalisations": ["none", "batch"],
    },
    "recurrent_cell": {"outputs": ["all", "loose"], "nodes": [1, 6]},
    "transformer": {"same_blocks": False, "causal": True, "summaries": ["mean", "last"]},
}  # fmt: skip


def space_of(name: str, **settings: object) -> SearchSpace:
    found = build("space", {"kind": name, **settings})
    assert isinstance(found, SearchSpace)
    return found


def layer(operation: Operation, shape: tuple[int, ...], *, seed: int = 0) -> torch.fx.GraphModule:
    net = GraphBuilder(shape)
    return compile_graph(net.finish(net.add(operation, net.input, name="layer")), seed=seed).eval()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", WIDE)
def test_cost_equals_the_built_model_with_every_setting(name, seed):
    space = space_of(name, **WIDE[name])
    decisions = space.sample(random.Random(seed))
    for shapes in (EVERY_STEP, ONE_RESULT, Shapes((2, 9, 7), 3)):
        expected = cost(space.graph(decisions, shapes))
        with torch.device("meta"):
            model = compile_graph(space.graph(decisions, shapes)).eval()
        assert sum(p.numel() for p in model.parameters()) == expected.params
        with FlopCounterMode(display=False) as counter, torch.device("meta"):
            assert model(torch.empty(2, *shapes.input)).shape == (2, *shapes.output_shape)
        assert counter.get_total_flops() == 2 * 2 * expected.macs


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tcn", {}),
        ("transformer", {"causal": True, "summaries": ["mean"]}),
        ("recurrent", {"bidirectional": [False]}),
        ("recurrent_cell", {}),
    ],
)
def test_no_result_depends_on_a_later_step(name, settings):
    space = space_of(name, **settings)
    model = space.build(space.sample(random.Random(3)), EVERY_STEP).eval()
    inputs = torch.randn(2, 12, 5)
    changed = inputs.clone()
    changed[:, 7:] = torch.randn(2, 5, 5)
    with torch.inference_mode():
        before, after = model(inputs), model(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7], rtol=0, atol=1e-6)
    assert (before[:, 7:] - after[:, 7:]).abs().amax(dim=(0, 2)).min() > 1e-5


def test_a_causal_class_token_is_refused():
    with pytest.raises(SpaceError, match="sees no later step"):
        space_of("transformer", causal=True, summaries=["class"]).sample(random.Random(0))


def test_weight_norm_is_that_of_torch():
    model = layer(Conv1d(filters=6, kernel=3, dilation=2, weight_norm=True), (10, 4))
    reference = weight_norm(nn.Conv1d(4, 6, 3, dilation=2))
    state = {name.removeprefix("layer."): tensor for name, tensor in model.state_dict().items()}
    state["weight_g"] = 2 * state["weight_g"]
    model.load_state_dict({f"layer.{name}": tensor for name, tensor in state.items()})
    reference.load_state_dict(
        {
            "bias": state["bias"],
            "parametrizations.weight.original0": state["weight_g"],
            "parametrizations.weight.original1": state["weight_v"],
        }
    )
    inputs = torch.randn(2, 10, 4)
    expected = reference(functional.pad(inputs.transpose(1, 2), (4, 0))).transpose(1, 2)
    torch.testing.assert_close(model(inputs), expected, rtol=0, atol=1e-6)


def test_normalising_weights_changes_nothing_before_training():
    with_norm, plain = (layer(Conv1d(filters=6, kernel=3, weight_norm=norm), (10, 4)) for norm in (True, False))
    inputs = torch.randn(2, 10, 4)
    torch.testing.assert_close(with_norm(inputs), plain(inputs), rtol=0, atol=1e-6)


def test_batch_normalisation_of_a_sequence_is_that_of_torch_and_follows_its_convolution_directly():
    inputs = torch.randn(8, 9, 3) * 4 + 1
    model = layer(BatchNorm1d(), (9, 3)).train()
    mean, spread = inputs.mean((0, 1)), inputs.std((0, 1), correction=0)
    torch.testing.assert_close(model(inputs), (inputs - mean) / spread, atol=1e-4, rtol=1e-4)
    tcn = space_of("tcn")
    built = tcn.build(tcn.sample(random.Random(0)), ONE_RESULT)
    modules = dict(built.named_modules())
    norms = [step for step in built.graph.nodes if isinstance(modules.get(str(step.target)), torch.nn.BatchNorm1d)]
    assert norms
    for step in norms:
        (before,) = step.all_input_nodes
        assert isinstance(modules[str(before.target)], torch.nn.Conv1d)
        assert list(before.users) == [step]


def test_attention_is_that_of_torch():
    for causal in (False, True):
        model = layer(SelfAttention(width=12, heads=3, causal=causal), (7, 12))
        reference = nn.MultiheadAttention(12, 3, batch_first=True)
        names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
        reference.load_state_dict(dict(zip(names, model.state_dict().values(), strict=True)))
        inputs = torch.randn(2, 7, 12)
        mask = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
        expected, _ = reference(inputs, inputs, inputs, attn_mask=mask, need_weights=False)
        torch.testing.assert_close(model(inputs), expected, rtol=0, atol=1e-5)


def test_a_wired_cell_is_the_recurrence_of_darts():
    nodes = (("sigmoid", 0), ("relu", 1), ("identity", 1), ("tanh", 2))
    model = layer(WiredCell(width=8, nodes=nodes, output=(1, 2, 3, 4), steps=5), (5, 3))
    weights = dict(model.named_parameters())
    first = torch.cat([weights["layer.input.weight"], weights["layer.state.weight"]], dim=1)
    functions = {"sigmoid": torch.sigmoid, "relu": torch.relu, "identity": lambda x: x, "tanh": torch.tanh}
    inputs = torch.randn(2, 5, 3)
    hidden, outputs = torch.zeros(2, 8), []
    for step in range(5):
        gate, value = (torch.cat([inputs[:, step], hidden], dim=1) @ first.T).split(8, dim=1)
        states = [hidden + gate.sigmoid() * (value.tanh() - hidden)]
        for index, (function, source) in enumerate(nodes, start=1):
            gate, value = (states[source] @ weights[f"layer.node{index}.weight"].T).split(8, dim=1)
            states.append(states[source] + gate.sigmoid() * (functions[function](value) - states[source]))
        hidden = torch.stack(states[1:]).mean(dim=0)
        outputs.append(hidden)
    torch.testing.assert_close(model(inputs), torch.stack(outputs, dim=1), rtol=0, atol=1e-6)


def test_windows_read_what_a_loop_over_them_reads():
    inputs = torch.randn(2, 9, 3)
    windows = layer(SlidingWindows(steps=4), (9, 3))(inputs)
    expected = torch.stack([inputs[:, i : i + 4] for i in range(6)], dim=1)
    assert torch.equal(windows, expected)
    recurrent = layer(Recurrent(width=5, bidirectional=True, windows=True), (6, 4, 3))
    plain = layer(Recurrent(width=5, bidirectional=True), (4, 3))
    read = torch.stack([plain(expected[:, i]) for i in range(6)], dim=1)
    torch.testing.assert_close(recurrent(windows), read, rtol=0, atol=1e-6)
    total, count = torch.zeros(2, 9, 10), torch.zeros(9, 1)
    for i in range(6):
        total[:, i : i + 4] += read[:, i]
        count[i : i + 4] += 1
    torch.testing.assert_close(layer(OverlapMean(steps=4), (6, 4, 10))(read), total / count, rtol=0, atol=1e-6)


def test_a_window_bounds_what_is_looked_back_at():
    space = space_of("recurrent", windows=[4], bidirectional=[False])
    decisions = space.sample(random.Random(1))
    inputs = torch.randn(2, 20, 6)
    older = torch.cat([torch.randn(2, 16, 6), inputs[:, 16:]], dim=1)
    model = space.build(decisions, ONE_RESULT).eval()
    with torch.inference_mode():
        assert torch.equal(model(inputs), model(older))
        assert not torch.equal(model(inputs), model(inputs.flip(1)))


def test_frames_keep_the_newest_steps():
    inputs = torch.arange(14.0).reshape(1, 7, 2)
    assert torch.equal(layer(Frames(steps=3), (7, 2))(inputs), inputs[:, 1:].reshape(1, 2, 6))
    assert torch.equal(layer(LastSteps(steps=3), (7, 2))(inputs), inputs[:, 4:])


@pytest.mark.parametrize("cell", GATES)
def test_part_of_a_recurrent_layer_keeps_units_whole(cell):
    """Units that nothing reads, and that read nothing, can be left away: what is left is the part."""
    large, small = Recurrent(cell=cell, width=6), Recurrent(cell=cell, width=4)
    whole, part = layer(large, (5, 3)), layer(small, (5, 3))
    gates = GATES[cell]
    with torch.no_grad():
        for name, tensor in whole.named_parameters():
            if tensor.dim() == 2 and "hh" in name:
                tensor.view(gates, 6, 6)[:, :4, 4:] = 0
    shapes = {name: tuple(tensor.shape) for name, tensor in part.state_dict().items()}
    weights = {
        name: small.shared_part(name.rpartition(".")[2], tensor, shapes[name])
        for name, tensor in whole.state_dict().items()
    }
    part.load_state_dict(weights)
    inputs = torch.randn(2, 5, 3)
    torch.testing.assert_close(part(inputs), whole(inputs)[..., :4], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", WIDE)
def test_a_cut_computes_what_its_path_in_the_supernet_does(name):
    space = space_of(name, **{**WIDE[name], "depth": [1, 2]} if name in ("recurrent", "transformer") else WIDE[name])
    shapes = EVERY_STEP
    supernet = space.supernet(shapes, seed=0).eval()
    inputs = torch.randn(2, *shapes.input)
    rng = random.Random(5)
    for _ in range(3):
        decisions = space.sample(rng)
        supernet.choose(decisions)
        with torch.inference_mode():
            torch.testing.assert_close(supernet(inputs), supernet.cut(decisions).eval()(inputs), rtol=0, atol=1e-6)


def test_equal_cells_are_recognised_however_their_nodes_are_numbered():
    space = space_of("recurrent_cell", embeddings=[0], widths=[16], summaries=["last"], dropouts=[0.0])
    one, other, another = (
        space.from_genotype({"recurrent": nodes, "concat": [1, 2, 3]})
        for nodes in (
            [["tanh", 0], ["relu", 0], ["sigmoid", 1]],
            [["relu", 0], ["tanh", 0], ["sigmoid", 2]],
            [["relu", 0], ["tanh", 0], ["sigmoid", 1]],
        )
    )
    assert space.identity(one, ONE_RESULT) == space.identity(other, ONE_RESULT)
    assert space.identity(one, ONE_RESULT) != space.identity(another, ONE_RESULT)


def test_cells_are_read_and_written_as_published():
    space = space_of("recurrent_cell", outputs=["all", "loose"])
    for seed in range(20):
        decisions = space.sample(random.Random(seed))
        assert space.from_genotype(space.genotype(decisions)) == decisions
        assert space.from_genotype(SearchSpace.genotype(space, decisions)) == decisions
    loose = space.from_genotype('{"recurrent": [["tanh", 0], ["relu", 0], ["relu", 1]], "concat": [2, 3]}')
    assert loose["output"] == "loose"
    assert json.loads(space.genotype(loose))["concat"] == [2, 3]


@pytest.mark.parametrize(
    ("genotype", "reason"),
    [
        ({"recurrent": [["tanh", 0]]}, "a recurrent genotype reads"),
        ({"recurrent": [["tanh", 0], ["relu", 2]], "concat": [1, 2]}, "'node2/input' is 2"),
        ({"recurrent": [["tanh", 0], ["swish", 0]], "concat": [1, 2]}, "'node2/function' is 'swish'"),
        ({"recurrent": [["tanh", 0], ["relu", 1]], "concat": [1]}, "'output' is ''"),
        ('{"recurrent": 3, "concat": [1]}', "a recurrent genotype reads"),
        (7, "a recurrent genotype reads"),
    ],
)
def test_a_wrong_cell_is_refused_with_the_reason(genotype, reason):
    with pytest.raises(SpaceError, match=reason):
        space_of("recurrent_cell").from_genotype(genotype)


@pytest.mark.parametrize(
    ("name", "settings", "shapes", "reason"),
    [
        ("recurrent_cell", {"longest": 10}, ONE_RESULT, "at most 10"),
        ("recurrent", {"frames": [3]}, EVERY_STEP, r"ends in the shape \(4, 7\), the task needs \(12, 7\)"),
        ("recurrent", {"frames": [30]}, ONE_RESULT, "nothing is left"),
        ("recurrent", {}, Shapes((7,), 4), "sequence-like"),
        ("tcn", {}, Shapes((3, 8, 8), (3, 8, 8)), "one row of values"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_with_the_reason(name, settings, shapes, reason):
    space = space_of(name, **settings)
    with pytest.raises(ShapeError, match=reason):
        space.graph(space.sample(random.Random(0)), shapes)


def test_operations_refuse_what_they_cannot_do():
    for operation, shape, reason in (
        (Recurrent(width=3, windows=True), (5, 3), "over windows needs"),
        (SlidingWindows(steps=9), (5, 3), "does not fit"),
        (OverlapMean(steps=2), (5, 3), "mean over windows"),
        (SelfAttention(width=10, heads=4), (5, 3), "do not divide"),
        (WiredCell(width=4, nodes=(("tanh", 0),), output=(1,), steps=3), (5, 3), "unrolled for 3 steps"),
        (WiredCell(width=4, nodes=(("tanh", 1),), output=(1,), steps=5), (5, 3), "must read an earlier node"),
        (WiredCell(width=4, nodes=(("tanh", 0),), output=(2,), steps=5), (5, 3), "cannot give out"),
    ):
        with pytest.raises(NetwrightError, match=reason):
            layer(operation, shape)


class Sizes(SearchSpace):
    """One recurrent layer whose sizes have names, so that the smaller one comes first."""

    sizes: tuple[str, ...] = ("small", "large")

    def decide(self, choose: Chooser) -> int:
        return {"small": 4, "large": 6}[str(choose.one_of("size", self.sizes))]

    def lower(self, plan: int, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.chain(net.input, Recurrent(width=plan, cell="gru"), Summary())
        return net.add(Linear(features=shapes.classes), x)


def test_a_layer_that_grows_in_a_supernet_keeps_the_gates_that_it_had():
    grown, alone = (Sizes(sizes=sizes).supernet(ONE_RESULT, seed=3) for sizes in (("small", "large"), ("small",)))
    shared, own = (supernet.cut({"size": "small"}).state_dict() for supernet in (grown, alone))
    assert all(torch.equal(shared[name], own[name]) for name in own)
