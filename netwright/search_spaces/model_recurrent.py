"""Recurrent modules of torch as recurrent operations, one for each of their layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_attention import Put
from netwright.search_spaces.model_layers import dropout, expect
from netwright.search_spaces.model_layouts import tensor_of
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.columns import Columns
from netwright.search_spaces.operations.recurrent import Recurrent
from netwright.search_spaces.operations.summary import Summary

Cell: TypeAlias = Literal["rnn", "lstm", "gru"]
RECURRENT: Mapping[type[nn.Module], Cell] = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}


@dataclass(frozen=True, slots=True)
class Hidden:
    """The last hidden state of each layer and direction, as torch gives it: (layers · directions, batch, width)."""

    layers: tuple[Tensor, ...]
    directions: int = 1

    def state(self, index: int) -> tuple[Tensor, tuple[Operation, ...]]:
        """The sequence of a layer, and what takes the last state of one direction from it."""
        layer, direction = divmod(index % (len(self.layers) * self.directions), self.directions)
        sequence = self.layers[layer]
        summary = Summary(mode="first" if direction else "last")
        width = sequence.shape[1] // self.directions
        half = Columns(start=direction * width, stop=(direction + 1) * width)
        return sequence, (summary, half) if self.directions > 1 else (summary,)


@dataclass(frozen=True, slots=True)
class LayersRead:
    """What a recurrent module gives: the sequence of its last layer, and its states."""

    values: Any
    hidden: Hidden
    cells: bool


@dataclass(frozen=True, slots=True)
class States:
    """The hidden state of an LSTM; that of its cells is beside it."""

    hidden: Hidden


@dataclass(frozen=True, slots=True)
class Unread:
    """A state that no operation gives; an error only when it is used."""

    expected: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Values and what goes with them: of a maximum where they are, of attention what it looks at."""

    values: Any


PARTLY = (LayersRead, Hidden, States, Unread, Pair)
"""Results of which a part is a tensor of the network."""


def recurrent(module: nn.Module, path: str, arguments: Any, named: Mapping[str, Any], put: Put) -> LayersRead:
    """The layers of a recurrent module, dropout between them, of a sequence or of one with the time first."""
    assert isinstance(module, nn.RNNBase)
    in_order = module.batch_first == isinstance(arguments[0], Tensor)
    expect(in_order, "a recurrent layer with batch_first=True, or one that reads (time, samples, features)")
    expect(not module.proj_size, "a recurrent layer without projection")
    expect(bool(module.bias), "a recurrent layer with biases")
    expect(getattr(module, "nonlinearity", "tanh") == "tanh", "a plain recurrent layer with tanh")
    starts = [*arguments[1:], *named.values()]
    expect(all(_is_zero(start) for start in starts), "a recurrent layer that starts from zeros")
    last = module.num_layers - 1
    operation = Recurrent(cell=RECURRENT[type(module)], width=module.hidden_size, bidirectional=module.bidirectional)
    x, sequences = tensor_of(arguments[0]), []
    for number in range(module.num_layers):
        state = {
            name.replace(f"_l{number}", "_l0"): weight
            for name, weight in module.state_dict().items()
            if name.removesuffix("_reverse").endswith(f"_l{number}")
        }
        x = put(f"{path}/layer{number}" if last else path, operation, [x], state)
        sequences.append(x)
        if module.dropout and number < last:
            x = put(f"{path}/dropout{number}", dropout(module.dropout), [x], {})
    hidden = Hidden(tuple(sequences), 2 if module.bidirectional else 1)
    return LayersRead(x, hidden, isinstance(module, nn.LSTM))


def taken(name: str, arguments: Sequence[Any]) -> Any:
    """What is taken out of a recurrent result or a pair: a tensor, a state, or a tensor with operations on it.

    None when the first argument is neither.
    """
    source = arguments[0] if arguments else None
    if isinstance(source, Pair):
        first = (name == "getitem" and arguments[1] == 0) or (name == "getattr" and arguments[1] == "values")
        expect(first, "the values alone, not where a maximum is; to use weights of attention say need_weights=True")
        return source.values
    if isinstance(source, LayersRead):
        expect(name == "getitem" and arguments[1] in (0, 1, -1), "the sequence or the state of a recurrent layer")
        if arguments[1] == 0:
            return source.values
        return States(source.hidden) if source.cells else source.hidden
    if isinstance(source, States):
        expect(name == "getitem", "the hidden state of an LSTM")
        return source.hidden if arguments[1] in (0, -2) else Unread("the hidden state of an LSTM, not its cells'")
    if isinstance(source, Unread):
        expect(False, source.expected)
    if isinstance(source, Hidden):
        return source.state(_layer_index(name, arguments, source))
    return None


def _layer_index(name: str, arguments: Sequence[Any], hidden: Hidden) -> int:
    """Which layer's state is taken: `h[-1]`, or `h.squeeze(0)` of a single layer."""
    index = arguments[1] if len(arguments) > 1 else None
    single = name == "squeeze" and index in (0, None) and len(hidden.layers) * hidden.directions == 1
    if isinstance(index, tuple) and index[1:] == (slice(None),) * 2:
        index = index[0]  # h[-1, :, :]
    expect(single or (name == "getitem" and isinstance(index, int)), "the last state of one layer, such as h[-1]")
    return 0 if single else int(index) if index is not None else 0


def _is_zero(start: Any) -> bool:
    if isinstance(start, (tuple, list)):
        return all(_is_zero(part) for part in start)
    return start is None or (isinstance(start, torch.Tensor) and not bool(start.any()))
