"""Parameters, MACs and activation memory are right, for every kind of layer, and the model is untouched."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch
from reference_networks import NETWORKS
from torch import nn

from netwright.core.errors import NetwrightError
from netwright.evaluation.profile import profile

HERE = Path(__file__).parent


def _published() -> list[tuple[str, int, int, int]]:
    """Rows (name, input side, parameters, MACs) of the figures torchvision publishes."""
    with (HERE / "published_counts.csv").open() as stream:
        return [(r["model"], int(r["side"]), int(r["params"]), int(r["macs"])) for r in csv.DictReader(stream)]


@pytest.mark.parametrize(("name", "side", "params", "macs"), _published())
def test_counts_equal_the_published_figures(name: str, side: int, params: int, macs: int) -> None:
    with torch.device("meta"):
        model = NETWORKS[name]()
    found = profile(model, torch.empty(1, 3, side, side, device="meta"))
    assert found.params == params
    # torchvision publishes thousandths of a GMAC
    assert abs(found.macs - macs) <= 500_000
    assert sum(layer.params for layer in found.layers) == found.params
    assert sum(layer.macs for layer in found.layers) == found.macs


def test_published_figures_agree_with_the_collected_ones() -> None:
    default = HERE.parents[2] / "shared" / "data"
    collected = Path(os.environ.get("NETWRIGHT_DATA", default)) / "reference_counts.csv"
    if not collected.exists():
        pytest.skip("the collected reference counts are not on this machine")
    with collected.open() as stream:
        rows = {row["model"]: row for row in csv.DictReader(stream)}
    for name, side, params, macs in _published():
        row = rows[f"torchvision {name} IMAGENET1K_V1"]
        assert (row["input"], row["params"], row["macs"]) == (f"3x{side}x{side}", str(params), str(macs))


class _Cells(nn.Module):
    """A recurrent cell in a loop, with a state made inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = (torch.zeros(x.shape[0], 16), torch.zeros(x.shape[0], 16))
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        return state[0]


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


SEQUENCE = (10, 8)
TIME, FEATURES, HIDDEN = 10, 8, 16
BY_HAND = [
    (nn.Linear(8, 3), (8,), 8 * 3),
    (nn.Conv2d(4, 6, 3, groups=2), (4, 7, 5), 6 * 2 * 9 * 5 * 3),
    (nn.Conv1d(8, 4, 3, padding=1, stride=2), (8, 10), 4 * 8 * 3 * 5),
    (nn.ConvTranspose2d(4, 8, 2, 2), (4, 5, 5), 4 * 8 * 4 * 25),
    (nn.LSTM(FEATURES, HIDDEN, batch_first=True), SEQUENCE, TIME * 4 * HIDDEN * (FEATURES + HIDDEN)),
    (
        nn.LSTM(FEATURES, HIDDEN, 2, batch_first=True, bidirectional=True),
        SEQUENCE,
        TIME * 2 * 4 * HIDDEN * ((FEATURES + HIDDEN) + (2 * HIDDEN + HIDDEN)),
    ),
    (nn.GRU(FEATURES, HIDDEN, batch_first=True), SEQUENCE, TIME * 3 * HIDDEN * (FEATURES + HIDDEN)),
    (nn.RNN(FEATURES, HIDDEN, batch_first=True), SEQUENCE, TIME * HIDDEN * (FEATURES + HIDDEN)),
    (_Cells(), SEQUENCE, TIME * 4 * HIDDEN * (FEATURES + HIDDEN)),
    (_Attention(), (10, 16), 4 * 10 * 16 * 16 + 2 * 10 * 10 * 16),
]


@pytest.mark.parametrize(("model", "shape", "macs"), BY_HAND, ids=lambda v: type(v).__name__)
def test_macs_equal_the_formula(model: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    for batch in (1, 5):
        found = profile(model, torch.zeros(batch, *shape))
        assert found.macs == macs
        assert found.params == sum(p.numel() for p in model.parameters())


def _small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 36, 10)
    )


def test_layers_tell_who_computes_what() -> None:
    layers = {layer.name: layer for layer in profile(_small(), torch.zeros(2, 1, 14, 14)).layers}
    assert layers["0"].macs == 8 * 9 * 144
    assert layers["0"].output_shape == (8, 12, 12)
    assert layers["0"].activation_bytes == 8 * 144 * 4
    assert (layers["1"].kind, layers["1"].params, layers["1"].macs) == ("BatchNorm2d", 16, 0)
    assert layers["5"].macs == 8 * 36 * 10


def test_a_traced_graph_costs_what_its_model_costs() -> None:
    model = _small()
    example = torch.zeros(1, 1, 14, 14)
    assert profile(torch.fx.symbolic_trace(model), example).cost.macs == profile(model, example).cost.macs


def test_peak_memory_is_input_plus_the_two_largest_neighbours() -> None:
    wide_inside = nn.Sequential(nn.Linear(10, 1000), nn.Linear(1000, 500), nn.Linear(500, 10))
    assert profile(wide_inside, torch.zeros(7, 10)).peak_activation_bytes == 4 * (10 + 1000 + 500)


def test_peak_memory_sees_what_a_shortcut_keeps_alive() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(10, 100), nn.Linear(100, 100), nn.Linear(100, 100)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.a(x)
            return x + self.c(self.b(x))

    # input, a, b, c live when c has just been computed
    assert profile(Skip(), torch.zeros(1, 10)).peak_activation_bytes == 4 * (10 + 300)


def test_in_place_operations_need_no_memory() -> None:
    inplace = nn.Sequential(nn.Linear(10, 100), nn.ReLU(inplace=True))
    separate = nn.Sequential(nn.Linear(10, 100), nn.ReLU())
    assert profile(inplace, torch.zeros(1, 10)).peak_activation_bytes == 4 * 110
    assert profile(separate, torch.zeros(1, 10)).peak_activation_bytes == 4 * 210


def test_shared_weights_count_once() -> None:
    layer = nn.Linear(5, 5)
    found = profile(nn.Sequential(layer, layer), torch.zeros(1, 5))
    assert (found.params, found.macs) == (30, 50)


def test_the_model_is_untouched() -> None:
    model = _small().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    profile(model, torch.zeros(4, 1, 14, 14))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_wrong_example_is_one_sentence() -> None:
    with pytest.raises(NetwrightError, match=r"Linear does not run on an input of shape \(1, 4\)"):
        profile(nn.Linear(5, 2), torch.zeros(1, 4))


class Deciding(nn.Module):
    """Ends early for some inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.mean() > 0 else -x


def test_a_network_that_decides_by_values_is_told_where() -> None:
    with pytest.raises(NetwrightError, match=r"^what Deciding computes .* in test_profile\.py, line \d+, in forward"):
        profile(Deciding(), torch.zeros(1, 4))


class _Products(nn.Module):
    """Scores each step by a vector, and adds what a vector gives for a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.vector = nn.Parameter(torch.ones(6, 5)), nn.Parameter(torch.ones(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.matrix) @ self.vector + self.vector @ self.vector


class _Paired(nn.Module):
    """A bilinear layer of a sequence with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs = nn.Bilinear(6, 6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pairs(x, x)


@pytest.mark.parametrize(
    ("model", "macs"),
    [(_Products(), 10 * 6 * 5 + 10 * 5 + 5), (_Paired(), 10 * (4 * 6 * 6 + 4 * 6))],
    ids=["vectors", "bilinear"],
)
def test_products_that_torch_does_not_count_are_counted(model: nn.Module, macs: int) -> None:
    assert profile(model, torch.zeros(3, 10, 6)).macs == macs


class Packing(nn.Module):
    """Packs sequences as tutorials do, by lengths that it counts."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lengths = (x != 0).any(2).sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.lstm(packed)[1][0][-1]


def test_packed_sequences_are_named_with_what_to_do() -> None:
    said = (
        r"^Packing packs its sequences by their lengths, in test_profile\.py, line \d+, in forward, .*: give the layer"
    )
    with pytest.raises(NetwrightError, match=said):
        profile(Packing(), torch.zeros(2, 5, 3))
