"""Recurrent layers that start from states made of the input become spaces that compute what they do."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from netwright.core.errors import SpaceError
from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx
from netwright.search_spaces.from_model import join_inputs, space_from_model
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


class Learned(nn.Module):
    """States that are learned, of both directions of two layers or as one vector; the result is the sequence's end."""

    def __init__(self, kind: type[nn.RNNBase], layers: int = 1, directions: int = 1) -> None:
        super().__init__()
        self.steps = kind(6, 16, layers, batch_first=True, bidirectional=directions > 1)
        shape = (layers * directions, 1, 16) if layers > 1 else (16,)
        self.start = nn.Parameter(torch.rand(shape))
        self.cells = nn.Parameter(torch.rand(shape)) if kind is nn.LSTM else None
        self.head = nn.Linear(16 * directions, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = self.start.view(-1, 1, 16).expand(-1, x.size(0), -1).contiguous()
        if self.cells is None:
            return self.head(self.steps(x, start)[0][:, -1])
        return self.head(self.steps(x, (start, self.cells.repeat(1, len(x), 1)))[0][:, -1])


class Summed(nn.Module):
    """What becomes of the states of all layers together: their mean, and all in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.head = nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(16, 3)
        self.mean = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, c) = self.steps(x)
        return self.head(h.transpose(0, 1).flatten(1)) + self.mean(h.mean(0) + c[-1:].mean(0))


class Given(nn.Module):
    """An encoder whose states a decoder starts from, which gives its own."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.encoder, self.decoder = kind(6, 16, batch_first=True), kind(6, 8, batch_first=True)
        self.bridge, self.head = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, object]:
        start = self.bridge(self.encoder(x)[0][:, -1]).unsqueeze(0)
        steps, state = self.decoder(x[:, -4:], (start, torch.zeros_like(start)) if self.has_cells else start)
        return self.head(steps), state

    @property
    def has_cells(self) -> bool:
        return isinstance(self.decoder, nn.LSTM)


STATEFUL = {
    "gru": (lambda: Coder(nn.GRU), (9, 6), 1),
    "rnn": (lambda: Coder(nn.RNN, 2), (9, 6), 2),
    "lstm": (lambda: Coder(nn.LSTM), (9, 6), 1),
    "lstm_layers": (lambda: Coder(nn.LSTM, 3), (9, 6), 3),
    "bridged": (Bridged, (7, 6), 2),
    "captions": (Captions, (3, 8, 8), 2),
    "carried": (Carried, (9, 6), 1),
    "exchanged": (Exchanged, (9, 6), 0),
    "learned_gru": (lambda: Learned(nn.GRU), (9, 6), 1),
    "learned_lstm": (lambda: Learned(nn.LSTM, 2, 2), (9, 6), 2),
    "learned_rnn": (lambda: Learned(nn.RNN, 2), (9, 6), 2),
    "summed": (Summed, (9, 6), 1),
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


@pytest.mark.parametrize("name", ["rnn", "lstm_layers", "bridged", "captions", "learned_gru", "learned_lstm", "summed"])
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


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_states_are_results_with_the_samples_first(kind):
    torch.manual_seed(0)
    model, inputs = Given(kind).eval(), torch.rand(4, 9, 6)
    space = space_from_model(model, inputs)
    assert [group.name for group in space.groups] == ["encoder"]
    with torch.no_grad():
        steps, state = model(inputs)
    states = [one.transpose(0, 1) for one in (state if isinstance(state, tuple) else (state,))]
    same(outputs(space.inherit(largest(space)), inputs), join_inputs(steps, *states))
    kept = space.supernet(space.shapes).kept({"width/encoder": 0.5})
    same(outputs(space.inherit({"width/encoder": 0.5}), inputs), outputs(muted(space, kept), inputs))


def test_packed_sequences_are_refused_by_name():
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.GRU(6, 8, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            lengths = torch.full((len(x),), x.shape[1])
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            return self.steps(packed)[1][-1]

    with pytest.raises(SpaceError, match=r"came those of pack_padded_sequence; give .* the padded ones"):
        space_from_model(Packed(), torch.rand(4, 9, 6))
