"""Recurrent layers that start from states made of the input become spaces that compute what they do."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx
from netwright.search_spaces.from_model import space_from_model
from tests.search_spaces.user_networks import largest, muted, outputs, same


class Coder(nn.Module):
    """An encoder whose states a decoder starts from; the decoder reads the end of the sequence."""

    def __init__(self, kind: type[nn.RNNBase], layers: int = 1) -> None:
        super().__init__()
        self.encoder = kind(6, 16, layers, batch_first=True)
        self.decoder = kind(2, 16, layers, batch_first=True, dropout=0.1 if layers > 1 else 0.0)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, state = self.encoder(x)
        return self.head(self.decoder(x[:, -4:, :2], state)[0])


class Bridged(nn.Module):
    """Both directions of the encoder's states, projected, time first; the cells' state goes into the result too."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(6, 8, bidirectional=True)
        self.hidden, self.cells = nn.Linear(16, 12), nn.Linear(16, 12)
        self.decoder = nn.LSTM(16, 12)
        self.head = nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, (h, c) = self.encoder(x.transpose(0, 1))
        start = torch.tanh(self.hidden(torch.cat([h[-2], h[-1]], dim=1))).unsqueeze(0)
        start_cells = self.cells(torch.cat([c[0], c[1]], dim=1))[None]
        steps, (_, last) = self.decoder(steps, (start, start_cells))
        return self.head(torch.cat([steps[-1] * last[0], h[0]], dim=1))


class Captions(nn.Module):
    """A state made of an image, and one step after another that reads what the last one gave."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10))
        self.cell, self.head = nn.GRU(5, 10, batch_first=True), nn.Linear(10, 5)
        self.begin = nn.Parameter(torch.rand(1, 1, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = self.body(x).unsqueeze(0)
        word, given = self.begin.expand(len(x), -1, -1), []
        for _ in range(3):
            steps, state = self.cell(word, state)
            word = self.head(steps)
            given.append(word)
        return torch.cat(given, dim=1)


class Exchanged(nn.Module):
    """Both directions of a layer become both layers of another, whose input is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(6, 8, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(6, 8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, h = self.encoder(x)
        return self.decoder(torch.zeros_like(x), h)[0].amax(1)


class Carried(nn.Module):
    """One part of a sequence after another with carried states, cut from the graph; at first one state is zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.lstm, self.head = nn.Linear(6, 16), nn.LSTM(6, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.begin(x.mean(1))).view(1, x.size(0), 16)
        _, (h, c) = self.lstm(x[:, :5], hx=(h, torch.zeros_like(h)))
        return self.head(self.lstm(x[:, 5:], (h.detach().contiguous(), c))[0][:, -1])


STATEFUL = {
    "gru": (lambda: Coder(nn.GRU), (9, 6), 1),
    "rnn": (lambda: Coder(nn.RNN, 2), (9, 6), 2),
    "lstm": (lambda: Coder(nn.LSTM), (9, 6), 1),
    "lstm_layers": (lambda: Coder(nn.LSTM, 3), (9, 6), 3),
    "bridged": (Bridged, (7, 6), 2),
    "captions": (Captions, (3, 8, 8), 2),
    "carried": (Carried, (9, 6), 1),
    "exchanged": (Exchanged, (9, 6), 0),
}
"""The network, the shape of an input, and how many groups of channels its space has: states are coupled."""


@pytest.mark.parametrize("name", STATEFUL)
def test_a_network_that_hands_states_over_becomes_a_space_of_trainable_parts(name, tmp_path):
    make, shape, groups = STATEFUL[name]
    torch.manual_seed(0)
    model, inputs = make().eval(), torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    space = space_from_model(model, inputs)
    assert len(space.groups) == groups
    whole = space.inherit(largest(space))
    same(outputs(whole, inputs), outputs(model, inputs))
    assert sum(p.numel() for p in whole.parameters()) == sum(p.numel() for p in model.parameters())
    saved = space.save(tmp_path)
    for seed in range(2):
        decisions = saved.sample(random.Random(seed))
        part = saved.inherit(decisions)
        assert sum(p.numel() for p in part.parameters()) == saved.cost(decisions, saved.shapes).params
        part.train()(inputs).pow(2).mean().backward()
        assert all(p.grad is not None for p in part.parameters())


@pytest.mark.parametrize("name", ["rnn", "lstm_layers", "bridged", "captions"])
def test_a_narrower_network_computes_what_the_whole_one_does_without_the_removed_units(name):
    make, shape, _ = STATEFUL[name]
    torch.manual_seed(0)
    inputs = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    space = space_from_model(make().eval(), inputs)
    decisions = {f"width/{group.name}": 0.5 for group in space.groups}
    kept = space.supernet(space.shapes).kept(decisions)
    same(outputs(space.inherit(decisions), inputs), outputs(muted(space, kept), inputs))


def test_states_go_into_an_exported_file(tmp_path):
    torch.manual_seed(0)
    model, inputs = Coder(nn.LSTM), torch.rand(4, 9, 6)
    space = space_from_model(model.eval(), inputs)
    part = space.inherit({f"width/{group.name}": 0.5 for group in space.groups})
    export_onnx(part, tmp_path / "model.onnx", example=inputs.numpy())
    found = Session(tmp_path / "model.onnx")(inputs[:3].numpy())
    same(torch.from_numpy(found), outputs(part, inputs[:3]))
