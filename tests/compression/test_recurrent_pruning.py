"""Hidden units of RNN, LSTM and GRU are taken out exactly, whatever follows."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from compression_nets import Lin, Net
from torch import nn

from netwright.compression.passes.structured_prune import dependency_groups
from netwright.compression.patch import apply_patch, difference, load_compressed, save_weights
from netwright.compression.proof import outputs
from netwright.compression.pruning import find_couplings, size_notes
from netwright.compression.recurrent_pruning import remove_units
from netwright.compression.surgery import remove, silence
from netwright.core.errors import CheckpointError, CompressionError

SUMMARIES = {
    "last step": (lambda s, x: s.f(s.r(x)[0][:, -1]), 1),
    "mean": (lambda s, x: s.f(s.r(x)[0].mean(1)), 1),
    "largest": (lambda s, x: s.f(s.r(x)[0].abs().amax(1)), 1),
    "flatten": (lambda s, x: s.f(torch.flatten(s.r(x)[0], 1)), 5),
}


@pytest.mark.parametrize(
    ("cell", "both", "layers", "summary"),
    list(product((nn.RNN, nn.LSTM, nn.GRU), (False, True), (1, 2, 3), SUMMARIES)),
)
def test_units_are_removed_exactly(cell: type[nn.RNNBase], both: bool, layers: int, summary: str) -> None:
    torch.manual_seed(layers)
    wire, steps = SUMMARIES[summary]
    rnn = cell(6, 10, layers, batch_first=True, bidirectional=both)
    net = Net(wire, r=rnn, f=Lin(10 * (1 + both) * steps, 4)).eval()
    example = torch.randn(16, 5, 6)
    found = find_couplings(net, example, dependency_groups)
    (coupling,) = found.proven
    assert (coupling.name, coupling.slots, coupling.size) == ("r", layers * (1 + both), 10)
    cuts = coupling.cuts(coupling.trial(5))
    small = remove(net, cuts)
    assert small.r.hidden_size == 5
    assert sum(p.numel() for p in small.parameters()) < 0.6 * sum(p.numel() for p in net.parameters())
    fresh = torch.randn(9, 5, 6)
    assert torch.allclose(outputs(small, fresh), outputs(silence(net, cuts), fresh), atol=1e-6)
    assert outputs(net, fresh).sub(outputs(small, fresh)).abs().max() > 1e-3


def test_another_length_and_a_layer_without_bias_work_too() -> None:
    net = Net(lambda s, x: s.f(s.r(x)[0].mean(1)), r=nn.LSTM(6, 8, 2, bias=False, batch_first=True), f=Lin(8, 4)).eval()
    (coupling,) = find_couplings(net, torch.randn(16, 5, 6), dependency_groups).proven
    cuts = coupling.cuts([0, 3, 9, 15])
    longer = torch.randn(3, 11, 6)
    assert torch.allclose(outputs(remove(net, cuts), longer), outputs(silence(net, cuts), longer), atol=1e-6)


def test_unequal_slots_are_refused() -> None:
    with pytest.raises(CompressionError, match="same number"):
        remove_units(nn.GRU(4, 6, 2), [0, 1, 6])


def test_a_pruned_layer_still_trains() -> None:
    rnn = nn.LSTM(4, 6, batch_first=True)
    remove_units(rnn, [1, 4])
    rnn(torch.randn(2, 3, 4))[0].sum().backward()
    assert rnn.weight_hh_l0.grad.shape == (16, 4)


def test_a_given_starting_state_is_refused() -> None:
    def wire(s: Net, x: torch.Tensor) -> torch.Tensor:
        start = x.new_ones(1, len(x), 8)
        return s.f(s.r(x, start)[0][:, -1])

    net = Net(wire, r=nn.GRU(6, 8, batch_first=True), f=Lin(8, 4)).eval()
    found = find_couplings(net, torch.randn(16, 5, 6), dependency_groups)
    assert not found.proven
    assert "starting state" in found.refused["r"]


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_starting_state_of_zeros_is_none_if_it_shrinks_with_the_layer(cell: type[nn.RNNBase]) -> None:
    def wire(s: Net, x: torch.Tensor) -> torch.Tensor:
        width = s.r.hidden_size if s.grows else 8
        zeros = x.new_zeros(s.r.num_layers, len(x), width)
        return s.f(s.r(x, (zeros, zeros) if isinstance(s.r, nn.LSTM) else zeros)[0][:, -1])

    net = Net(wire, r=cell(6, 8, 2, batch_first=True), f=Lin(8, 4)).eval()
    net.grows = False
    example = torch.randn(16, 5, 6)
    fixed = find_couplings(net, example, dependency_groups)
    assert not fixed.proven
    assert "starting state has a fixed size" in fixed.refused["r"]
    net.grows = True
    (coupling,) = find_couplings(net, example, dependency_groups).proven
    cuts = coupling.cuts(coupling.trial(3))
    fresh = torch.randn(9, 7, 6)
    assert torch.allclose(outputs(remove(net, cuts), fresh), outputs(silence(net, cuts), fresh), atol=1e-6)


class Tutorial(nn.Module):
    """An LSTM as most people write it: the starting state is made from numbers of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden_size, self.num_layers, self.steps = 8, 2, 8
        self.lstm = nn.LSTM(6, 8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size, dtype=x.dtype)
        steps, _ = self.lstm(x[:, : self.steps], (h0, h0))
        return self.head(steps[:, -1])


def test_a_number_that_states_the_hidden_size_shrinks_with_the_layer(tmp_path: Path) -> None:
    net = Tutorial().eval()
    (coupling,) = find_couplings(net, torch.randn(16, 9, 6), dependency_groups).proven
    cuts = coupling.cuts(coupling.trial(3))
    small = remove(net, cuts)
    assert (small.hidden_size, small.lstm.hidden_size, small.steps, net.hidden_size) == (4, 4, 8, 8)
    fresh = torch.randn(5, 11, 6)
    assert torch.allclose(outputs(small, fresh), outputs(silence(net, cuts), fresh), atol=1e-6)
    assert {note.layer for note in size_notes(net, small)} == {"lstm", "head"}
    patch = difference(net, small)
    assert patch["changes"][""] == {"type": "smaller", "tensors": {}, "args": {"hidden_size": 4}}
    save_weights(small, tmp_path / "w.safetensors")
    again = load_compressed(net, patch=patch, weights=tmp_path / "w.safetensors").eval()
    assert torch.equal(outputs(again, fresh), outputs(small, fresh))
    assert net.hidden_size == 8


def test_a_number_that_a_network_scales_by_stays() -> None:
    class Scaled(Tutorial):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(x)[0][:, -1] / self.hidden_size**0.5)

    net = Scaled().eval()
    (coupling,) = find_couplings(net, torch.randn(16, 9, 6), dependency_groups).proven
    cuts = coupling.cuts(coupling.trial(3))
    small = remove(net, cuts)
    assert (small.hidden_size, small.lstm.hidden_size) == (8, 4)
    fresh = torch.randn(5, 11, 6)
    assert torch.allclose(outputs(small, fresh), outputs(silence(net, cuts), fresh), atol=1e-6)


@pytest.mark.parametrize(
    "numbers", [{"hidden_size": 9}, {"hidden_size": True}, {"_x": 1}, {"training": 0}, {"lstm": 1}]
)
def test_a_patch_lowers_no_other_number(numbers: dict[str, object]) -> None:
    net = Tutorial()
    patch = difference(net, net) | {"changes": {"": {"type": "smaller", "tensors": {}, "args": numbers}}}
    with pytest.raises(CheckpointError, match="which it may not"):
        apply_patch(net, patch)


def test_attention_over_time_does_not_keep_units_from_being_removed() -> None:
    def wire(s: Net, x: torch.Tensor) -> torch.Tensor:
        steps = s.r(x)[0]
        return s.f((steps * torch.softmax(s.b(torch.tanh(s.a(steps))), 1)).sum(1))

    rnn = nn.GRU(6, 8, 2, batch_first=True, bidirectional=True)
    net = Net(wire, r=rnn, a=Lin(16, 12), b=Lin(12, 1), f=Lin(16, 4)).eval()
    found = find_couplings(net, torch.randn(16, 5, 6), dependency_groups)
    assert {c.name for c in found.proven} == {"r", "a"}
    assert "several channels" in found.refused["b"]
    (coupling,) = (c for c in found.proven if c.name == "r")
    cuts = coupling.cuts(coupling.trial(3))
    fresh = torch.randn(9, 7, 6)
    assert torch.allclose(outputs(remove(net, cuts), fresh), outputs(silence(net, cuts), fresh), atol=1e-6)


class Tokens(nn.Module):
    """An embedding of whole numbers that came as floats, and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(9, 6)
        self.r = nn.LSTM(6, 8, batch_first=True)
        self.f = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.f(self.r(self.e(x.long()))[0][:, -1])


def test_a_network_that_looks_up_tokens_is_proven_on_tokens() -> None:
    net = Tokens().eval()
    example = torch.randint(9, (16, 5)).float()
    (coupling,) = find_couplings(net, example, dependency_groups).proven
    cuts = coupling.cuts(coupling.trial(3))
    assert torch.allclose(outputs(remove(net, cuts), example), outputs(silence(net, cuts), example), atol=1e-6)


def test_layers_that_nothing_can_prune_are_named() -> None:
    def wire(s: Net, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(len(x), 8)
        for step in x.unbind(1):
            state = s.r(step, state)
        return s.f(state)

    net = Net(wire, r=nn.GRUCell(6, 8), f=Lin(8, 4)).eval()
    found = find_couplings(net, torch.randn(16, 5, 6), dependency_groups)
    assert not found.proven
    assert "single steps" in found.refused["r"]
