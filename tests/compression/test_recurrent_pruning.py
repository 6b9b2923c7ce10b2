"""Hidden units of RNN, LSTM and GRU are taken out exactly, whatever follows."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from compression_nets import Lin, Net
from torch import nn

from netwright.compression.passes.structured_prune import dependency_groups
from netwright.compression.proof import outputs
from netwright.compression.pruning import find_couplings
from netwright.compression.recurrent_pruning import remove_units
from netwright.compression.surgery import remove, silence
from netwright.core.errors import CompressionError

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
