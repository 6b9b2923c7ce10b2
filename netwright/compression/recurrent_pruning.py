"""Take hidden units out of RNN, LSTM and GRU layers: the index work, and what the units look like as cuts.

A unit owns one row per gate in `weight_ih`, `weight_hh` and both biases, one column of `weight_hh`, and one
column of the next stacked layer's `weight_ih` in each direction. A torch recurrent layer has one hidden size,
so every layer and direction must lose the same number of units, though each may lose others.
Source of the idea: Wen et al., Learning intrinsic sparse structures within LSTM, ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from netwright.core.errors import CompressionError

_HIDDEN = ("hid", "unit", "lstm", "gru", "rnn")
"""What is in the name of such a number."""


def directions(layer: nn.RNNBase) -> int:
    """1, or 2 for a bidirectional layer."""
    return 2 if layer.bidirectional else 1


def slots(layer: nn.RNNBase) -> int:
    """How many lists of `hidden_size` units the layer has: one per stacked layer and direction."""
    return layer.num_layers * directions(layer)


def unit_count(layer: nn.RNNBase) -> int:
    """All units of all stacked layers and directions."""
    return slots(layer) * layer.hidden_size


def gates(layer: nn.RNNBase) -> int:
    """Rows of weights per unit: 1 for an RNN, 3 for a GRU, 4 for an LSTM."""
    weight = layer.get_parameter("weight_hh_l0")
    return weight.shape[0] // layer.hidden_size


def refusal(layer: nn.RNNBase) -> str:
    """Why the units of this layer cannot be taken out, or nothing."""
    if getattr(layer, "proj_size", 0):
        return "an LSTM with a projection is not supported"
    return ""


def input_weights(layer: nn.RNNBase) -> tuple[str, ...]:
    """The names of the weights that read the layer's input."""
    return tuple(f"weight_ih_l0{suffix}" for suffix in ("", "_reverse")[: directions(layer)])


def suffixes(layer: nn.RNNBase) -> list[str]:
    """The ending of parameter names per slot, in the order units are numbered."""
    ends = ("", "_reverse")[: directions(layer)]
    return [f"_l{number}{end}" for number in range(layer.num_layers) for end in ends]


def remove_units(layer: nn.RNNBase, indices: Sequence[int]) -> None:
    """Take units out in place; raises CompressionError when slots would end up unequal or empty."""
    hidden, count = layer.hidden_size, directions(layer)
    keep = _kept(layer, indices)
    sizes = {len(one) for one in keep}
    if len(sizes) != 1 or 0 in sizes or refusal(layer):
        raise CompressionError(refusal(layer) or "every stacked layer and direction must keep the same number of units")
    rows_per_unit = gates(layer)
    for slot, suffix in enumerate(suffixes(layer)):
        rows = torch.cat([keep[slot] + gate * hidden for gate in range(rows_per_unit)])
        below = slot - slot % count - count
        columns = torch.cat([keep[below + side] + side * hidden for side in range(count)]) if below >= 0 else None
        _cut(layer, f"weight_ih{suffix}", rows, columns)
        _cut(layer, f"weight_hh{suffix}", rows, keep[slot])
        if layer.bias:
            _cut(layer, f"bias_ih{suffix}", rows, None)
            _cut(layer, f"bias_hh{suffix}", rows, None)
    layer.hidden_size = sizes.pop()


def stated_numbers(module: nn.Module, path: str) -> list[str]:
    """The paths of numbers in the modules around a recurrent layer that say its hidden size, as `self.hidden_size`.

    A network that makes its starting state of zeros or splits directions by such a number needs it to shrink with the
    layer; one that scales by it needs it to stay.
    """
    hidden = getattr(module.get_submodule(path), "hidden_size", None)
    parts = path.split(".")
    owners = [".".join(parts[:depth]) for depth in range(len(parts) if path else 0)]
    return [
        f"{owner}.{name}" if owner else name
        for owner in owners
        for name, value in vars(module.get_submodule(owner)).items()
        if type(value) is int and value == hidden and any(word in name.lower() for word in _HIDDEN)
    ]


def silence_units(layer: nn.RNNBase, indices: Sequence[int]) -> None:
    """Make units give zero in place: with zero gates and a zero start their state never moves."""
    hidden = layer.hidden_size
    names = suffixes(layer)
    for index in indices:
        suffix, unit = names[index // hidden], index % hidden
        rows = [unit + gate * hidden for gate in range(gates(layer))]
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if layer.bias else 2]:
            getattr(layer, kind + suffix)[rows] = 0.0


def unit_blocks(layer: nn.RNNBase, values: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """What each unit owns as rows of `values` (one tensor per weight name): per slot [hidden_size, weights]."""
    hidden = layer.hidden_size
    return tuple(
        torch.cat(
            [
                values[name].view(-1, hidden, values[name].shape[1]).transpose(0, 1).flatten(1)
                for name in (f"weight_ih{suffix}", f"weight_hh{suffix}")
            ],
            dim=1,
        )
        for suffix in suffixes(layer)
    )


def _kept(layer: nn.RNNBase, indices: Sequence[int]) -> list[torch.Tensor]:
    hidden = layer.hidden_size
    gone: list[set[int]] = [set() for _ in range(slots(layer))]
    for index in indices:
        gone[index // hidden].add(index % hidden)
    return [torch.tensor(sorted(set(range(hidden)) - one), dtype=torch.long) for one in gone]


def _cut(layer: nn.RNNBase, name: str, rows: torch.Tensor, columns: torch.Tensor | None) -> None:
    old = getattr(layer, name)
    new = old.detach().index_select(0, rows.to(old.device))
    if columns is not None:
        new = new.index_select(1, columns.to(old.device))
    setattr(layer, name, nn.Parameter(new, requires_grad=old.requires_grad))
