"""Networks as people write them become spaces: the whole network's outputs, architectures that train and export."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.shapes import Shapes
from netwright.search_spaces.from_model import join_inputs, space_from_model
from netwright.search_spaces.graph import LayerGraph
from netwright.search_spaces.operations.torch_call import TorchCall
from netwright.search_spaces.spaces.from_model import FromModel
from tests.search_spaces.user_networks import largest, muted, outputs, same
from tests.search_spaces.written_networks import (
    READ,
    REFUSED,
    Embed,
    NamedOutputs,
    NamedResult,
    Normed,
    OutputsApart,
    PictureAndWords,
    TwoInputs,
    TwoOutputs,
)


def _made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind()


def _inputs(shape: tuple[int, ...], number: int = 4) -> torch.Tensor:
    return torch.rand(number, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", READ)
def test_a_network_becomes_a_space_of_trainable_parts(name, tmp_path):
    kind, shape, groups, runs = READ[name]
    model, inputs = _made(kind), _inputs(shape)
    space = space_from_model(model, inputs)
    assert (len(space.groups), len(space.runs)) == (groups, runs)
    same(outputs(space.inherit(largest(space)), inputs), outputs(model, inputs))
    saved = space.save(tmp_path)
    decisions = space.sample(random.Random(0))
    part = saved.inherit(decisions)
    same(outputs(part, inputs[:1]), outputs(space.inherit(decisions), inputs[:1]))
    assert sum(p.numel() for p in part.parameters()) == saved.cost(decisions, saved.shapes).params
    part.train()(inputs).pow(2).mean().backward()
    assert all(p.grad is not None for p in part.parameters())


@pytest.mark.parametrize(
    "name", ["sensor", "conv_lstm", "bilstm_state", "tcn", "text_cnn", "grouped", "shuffle", "time_distributed"]
)
def test_a_narrower_network_computes_what_the_whole_one_does_without_the_removed_channels(name):
    kind, shape, _, _ = READ[name]
    inputs = _inputs(shape)
    space = space_from_model(_made(kind), inputs, depths=False)
    decisions = {f"width/{group.name}": 0.5 for group in space.groups}
    kept = space.supernet(space.shapes).kept(decisions)
    same(outputs(space.inherit(decisions), inputs), outputs(muted(space, kept), inputs))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_said_in_one_sentence(name):
    kind, shape, words = REFUSED[name]
    with pytest.raises(SpaceError, match=words) as raised:
        space_from_model(_made(kind), _inputs(shape))
    assert "\n" not in str(raised.value)


def test_a_network_of_which_nothing_can_be_varied_is_warned_of(caplog):
    model = nn.Sequential(nn.Unflatten(1, (1, 4, 5, 1)), nn.Conv3d(1, 4, 3, padding=1), nn.Flatten())
    space_from_model(model, _inputs((20,)))
    assert "nothing of this network can be varied" in caplog.text


def test_weights_that_are_not_shared_any_more_are_warned_of(caplog):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(12, 24, bias=False)

        def forward(self, x):
            return nn.functional.linear(torch.relu(self.encoder(x)), self.encoder.weight.t())

    space_from_model(_made(Tied), _inputs((12,)))
    assert "has 576 parameters, yours 288: weights that several of its steps read" in caplog.text


def test_what_forward_makes_of_parameters_trains_the_parameters(caplog):
    kind, shape, _, _ = READ["windows"]
    model, inputs = _made(kind), _inputs(shape)
    space = space_from_model(model, inputs)
    assert space.cost(largest(space), space.shapes).params == sum(p.numel() for p in model.parameters())
    part = space.inherit(largest(space)).train()
    part(inputs).sum().backward()
    assert {tuple(p.shape) for p in part.parameters() if p.grad is not None} >= {(9, 2)}
    assert not caplog.text


def test_whole_numbers_may_be_the_input():
    model, inputs = _made(Embed), torch.randint(0, 100, (4, 12), generator=torch.Generator().manual_seed(0))
    space = space_from_model(model, inputs)
    decisions = {"width/lstm": 0.5}
    assert sum(p.numel() for p in space.inherit(decisions).parameters()) == space.cost(decisions, space.shapes).params
    same(outputs(space.inherit(largest(space)), inputs), outputs(model, inputs))


@pytest.mark.parametrize("name", ["alike", "different"])
def test_several_inputs_are_taken_as_one(name, tmp_path):
    words = torch.randint(0, 50, (4, 7), generator=torch.Generator().manual_seed(0))
    inputs = {"alike": (_inputs((8,)), _inputs((8,))), "different": (_inputs((3, 9, 8)), words, _inputs((5,)))}[name]
    model = _made(TwoInputs if name == "alike" else PictureAndWords).eval()
    saved = space_from_model(model, inputs).save(tmp_path)
    x = join_inputs(*inputs)
    assert x.shape[1:] == saved.shapes.input
    same(outputs(saved.inherit(largest(saved)), x), model(*inputs).detach())
    decisions = saved.sample(random.Random(1))
    part = saved.inherit(decisions)
    assert sum(p.numel() for p in part.parameters()) == saved.cost(decisions, saved.shapes).params
    assert outputs(part, x[:1]).shape == (1, *saved.shapes.output_shape)


class OfLengths(nn.Module):
    """A sequence and its length: what the recurrent layer says at that step, or its mean until then."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.rnn, self.head, self.way = nn.GRU(6, 16, batch_first=True), nn.Linear(16, 4), way

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        y, _ = self.rnn(x)
        if self.way == "index":
            return self.head(y[torch.arange(len(y)), lengths - 1])
        if self.way == "mask":
            at = torch.arange(y.size(1)) == lengths.unsqueeze(1) - 1
            return self.head((y * at.unsqueeze(-1)).sum(1))
        until = (torch.arange(y.size(1)) < lengths[:, None]).unsqueeze(2)
        return self.head((y * until).sum(1) / lengths.view(-1, 1))


@pytest.mark.parametrize("way", ["index", "mask", "mean"])
def test_sequences_that_end_at_lengths_of_their_own_are_read(way):
    torch.manual_seed(0)
    model, inputs = OfLengths(way).eval(), (_inputs((9, 6)), torch.tensor([7, 5, 9, 4]))
    space = space_from_model(model, inputs)
    assert len(space.groups) == 1
    x = join_inputs(*inputs)
    same(outputs(space.inherit(largest(space)), x), model(*inputs).detach())
    half = dict.fromkeys(largest(space), 0.5)
    assert sum(p.numel() for p in space.inherit(half).parameters()) == space.cost(half, space.shapes).params


@pytest.mark.parametrize(("kind", "shape"), [(TwoOutputs, (8,)), (NamedOutputs, (8,)), (OutputsApart, (3, 8, 8))])
def test_several_results_are_given_as_one(kind, shape, tmp_path):
    model, inputs = _made(kind).eval(), _inputs(shape)
    space = space_from_model(model, inputs).save(tmp_path)
    given = model(inputs)
    if isinstance(given, dict):
        given = (given["classes"], given["rest"][0], given["count"])
    same(outputs(space.inherit(largest(space)), inputs), join_inputs(*given).detach())
    decisions = space.sample(random.Random(0))
    part = space.inherit(decisions)
    assert sum(p.numel() for p in part.parameters()) == space.cost(decisions, space.shapes).params
    assert outputs(part, inputs[:1]).shape == (1, *space.shapes.output_shape)


def test_a_number_for_each_sample_is_a_feature():
    model, inputs = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0)), _inputs((8,))
    space = space_from_model(model, inputs)
    assert space.shapes == Shapes((8,), 1)
    same(outputs(space.inherit(largest(space)), inputs)[:, 0], outputs(model, inputs))


def test_one_result_under_a_name_is_the_result():
    model, inputs = _made(NamedResult), _inputs((8,))
    space = space_from_model(model, inputs)
    same(outputs(space.inherit(largest(space)), inputs), model(inputs)["out"].detach())


@pytest.mark.parametrize(
    "example", [(), (torch.rand(4, 8), torch.rand(3, 8)), (torch.rand(4, 8), 3), "x", torch.rand(4)]
)
def test_an_example_that_is_none_is_refused(example):
    with pytest.raises(SpaceError, match=r"as many samples each|must be a tensor with a batch of inputs"):
        space_from_model(_made(TwoInputs), example)


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, nn.Module.half, nn.Module.double])
def test_a_network_is_read_however_it_is_held(wrap):
    plain, inputs = _made(READ["tcn"][0]), _inputs((4, 50))
    held = wrap(_made(READ["tcn"][0]))
    example = inputs.to(next(held.parameters()).dtype)
    space = space_from_model(held, example)
    torch.testing.assert_close(
        outputs(space.inherit(largest(space)), inputs), outputs(plain, inputs), rtol=0, atol=5e-3
    )


def test_a_network_with_normed_weights_stays_as_it_is():
    model, inputs = _made(Normed), _inputs((12,))
    before = outputs(model, inputs)
    names = list(model.state_dict())
    space_from_model(model, inputs)
    same(outputs(model, inputs), before)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("function", ["torch.load", "torch.from_file", "method.apply_", "operator.call", "os.system"])
def test_a_graph_from_a_file_can_call_nothing_but_arithmetic(function):
    call = {"kind": "torch_call", "function": function, "before": [[3]], "after": [3]}
    graph = {"input_shape": [3], "nodes": [{"name": "a", "operation": call, "inputs": ["input"]}], "output": "a"}
    space = FromModel(model=LayerGraph.from_json(graph).to_json())
    with pytest.raises(SpaceError, match="is no function of torch that computes with tensors"):
        space.build({}, space.shapes)


def test_a_function_that_is_read_says_what_it_was_read_with():
    call = TorchCall(function="torch.abs", before=((4, 5),), after=(4, 5), channel_wise=True)
    assert call.output_shape([(4, 3)]) == (4, 3)
    with pytest.raises(ShapeError, match=r"abs was read with \(4, 5\), came \(3, 5\)"):
        call.output_shape([(3, 5)])
