"""A group of channels that has no end is given up, and its layers are probed instead."""

from __future__ import annotations

import pytest
import torch
from compression_nets import NETS
from torch import nn
from torch.nn import functional as F

from netwright.compression import circles
from netwright.compression.passes.structured_prune import dependency_groups
from netwright.compression.pruning import find_couplings

EXAMPLE = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("limits", [{"MOST_CHANNELS": 100}, {"MOST_VISITS": 0}])
def test_a_group_given_up_is_probed(limits: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    net = NETS["plain_cnn"]()
    before = {one.name: one.width for one in dependency_groups(net, EXAMPLE)}
    assert "two" in before
    for name, value in limits.items():
        monkeypatch.setattr(circles, name, value)
    if "MOST_CHANNELS" in limits:
        after = {one.name: one.width for one in dependency_groups(net, EXAMPLE)}
        assert after == {name: width for name, width in before.items() if name != "two"}
    found = find_couplings(net, EXAMPLE, dependency_groups)
    assert {one.name: one.width for one in found.proven} == {"one": 16, "two": 32}
    assert set(found.refused) == {"head"}


class Windows(nn.Module):
    """Attention within windows of two by two places, as in Swin, that uses its layers' weights without calling them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.mix = nn.Conv2d(1, 8, 2, stride=2), nn.Linear(8, 24)
        self.norm, self.wide, self.narrow, self.head = (
            nn.LayerNorm(8),
            nn.Linear(8, 32),
            nn.Linear(32, 8),
            nn.Linear(8, 10),
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        places = self.patch(inputs).permute(0, 2, 3, 1)
        n, height, width, c = places.shape
        rows = places.view(n, height // 2, 2, width // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        one, two, three = F.linear(rows, self.mix.weight, self.mix.bias).chunk(3, -1)
        mixed = ((one @ two.transpose(1, 2)).softmax(-1) @ three).view(n, height // 2, width // 2, 2, 2, c)
        places = places + mixed.permute(0, 1, 3, 2, 4, 5).reshape(n, height, width, c)
        return self.head((places + self.narrow(self.wide(self.norm(places)).relu())).mean((1, 2)))


def test_of_attention_in_windows_the_hidden_layer_goes_and_the_rest_has_a_reason() -> None:
    found = find_couplings(Windows().eval(), EXAMPLE, dependency_groups)
    assert {one.name: one.width for one in found.proven} == {"wide": 32}
    assert "mixed before they reach" in found.refused["patch"]
    assert found.refused["mix"] == "nothing calls it; weights that are used without that cannot be followed"
