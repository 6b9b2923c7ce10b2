"""The steps of a user's network as operations, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.shapes import Shape
from netwright.search_spaces.graph import LayerGraph, Tensor
from netwright.search_spaces.model_attention import attention, transformer, with_parameter
from netwright.search_spaces.model_calls import RESHAPING, SHAPED_AS, UNCHANGED, Call, axes_of, call_operation
from netwright.search_spaces.model_functions import (
    MADE_BY,
    PER_SAMPLE,
    SAMPLES,
    Item,
    Several,
    Written,
    function_name,
    written,
)
from netwright.search_spaces.model_layers import UnreadableError, expect, layer_operation
from netwright.search_spaces.model_layouts import (
    LAID,
    SIGNAL_LAYERS,
    Grid,
    Laid,
    Signal,
    TimeFirst,
    flat_places,
    in_two_dimensions,
    order,
    tensor_of,
    turned,
)
from netwright.search_spaces.model_nodes import close, flat, mapped, name_of, owner_of, place_of, shape_of
from netwright.search_spaces.model_parts import Joined, Moved, Sized, unwrapped
from netwright.search_spaces.model_recurrent import PARTLY, RECURRENT, LayersRead, Pair, recurrent_layers, taken
from netwright.search_spaces.model_tracing import BATCH, OTHER_BATCH, Traced
from netwright.search_spaces.model_writing import Writer
from netwright.search_spaces.operations.columns import Columns
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.reshape import Reshape
from netwright.search_spaces.operations.tokens import Tokens
from netwright.search_spaces.operations.zero import Zero

OF_NETWORK = (Tensor, *LAID, Several, *PARTLY, Joined, Moved)
"""What depends on the network's input; anything else that a step gives is a constant."""
CELLS = ("torch.lstm_cell", "torch.gru_cell", "torch.rnn_tanh_cell", "torch.rnn_relu_cell")
"""Single steps of recurrent cells, which a loop over time calls."""


class Reading:
    """Goes through a traced network step by step, adding operations to a graph."""

    def __init__(self, traced: Traced) -> None:
        self._traced = traced
        self._to = Writer(tuple(traced.inputs.shape[1:]), traced.root)
        self._values: dict[fx.Node, Any] = {}
        self._signals: dict[Tensor, Signal] = {}
        self._weights: dict[tuple[Any, ...], str] = {}
        self.steps: list[tuple[fx.Node, Tensor]] = []
        self.result: fx.Node | None = None

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        """The weights by their names in the compiled graph."""
        return self._to.state

    def graph(self) -> LayerGraph:
        """The graph of the whole network; raises SpaceError that names the step which cannot be read."""
        output: Any = None
        for node in self._traced.graph.nodes:
            try:
                if node.op == "output":
                    output = self._result(node.args[0])
                else:
                    self._values[node] = self._value(node)
                    if isinstance(self._values[node], Tensor):
                        self.steps.append((node, self._values[node]))
            except (UnreadableError, ShapeError) as error:
                raise SpaceError(f"{self.where(node)} cannot be read: {error}") from None
        return self._to.whole.finish(output)

    def until(self, tensor: Tensor) -> LayerGraph:
        """The graph as far as one tensor."""
        return self._to.whole.finish(tensor)

    def where(self, node: fx.Node) -> str:
        """A step in the words of the user's code."""
        if node.op == "output":
            return "the result of forward"
        if node.op == "call_module":
            return f"the layer {node.target!r} ({type(self._traced.root.get_submodule(str(node.target))).__name__})"
        owner = owner_of(node)
        return f"the step {name_of(node)!r} in {owner!r}" if owner else f"the step {name_of(node)!r} of forward"

    def _result(self, given: Any) -> Tensor:
        made = [part for part in flat(given) if isinstance(part, fx.Node)]
        self.result = made[0] if len(made) == 1 else None
        value = self._values[made[0]] if len(made) == 1 else None
        told = f", came {len(made)}, of {' and '.join(map(self.where, made))}; return one" if len(made) > 1 else ""
        expect(isinstance(value, (Tensor, *LAID)), f"one tensor{told}")
        return self._plain(value)

    def _value(self, node: fx.Node) -> Any:
        """What a step gives: a tensor of the graph, a part of one in another order, or a constant."""
        if node.op == "placeholder":
            return self._to.whole.input
        sources = node.all_input_nodes[: 1 if name_of(node) in SHAPED_AS else None]
        read = [self._values[source] for source in sources]
        parts = {value.parts if isinstance(value, Joined) else 1 for value in read if isinstance(value, OF_NETWORK)}
        if not parts:
            return self._constant(node)
        expect(len(parts) == 1, "values whose samples are joined with the same axis")
        self._to.parts = parts.pop()
        try:
            found = self._regrouped(node)
            if found is None:
                found = self._step(node)
                found = found if self._to.parts == 1 else Joined(found, self._to.parts)
        finally:
            self._to.parts = 1
        return found

    def _regrouped(self, node: fx.Node) -> Tensor | Joined | None:
        """A reshaping that joins the samples with other axes than before, or with none again; else None."""
        result, other = self._traced.results[node], self._traced.results[self._traced.others[node]]
        if name_of(node) not in RESHAPING or not isinstance(result, torch.Tensor) or not result.dim():
            return None
        parts, rest = divmod(len(result), BATCH)
        if rest or parts == self._to.parts or len(other) != parts * OTHER_BATCH:
            return None
        before = self._plain(unwrapped(self._values[node.all_input_nodes[0]]))
        if self._to.parts > 1:
            before = before._replace(shape=(self._to.parts, *before.shape))
        after = (parts, *result.shape[1:]) if parts > 1 else tuple(result.shape[1:])
        if before.shape != after:
            before = self._to.whole.add(Reshape(shape=after), before, name=self._to.unused(self._to.path(node)))
        return before if parts == 1 else Joined(before._replace(shape=after[1:]), parts)

    def _step(self, node: fx.Node) -> Any:
        """What a step gives for values of the network, in the world of their parts."""
        arguments, named = self._given(node, node.args, "args"), self._given(node, node.kwargs, "kwargs")
        arguments = arguments[: 1 if name_of(node) in SHAPED_AS else None]
        found = self._taken(node, arguments)
        if found is None:
            found = self._in_order(node, arguments, named)
        if found is None:
            found = self._applied(node, *self._all_plain(arguments, named), self._traced.results[node])
        return found

    def _given(self, node: fx.Node, mine: Any, which: str) -> Any:
        other = getattr(self._traced.others[node], which)
        return self._argument(mine, other)

    def _argument(self, mine: Any, other: Any) -> Any:
        """An argument with the values of the steps that it names; `other` is the one for the other batch."""
        if isinstance(mine, fx.Node):
            return unwrapped(self._values[mine])
        if isinstance(mine, Mapping):
            return {key: self._argument(value, other[key]) for key, value in mine.items()}
        if isinstance(mine, slice):
            return slice(*(self._argument(getattr(mine, p), getattr(other, p)) for p in ("start", "stop", "step")))
        if isinstance(mine, (tuple, list)):
            expect(len(mine) == len(other), "as many arguments for any number of samples")
            return tuple(self._argument(*pair) for pair in zip(mine, other, strict=True))
        if isinstance(mine, int) and (mine, other) == (BATCH * self._to.parts, OTHER_BATCH * self._to.parts):
            return SAMPLES
        if type(mine) not in (int, float) or mine == other:
            return mine
        told = f"expected sizes that do not depend on the number of samples, came {mine} for {BATCH} of them"
        return Sized(f"{told}: leave the first axis to the samples")

    def _constant(self, node: fx.Node) -> Any:
        """What a step gives that does not depend on the input; what comes of parameters is one, and trained."""
        value, other = self._traced.results[node], self._traced.results[self._traced.others[node]]
        if not isinstance(value, torch.Tensor):
            return value
        repeated = False
        grows = value.dim() > 0 and len(value) % BATCH == 0 and len(value) * OTHER_BATCH == len(other) * BATCH
        if grows and len(value) and bool((value == value[:1]).all()):
            value = value[:1]
            repeated = True
        learned = any(isinstance(self._values[source], nn.Parameter) for source in node.all_input_nodes)
        learned = learned or (node.op == "get_attr" and isinstance(value, nn.Parameter))
        if learned:
            value = nn.Parameter(value.detach(), requires_grad=False)
            self._note_origin(node, value, repeated=repeated)
        elif repeated:
            value = value.clone()
        if repeated:
            setattr(value, PER_SAMPLE, True)
        return value

    def _note_origin(self, node: fx.Node, value: torch.Tensor, *, repeated: bool) -> None:
        """Note on what is made of parameters how it is, so that those are trained and not what is made of them."""
        if node.op == "get_attr" or repeated:
            return
        given = list(self._given(node, node.args, "args")), dict(self._given(node, node.kwargs, "kwargs"))
        if not any(isinstance(part, (Sized, type(SAMPLES))) for part in [*flat(given[0]), *flat(given[1])]):
            setattr(value, MADE_BY, (function_name(node), *given))

    def _taken(self, node: fx.Node, arguments: Any) -> Any:
        """A part of what several results were given by, or None."""
        first, name = arguments[0] if arguments else None, name_of(node)
        if isinstance(first, Several):
            item = first.taken(name, arguments[1])
            if first.beside is not None:
                width = first.beside.shape[-1] // first.count
                start = item % first.count * width
                return self._to.add(node, Columns(start=start, stop=start + width), [first.beside])
            return self._called_as(node, first.function, first.arguments, first.named, item=item)
        if isinstance(first, Moved):
            return self._taken_along(node, name, first, arguments[1:])
        found = taken(name, arguments)
        if isinstance(found, tuple) and not isinstance(found, Tensor):
            found, operations = found
            for operation in operations:
                found = self._to.add(node, operation, [found])
        return found

    def _taken_along(self, node: fx.Node, name: str, moved: Moved, arguments: Any) -> Any:
        """One entry along the axis that stands before the samples, or all of them in a row."""
        if name == "unbind" and arguments in ((), (0,)):
            return moved
        index = arguments[0] if arguments else None
        expect(name == "getitem" and isinstance(index, int), "the samples as the first axis again, by x[0], x[1], ...")
        part = self._function(node, "method.select", [moved.tensor, moved.axes[0], index], {})
        order = moved.rest()
        expect(order[0] == 0, "the samples as the first axis of what is taken")
        return part if order == tuple(range(len(order))) else self._function(node, "method.permute", [part, *order], {})

    def _in_order(self, node: fx.Node, arguments: Any, named: Mapping[str, Any]) -> Any:
        """A step on values in another order than the graph's, or one that gives such; None when it is neither."""
        first: Any = arguments[0] if arguments else None
        result, name = self._traced.results[node], name_of(node)
        if node.op == "call_module":
            module = self._traced.root.get_submodule(str(node.target))
            if isinstance(module, SIGNAL_LAYERS) and len(first.shape) == 2:
                return Signal(self._layer(node, [self._signal(node, first)], named))
            if isinstance(first, TimeFirst) and type(module) in RECURRENT:
                read = self._layer(node, [first, *arguments[1:]], named)
                return replace(read, sequence=TimeFirst(read.sequence))
        elif isinstance(first, (Tensor, *LAID)) and isinstance(result, torch.Tensor):
            found = self._rearranged(node, name, arguments, tuple(result.shape[1:]))
            found = found or self._one_dimensional(node, name, arguments, dict(named))
            if found is not None:
                return found
        laid = [value for value in [*flat(arguments), *flat(named)] if isinstance(value, LAID)]
        sure = [value for value in laid if not isinstance(value, Signal) or not value.flat]
        return self._alike(node, sure[0]) if sure else None

    def _rearranged(self, node: fx.Node, name: str, arguments: Any, after: Shape) -> Any:
        first: Tensor | Laid = arguments[0]
        axes = order(name, arguments, len(first.shape) + 1)
        way = turned(first, axes) if axes else None
        if way is not None:
            return way[1](tensor_of(first) if way[0] is None else self._to.add(node, way[0], [tensor_of(first)]))
        if axes and axes[0] != 0:
            return Moved(self._plain(first), axes)
        if name not in RESHAPING:
            return None
        if isinstance(first, Tensor):
            # also the image of one row whose row is taken away
            made = (after[0], 1, after[1]) if flat_places(first, after) else None
            return Signal(self._to.add(node, Reshape(shape=made), [first]), flat=True) if made else None
        if isinstance(first, Signal) and (len(after) == 1 or (len(after) == 3 and after[0] == first.shape[0])):
            return self._to.add(node, Flatten() if len(after) == 1 else Reshape(shape=after), [first.tensor])
        return first.tensor if after == first.tensor.shape else None

    def _one_dimensional(self, node: fx.Node, name: str, arguments: Any, named: dict[str, Any]) -> Any:
        """Functions of a signal along time as those of its image, and of a grid as those of its sequence."""
        first: Tensor | Laid = arguments[0]
        as_image = in_two_dimensions(name, arguments, named)
        if as_image is not None and len(first.shape) == 2:
            name, _, named = as_image
            return Signal(self._function(node, f"functional.{name}", [self._signal(node, first)], named))
        if isinstance(first, Tensor):
            return None
        if name in ("mean", "amax", "max"):
            axes, keep = axes_of(arguments, named, len(first.shape) + 1)
            if axes == [2] and isinstance(first, Signal):
                found = self._function(node, f"method.{name}", [first.tensor, (2, 3), keep], {})
                return Signal(found) if keep else found
            if axes == [0] and isinstance(first, TimeFirst) and not keep:
                return self._function(node, f"method.{name}", [first.tensor, (1,)], {})
            if axes == [1, 2] and isinstance(first, Grid) and not keep:
                return self._function(node, f"method.{name}", [first.tensor, (1,)], {})
        if name == "getitem" and isinstance(first, TimeFirst):
            steps = arguments[1] if isinstance(arguments[1], tuple) else (arguments[1],)
            if isinstance(steps[0], int) and all(part == slice(None) for part in steps[1:]):
                return self._function(node, "operator.getitem", [first.tensor, (slice(None), steps[0])], {})
        if name == "getitem" and isinstance(first, Signal) and isinstance(arguments[1], tuple):
            *whole, last = arguments[1]
            if whole == [slice(None)] * 2 and isinstance(last, slice):
                return Signal(self._function(node, "operator.getitem", [first.tensor, (*whole, slice(None), last)], {}))
            if whole == [slice(None)] * 2 and isinstance(last, int):
                sequence = self._to.net.add(Tokens(), first.tensor, name=self._to.unused(self._to.path(node)))
                return self._function(node, "operator.getitem", [sequence, (slice(None), last)], {})
        return None

    def _alike(self, node: fx.Node, lead: Laid) -> Any:
        """A step that does the same to values in either order, which is tried; None when it does not."""
        values = {}
        for source in node.all_input_nodes:
            value = self._values[source]
            if isinstance(lead, Signal) and isinstance(value, Tensor) and value.shape == lead.shape:
                value = self._values[source] = Signal(self._signal(node, value))
            if isinstance(value, type(lead)):
                values[source] = value.of(self._traced.results[source])
            elif isinstance(value, OF_NETWORK):
                return None
        try:
            result = self._traced.run(node, values)
        except (RuntimeError, IndexError, TypeError, ValueError):
            return None
        expected = self._traced.results[node]
        stays = not isinstance(lead, Grid) or expected.shape[1] == lead.height
        if not isinstance(result, torch.Tensor) or not stays or not close(result, lead.of(expected)):
            return None
        arguments, named = self._given(node, node.args, "args"), self._given(node, node.kwargs, "kwargs")
        found = self._applied(node, mapped(arguments, tensor_of), mapped(named, tensor_of), result)
        return lead.like(found) if isinstance(found, Tensor) else None

    def _signal(self, node: fx.Node, value: Tensor | Laid) -> Tensor:
        """The tensor (channels, 1, time) of a value (channels, time)."""
        if isinstance(value, Signal):
            return value.tensor
        assert isinstance(value, Tensor)
        if value not in self._signals:
            channels, time = value.shape
            row = Reshape(shape=(channels, 1, time))
            path = self._to.unused("/".join(part for part in (place_of(owner_of(node)), "signal") if part))
            self._signals[value] = Signal(self._to.net.add(row, value, name=path))
        return self._signals[value].tensor

    def _plain(self, value: Any) -> Tensor:
        """A value as the network has it."""
        expect(not isinstance(value, Moved), "the samples as the first axis again, by x[0], x[1], ...")
        if not isinstance(value, LAID):
            return value  # type: ignore[no-any-return]  # a tensor, or no value of the network
        return self._to.net.add(value.plain, value.tensor, name=self._to.unused("plain"))

    def _all_plain(self, arguments: Any, named: Any) -> tuple[Any, Any]:
        return mapped(arguments, self._plain), mapped(named, self._plain)

    def _applied(self, node: fx.Node, arguments: Any, named: Any, result: Any) -> Any:
        """What a layer or a function gives for tensors of the graph; `result` is what it gave the network."""
        if node.op == "call_module":
            return self._layer(node, arguments, named)
        learned = with_parameter(name_of(node), arguments, named)
        if learned is not None:
            operation, tensor, state = learned
            return self._to.put(self._to.unused(self._to.path(node)), operation, [tensor], state)
        if name_of(node).rstrip("_") in UNCHANGED and self._stays(node, result):
            return arguments[0]
        try:
            return self._by_operation(node, name_of(node), arguments, named, result)
        except (UnreadableError, ShapeError):
            return self._called_as(node, function_name(node), arguments, named, result=result)

    def _stays(self, node: fx.Node, result: Any) -> bool:
        before = self._traced.results[node.all_input_nodes[0]]
        return isinstance(result, torch.Tensor) and (before.dtype, before.shape) == (result.dtype, result.shape)

    def _by_operation(self, node: fx.Node, name: str, arguments: Any, named: Any, result: Any) -> Any:
        after = shape_of(result if isinstance(result, torch.Tensor) else result[0], self._to.parts)
        call = Call(name, tuple(arguments), dict(named), after)
        operation = call_operation(call)
        shapes = tuple(tensor.shape for tensor in call.tensors)
        gives = call.before if operation is None else operation.output_shape(shapes)
        expect(gives == after, f"a result of the shape {gives}, came {after}")
        tensor = call.tensors[0] if operation is None else self._to.add(node, operation, call.tensors)
        return tensor if isinstance(result, torch.Tensor) else Pair(tensor)

    def _function(self, node: fx.Node, function: str, arguments: Sequence[Any], named: Any) -> Any:
        """A function in place of the one that a step calls."""
        values = [torch.rand(BATCH, *value.shape) if isinstance(value, Tensor) else value for value in arguments]
        call = written(function, arguments, named, ())
        result = call.operation.run([value for value in values if isinstance(value, torch.Tensor)], call.weights)
        if isinstance(result, tuple):
            result = result[0]
        try:
            return self._by_operation(node, function.partition(".")[2], arguments, named, result)
        except (UnreadableError, ShapeError):
            return self._called_as(node, function, arguments, named, result=result)

    def _called_as(
        self, node: fx.Node, function: str, arguments: Any, named: Any, *, result: Any = None, item: Item = None
    ) -> Any:
        """A function of torch as it is called, when no operation of its own stands for it."""
        result = self._traced.results[node] if result is None else result
        if isinstance(result, (tuple, list)):
            several = Several(function, arguments, named)
            if item is None and function in CELLS:
                beside = self._called_as(node, function, arguments, named, result=torch.cat(result, -1), item="all")
                return replace(several, beside=beside, count=len(result))
            return several
        if function in CELLS:
            arguments = self._begun(arguments)
        call = written(function, arguments, named, shape_of(result, self._to.parts), item=item)
        key = tuple((weight.data_ptr(), tuple(weight.shape)) for weight in call.weights)
        path = self._known_place(key, call) or self._to.unused(self._to.path(node))
        if key:
            self._weights[key] = path
        return self._to.put(path, call.operation, call.tensors, {f"weight{i}": w for i, w in enumerate(call.weights)})

    def _begun(self, arguments: Any) -> Any:
        """The arguments of a cell, the zeros that a loop begins with as values of the network like later states."""
        beside = next(value for value in flat(arguments) if isinstance(value, Tensor))

        def value_of(value: Any) -> Any:
            zeros = isinstance(value, torch.Tensor) and hasattr(value, PER_SAMPLE) and not bool(value.any())
            made = Zero(size=tuple(value.shape[1:])) if zeros else None
            return value if made is None else self._to.net.add(made, beside, name=self._to.unused("zeros"))

        return mapped(arguments, value_of)

    def _known_place(self, key: tuple[Any, ...], call: Written) -> str:
        """Where the weights of a call live already, when an earlier one reads the same."""
        known = self._weights.get(key, "") if key else ""
        read_before = {one for other in self._weights for one in other}.intersection(key)
        apart = any(axis is not None for axis in call.operation.weight_axes)
        instead = "; nn.LSTM goes through all steps by itself" if "cell" in call.operation.function else ""
        expect(not read_before or (bool(known) and not apart), f"weights that one step alone reads{instead}")
        return known

    def _layer(self, node: fx.Node, arguments: Any, named: Mapping[str, Any]) -> Any:
        module = self._traced.root.get_submodule(str(node.target))
        place = place_of(str(node.target))
        if type(module) in RECURRENT:
            return self._recurrent(module, place, arguments, named)
        if isinstance(module, nn.MultiheadAttention):
            return Pair(attention(module, place, arguments, named, self._to.put))
        expect(len(arguments) == 1 and not named, "a layer of one input")
        if isinstance(module, (nn.TransformerEncoder, nn.TransformerEncoderLayer)):
            return transformer(module, place, arguments[0], self._to.put)
        operation = layer_operation(module)
        if operation is None:
            return arguments[0]
        state = module.state_dict()
        if isinstance(module, nn.Conv1d):
            state["weight"] = state["weight"].unsqueeze(2)  # of an image of one row
        return self._to.put(place, operation, arguments, state)

    def _recurrent(self, module: nn.Module, place: str, arguments: Any, named: Mapping[str, Any]) -> LayersRead:
        layers = recurrent_layers(module, arguments, named)
        tensors = [tensor_of(arguments[0])]
        for part, layer, weights in layers:
            path = place if len(layers) == 1 else f"{place}/{part}"
            tensors.append(self._to.put(path, layer, [tensors[-1]], weights))
        return LayersRead.of(module, layers, tensors[1:])
