"""Heads of attention as channels that go together, guessed from a module that says how many it has."""

from __future__ import annotations

from typing import Literal

from torch import nn

from netwright.compression.coupling import Coupling, Member

_COUNTS = ("num_heads", "n_heads", "heads", "num_attention_heads")
_WIDTHS = ("attn_dim", "inner_dim", "all_head_size", "val_attn_dim")


def head_couplings(module: nn.Module) -> list[Coupling]:
    """A coupling of whole heads for every attention that is written as most are; a guess, to be proven.

    That is a module with a number of heads and Linear layers, of which the last one joins the heads and the others
    give queries, keys and values, each or all at once, head after head. The number falls with the heads, and so do
    numbers that say the width of all heads. Source: Michel, Levy & Neubig, NeurIPS 2019.
    """
    return [found for path, owner in module.named_modules() if (found := _coupling(path, owner)) is not None]


def _coupling(path: str, owner: nn.Module) -> Coupling | None:
    layers = {f"{path}.{name}".lstrip("."): one for name, one in owner.named_children() if isinstance(one, nn.Linear)}
    said = {name: value for name, value in vars(owner).items() if type(value) is int}
    heads = next((said[name] for name in _COUNTS if name in said), 0)
    if heads < 2 or len(layers) < 2:
        return None
    *givers, last = layers
    width = layers[last].in_features
    if width % heads or any(layers[giver].out_features % width for giver in givers):
        return None
    each = width // heads
    members = [_member(giver, "out", layers[giver].out_features, heads, each) for giver in givers]
    falling = {name: 1 for name in _COUNTS if said.get(name) == heads}
    falling |= {name: each for name in _WIDTHS if said.get(name) == width}
    numbers = tuple((f"{path}.{name}".lstrip("."), by) for name, by in falling.items())
    return Coupling(givers[0], 1, heads, (*members, _member(last, "in", width, heads, each)), numbers=numbers)


def _member(path: str, role: Literal["in", "out"], width: int, heads: int, each: int) -> Member:
    return Member(path, role, tuple(index // each % heads for index in range(width)), tuple(range(width)))
