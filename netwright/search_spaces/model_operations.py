"""Layers and functions that a network calls, as operations with their weights in a layer graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from netwright.core.errors import ShapeError
from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_attention import attention, with_parameter
from netwright.search_spaces.model_calls import UNCHANGED, Call, call_operation
from netwright.search_spaces.model_functions import (
    PER_SAMPLE,
    PER_SAMPLE_SECOND,
    Item,
    Several,
    Written,
    function_name,
    written,
)
from netwright.search_spaces.model_layers import UnreadableError, expect, layer_operation
from netwright.search_spaces.model_layouts import TimeFirst
from netwright.search_spaces.model_nodes import flat, mapped, name_of, place_of, shape_of
from netwright.search_spaces.model_recurrent import RECURRENT, Hidden, LayersRead, Pair, States, recurrent
from netwright.search_spaces.model_tracing import BATCH, Traced
from netwright.search_spaces.model_writing import Writer
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.learned_state import LearnedState
from netwright.search_spaces.operations.reshape import Reshape
from netwright.search_spaces.operations.zero import Zero

CELLS = ("torch.lstm_cell", "torch.gru_cell", "torch.rnn_tanh_cell", "torch.rnn_relu_cell")
"""Single steps of recurrent cells, which a loop over time calls."""


class Operations:
    """What each step gives for tensors of the graph, to which it adds operations."""

    def __init__(self, traced: Traced, to: Writer) -> None:
        self._traced = traced
        self._to = to
        self._weights: dict[tuple[Any, ...], str] = {}

    def applied(self, node: fx.Node, arguments: Any, named: Any, result: Any) -> Any:
        """What a layer or a function gives for tensors of the graph; `result` is what it gave the network."""
        if node.op == "call_module":
            return self.layer(node, arguments, named)
        name = name_of(node)
        learned = with_parameter(name, arguments, named)
        if learned is not None:
            operation, tensor, state = learned
            return self._to.put(self._to.unused(self._to.path(node)), operation, [tensor], state)
        before = self._traced.results[node.all_input_nodes[0]]
        stays = isinstance(result, torch.Tensor) and (before.dtype, before.shape) == (result.dtype, result.shape)
        if name.rstrip("_") in UNCHANGED and stays:
            return arguments[0]
        try:
            return self._by_operation(node, name, arguments, named, result)
        except (UnreadableError, ShapeError):
            return self.called_as(node, function_name(node), arguments, named, result=result)

    def function(self, node: fx.Node, function: str, arguments: Sequence[Any], named: Any) -> Any:
        """A function in place of the one that a step calls."""
        values = [torch.rand(BATCH, *value.shape) if isinstance(value, Tensor) else value for value in arguments]
        call = written(function, arguments, named, ())
        result = call.operation.run([value for value in values if isinstance(value, torch.Tensor)], call.weights)
        if isinstance(result, tuple):
            result = result[0]
        try:
            return self._by_operation(node, function.partition(".")[2], arguments, named, result)
        except (UnreadableError, ShapeError):
            return self.called_as(node, function, arguments, named, result=result)

    def called_as(
        self, node: fx.Node, function: str, arguments: Any, named: Any, *, result: Any = None, item: Item = None
    ) -> Any:
        """A function of torch as it is called, when no operation of its own stands for it."""
        result = self._traced.results[node] if result is None else result
        if isinstance(result, (tuple, list)):
            several = Several(function, arguments, named)
            if item is None and function in CELLS:
                beside = self.called_as(node, function, arguments, named, result=torch.cat(result, -1), item="all")
                return replace(several, beside=beside, count=len(result))
            return several
        if function in CELLS:
            arguments = self._begun(node, arguments)
        call = written(function, arguments, named, shape_of(result, self._to.parts), item=item)
        key = tuple((weight.data_ptr(), tuple(weight.shape)) for weight in call.weights)
        path = self._known_place(key, call) or self._to.unused(self._to.path(node))
        if key:
            self._weights[key] = path
        return self._to.put(path, call.operation, call.tensors, {f"weight{i}": w for i, w in enumerate(call.weights)})

    def layer(self, node: fx.Node, arguments: Any, named: Mapping[str, Any]) -> Any:
        """What a layer of torch gives for tensors of the graph, one that reads sequences also for the time first."""
        module, place = self._traced.root.get_submodule(str(node.target)), place_of(str(node.target))
        if type(module) in RECURRENT:
            return recurrent(node, module, place, self._begun(node, arguments), named, self._to.put)
        if isinstance(module, nn.MultiheadAttention):
            return Pair(attention(module, place, arguments[0] if arguments else named["query"], self._to.put))
        expect(len(arguments) == 1 and not named, "a layer of one input")
        operation = layer_operation(module)
        if operation is None:
            return arguments[0]
        state = module.state_dict()
        if isinstance(module, nn.Conv1d):
            state["weight"] = state["weight"].unsqueeze(2)  # of an image of one row
        return self._to.put(place, operation, arguments, state)

    def _by_operation(self, node: fx.Node, name: str, arguments: Any, named: Any, result: Any) -> Any:
        after = shape_of(result if isinstance(result, torch.Tensor) else result[0], self._to.parts)
        call = Call(name, tuple(arguments), dict(named), after)
        operation = call_operation(call)
        shapes = tuple(tensor.shape for tensor in call.tensors)
        gives = call.before if operation is None else operation.output_shape(shapes)
        expect(gives == after, f"a result of the shape {gives}, came {after}")
        tensor = call.tensors[0] if operation is None else self._to.add(node, operation, call.tensors)
        return tensor if isinstance(result, torch.Tensor) else Pair(tensor)

    def _begun(self, node: fx.Node, arguments: Any) -> Any:
        """The arguments of a recurrent layer or cell, what is alike for all samples as values of the network.

        A loop over time begins with such zeros, a decoder with a sign of its own.
        """
        read = (getattr(value, "tensor", value) for value in flat(arguments))
        beside = next(value for value in read if isinstance(value, Tensor))

        def repeated(value: torch.Tensor) -> Tensor:
            zeros = self._to.net.add(Zero(size=tuple(value.shape[1:])), beside, name=self._to.unused("zeros"))
            return self.function(node, "torch.add", [zeros, value], {}) if bool(value.any()) else zeros

        def value_of(value: Any) -> Any:
            if isinstance(value, torch.Tensor) and hasattr(value, PER_SAMPLE):
                return repeated(value)
            if isinstance(value, torch.Tensor) and hasattr(value, PER_SAMPLE_SECOND):
                return Hidden(tuple((learned(row), ()) for row in value[:, 0]))
            return value

        def learned(state: torch.Tensor) -> Tensor:
            path = self._to.unused(f"{self._to.path(node)}_start")
            return self._to.put(path, LearnedState(features=len(state)), [beside], {"state": state})

        return mapped(arguments, value_of)

    def stacked(self, value: Any) -> Any:
        """The last states of all layers and directions one after another, as torch gives them; else the value."""
        if not isinstance(value, Hidden):
            return value
        rows = []
        for x, operations in value.states:
            for operation in operations:
                x = self._to.net.add(operation, x, name=self._to.unused("state"))
            rows.append(self._to.net.add(Reshape(shape=(1, *x.shape)), x, name=self._to.unused("state")))
        whole = rows[0] if len(rows) == 1 else self._to.net.add(Concat(), *rows, name=self._to.unused("states"))
        return TimeFirst(whole)

    def apart(self, value: Any) -> list[Any]:
        """What a recurrent layer gives as values one by one, in the order in which torch has them; else the value."""
        if isinstance(value, LayersRead):
            return [part for one in (value.values, value.states) for part in self.apart(one)]
        parts = [value.hidden, value.cells] if isinstance(value, States) else [value]
        return [self.stacked(part) for part in parts]

    def _known_place(self, key: tuple[Any, ...], call: Written) -> str:
        """Where the weights of a call live already, when an earlier one reads the same."""
        known = self._weights.get(key, "") if key else ""
        read_before = {one for other in self._weights for one in other}.intersection(key)
        apart = any(axis is not None for axis in call.operation.weight_axes)
        instead = "; nn.LSTM goes through all steps by itself" if "cell" in call.operation.function else ""
        expect(not read_before or (bool(known) and not apart), f"weights that one step alone reads{instead}")
        return known
