"""Structured pruning takes whole heads of attention out where a network says how many it has, and proves it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from netwright.compression.allocation import Limits, kept
from netwright.compression.attention_heads import head_couplings
from netwright.compression.passes.structured_prune import dependency_groups
from netwright.compression.patch import difference, load_compressed, save_weights
from netwright.compression.proof import outputs, relative_difference
from netwright.compression.pruning import Found, find_couplings
from netwright.compression.surgery import remove, silence

WIDTH, HEADS = 24, 6
EXAMPLE = torch.randn(8, 5, WIDTH, generator=torch.Generator().manual_seed(0))


class Fused(nn.Module):
    """Queries, keys and values from one layer, as timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = HEADS, WIDTH // HEADS, WIDTH
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        joined = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2)
        return self.proj(joined.reshape(n, t, getattr(self, "attn_dim", WIDTH)))


class Apart(nn.Module):
    """A layer each for queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = HEADS
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (one(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in (self.q, self.k, self.v))
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Fixed(Fused):
    """Heads that must be as wide as the inputs together."""

    def __init__(self) -> None:
        super().__init__()
        del self.attn_dim


class Interleaved(Fused):
    """The number of heads is said, but query, key and value of a head lie side by side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, self.num_heads, 3, self.head_dim).permute(3, 0, 2, 1, 4).unbind(0)
        joined = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(n, t, self.attn_dim)
        return self.proj(joined)


class Net(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention, self.head = attention, nn.Linear(WIDTH, 10)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.mlp(torch.relu(x + self.attention(x))).mean(1))


def _found(attention: type[nn.Module]) -> tuple[nn.Module, Found]:
    torch.manual_seed(1)
    net = Net(attention()).eval()
    return net, find_couplings(net, EXAMPLE, dependency_groups)


@pytest.mark.parametrize("attention", [Fused, Apart])
def test_heads_that_are_removed_are_as_if_they_were_silent(attention: type[nn.Module], tmp_path: Path) -> None:
    net, found = _found(attention)
    (heads,) = (coupling for coupling in found.proven if coupling.size == HEADS)
    cuts = heads.cuts([1, 4])
    small = remove(net, cuts)
    assert relative_difference(outputs(small, EXAMPLE), outputs(silence(net, cuts), EXAMPLE)) < 1e-6
    last = [layer for layer in small.attention.children() if isinstance(layer, nn.Linear)][-1]
    assert last.in_features == WIDTH - 2 * WIDTH // HEADS
    save_weights(small, tmp_path / "w.safetensors")
    loaded = load_compressed(net, patch=difference(net, small), weights=tmp_path / "w.safetensors").eval()
    assert torch.equal(outputs(loaded, EXAMPLE), outputs(small, EXAMPLE))


@pytest.mark.parametrize("attention", [Fixed, Interleaved])
def test_attention_that_is_written_otherwise_is_refused_with_a_reason(attention: type[nn.Module]) -> None:
    _, found = _found(attention)
    assert not any(member.path == "attention.qkv" for coupling in found.proven for member in coupling.members)
    assert "heads of attention" in found.refused["attention.qkv"]


def test_heads_and_hidden_units_are_not_ranked_together_by_structure() -> None:
    net, found = _found(Fused)
    families = {coupling.name: coupling.family(net) for coupling in found.proven}
    assert families["attention.qkv"] != families["mlp.0"]


def test_the_least_width_of_a_layer_is_in_channels_and_not_in_heads() -> None:
    _, found = _found(Fused)
    (heads,) = (coupling for coupling in found.proven if coupling.size == HEADS)
    assert heads.thickness == 3 * WIDTH // HEADS
    assert kept(3, 2.1, Limits(round_to=8, min_channels=4, max_ratio=0.9), share=heads.thickness) == 2


def test_only_a_module_that_says_its_heads_is_guessed() -> None:
    assert head_couplings(nn.Sequential(nn.Linear(8, 24), nn.Linear(8, 8))) == []
    assert head_couplings(nn.MultiheadAttention(8, 2)) == []
