"""Recurrent modules of torch as recurrent operations, one for each of their layers."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import fx, nn

from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_attention import Put
from netwright.search_spaces.model_calls import UNCHANGED
from netwright.search_spaces.model_functions import written
from netwright.search_spaces.model_layers import dropout, expect
from netwright.search_spaces.model_layouts import TimeFirst, tensor_of
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.columns import Columns
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.last_steps import LastSteps
from netwright.search_spaces.operations.recurrent import Recurrent
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.operations.zero import Zero

Cell: TypeAlias = Literal["rnn", "lstm", "gru", "lstm_cells"]
RECURRENT: Mapping[type[nn.Module], Cell] = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}


Taken: TypeAlias = tuple[Tensor, tuple[Operation, ...]]
"""A tensor of the graph, and the operations that take something from it."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """The last state of each layer and direction, which torch gives as (layers · directions, batch, width)."""

    states: tuple[Taken, ...]

    @property
    def tensor(self) -> Tensor:
        """A tensor of which a state is a part."""
        return self.states[0][0]


@dataclass(frozen=True, slots=True)
class States:
    """Both states of an LSTM."""

    hidden: Hidden
    cells: Hidden

    @property
    def tensor(self) -> Tensor:
        """A tensor of which a state is a part."""
        return self.hidden.tensor


@dataclass(frozen=True, slots=True)
class LayersRead:
    """What a recurrent module gives: the sequence of its last layer, and its states."""

    values: Any
    states: Hidden | States


@dataclass(frozen=True, slots=True)
class Pair:
    """Values and what goes with them: of a maximum where they are, of attention what it looks at."""

    values: Any


PARTLY = (LayersRead, Hidden, States, Pair)
"""Results of which a part is a tensor of the network."""


def recurrent(
    node: fx.Node, module: nn.Module, path: str, arguments: Any, named: Mapping[str, Any], put: Put
) -> LayersRead:
    """The layers of a recurrent module, dropout between them, of a sequence or of one with the time first."""
    assert isinstance(module, nn.RNNBase)
    in_order = module.batch_first == isinstance(arguments[0], Tensor)
    expect(in_order, "a recurrent layer with batch_first=True, or one that reads (time, samples, features)")
    expect(not module.proj_size, "an LSTM without proj_size; write nn.Linear(hidden_size, proj_size) after it instead")
    expect(bool(module.bias), "a recurrent layer with biases")
    expect(getattr(module, "nonlinearity", "tanh") == "tanh", "a plain recurrent layer with tanh")
    last, directions, width = module.num_layers - 1, 2 if module.bidirectional else 1, module.hidden_size
    starts = _starts([*arguments[1:], *named.values()])
    cells = isinstance(module, nn.LSTM) and _reads_cells(node)
    cell: Cell = "lstm_cells" if cells else RECURRENT[type(module)]
    operation = Recurrent(cell=cell, width=width, bidirectional=module.bidirectional)
    halves = [Columns(start=i * width, stop=(i + 1) * width) for i in range(directions)] if directions > 1 else [None]
    x, hidden, ends = tensor_of(arguments[0]), [], []
    for number in range(module.num_layers):
        weights = {
            name.replace(f"_l{number}", "_l0"): weight
            for name, weight in module.state_dict().items()
            if name.removesuffix("_reverse").endswith(f"_l{number}")
        }
        place = f"{path}/layer{number}" if last else path
        own = slice(number * directions, (number + 1) * directions)
        made = put(place, operation, [x, *(_start(start.states[own], place, put) for start in starts)], weights)
        x = made
        if cells:
            call = written(
                "operator.getitem", [made, (slice(None), slice(None, -1))], {}, (made.shape[0] - 1, made.shape[1])
            )
            x = put(f"{place}/steps", call.operation, [made], {})
        for direction, half in enumerate(halves):
            rest = () if half is None else (half,)
            hidden.append((x, (Summary(mode="first" if direction else "last"), *rest)))
            ends.append((made, (Summary(mode="last"), *rest)))
        if module.dropout and number < last:
            x = put(f"{path}/dropout{number}", dropout(module.dropout), [x], {})
    states = Hidden(tuple(hidden))
    return LayersRead(x, States(states, Hidden(tuple(ends))) if isinstance(module, nn.LSTM) else states)


def _reads_cells(node: fx.Node) -> bool:
    """Whether the state of the cells of an LSTM is used."""
    taken = [user for user in node.users if user.target is not operator.getitem or user.args[1] != 0]
    return any(one.op == "output" for one in taken) or any(
        one.target is not operator.getitem or user.target is not operator.getitem or user.args[1] not in (0, -2)
        for one in taken
        for user in one.users
    )


def _starts(given: list[Any]) -> list[Hidden]:
    """The states that a recurrent module starts from, one after another; none when they are zeros."""
    given = [
        part for value in given for part in ((value.hidden, value.cells) if isinstance(value, States) else [value])
    ]
    given = [part for value in given for part in (value if type(value) in (tuple, list) else [value])]
    plain = [value is None or (isinstance(value, torch.Tensor) and not bool(value.any())) for value in given]
    if all(plain):
        return []
    starts = [Hidden(_rows(value.tensor)) if isinstance(value, TimeFirst) else value for value in given]
    states = [state for start in starts if isinstance(start, Hidden) for state in start.states]
    # zeros beside a state that is none
    zeros = Hidden(tuple((x, (*operations, Zero())) for x, operations in states))
    starts = [zeros if is_zero else start for start, is_zero in zip(starts, plain, strict=True)]
    known = all(isinstance(start, Hidden) for start in starts)
    expect(
        known,
        "a start from zeros, a learned state for every sample, another layer's states or such as state.unsqueeze(0)",
    )
    return starts


def _rows(tensor: Tensor) -> tuple[Taken, ...]:
    """Each step of a sequence."""
    first, count = Summary(mode="first"), tensor.shape[0]
    return tuple((tensor, (LastSteps(steps=count - i), first) if i else (first,)) for i in range(count))


def _start(states: Sequence[Taken], place: str, put: Put) -> Tensor:
    """The state of one layer, both directions side by side."""
    made = []
    for x, operations in states:
        for operation in operations:
            x = put(f"{place}/start", operation, [x], {})
        made.append(x)
    return made[0] if len(made) == 1 else put(f"{place}/start", Concat(), made, {})


def taken(name: str, arguments: Sequence[Any]) -> Any:
    """What is taken out of a recurrent result or a pair: a tensor, a state, or a tensor with operations on it.

    None when the first argument is neither.
    """
    source = arguments[0] if arguments else None
    if isinstance(source, Pair):
        first = (name == "getitem" and arguments[1] == 0) or (name == "getattr" and arguments[1] == "values")
        expect(first, "the values alone, not where a maximum is")
        return source.values
    if isinstance(source, LayersRead):
        expect(name == "getitem" and arguments[1] in (0, 1, -1), "the sequence or the state of a recurrent layer")
        return source.states if arguments[1] else source.values
    if isinstance(source, States):
        expect(name == "getitem", "one of both states of an LSTM")
        return source.hidden if arguments[1] in (0, -2) else source.cells
    if isinstance(source, Hidden):
        if name in UNCHANGED:
            return source
        index = _layer_index(name, arguments, len(source.states))
        return None if index is None else source.states[index]
    return None


def _layer_index(name: str, arguments: Sequence[Any], count: int) -> int | None:
    """Which layer's state is taken: `h[-1]`, or `h.squeeze(0)` of a single layer; None for anything else."""
    index = arguments[1] if len(arguments) > 1 else None
    single = name == "squeeze" and index in (0, None) and count == 1
    if isinstance(index, tuple) and index[1:] == (slice(None),) * 2:
        index = index[0]  # h[-1, :, :]
    if single:
        return 0
    return index if name == "getitem" and isinstance(index, int) else None
