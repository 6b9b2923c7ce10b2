"""The steps of a user's network as operations, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import fx, nn

from netwright.core.errors import ShapeError, SpaceError
from netwright.search_spaces.canonical import simplify
from netwright.search_spaces.graph import LayerGraph, Tensor
from netwright.search_spaces.model_calls import RESHAPING, SHAPED_AS
from netwright.search_spaces.model_functions import (
    MADE_BY,
    PER_SAMPLE,
    PER_SAMPLE_SECOND,
    SAMPLES,
    Several,
    function_name,
)
from netwright.search_spaces.model_layers import UnreadableError, expect
from netwright.search_spaces.model_layouts import TimeFirst
from netwright.search_spaces.model_nodes import flat, mapped, name_of, owner_of
from netwright.search_spaces.model_operations import Operations
from netwright.search_spaces.model_parts import Joined, Sized, unwrapped
from netwright.search_spaces.model_recurrent import taken
from netwright.search_spaces.model_reordering import OF_NETWORK, Reordering
from netwright.search_spaces.model_tracing import BATCH, OTHER_BATCH, Traced
from netwright.search_spaces.model_writing import Writer
from netwright.search_spaces.operations.columns import Columns
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.reshape import Reshape


class Reading:
    """Goes through a traced network step by step, adding operations to a graph."""

    def __init__(self, traced: Traced) -> None:
        self._traced = traced
        self._to = Writer(tuple(traced.inputs.shape[1:]), traced.root)
        self._values: dict[fx.Node, Any] = {}
        self._operations = Operations(traced, self._to)
        self._reordering = Reordering(traced, self._to, self._operations, self._values)
        self.steps: list[tuple[fx.Node, Tensor]] = []

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
        return simplify(self._to.whole.finish(tensor))

    def where(self, node: fx.Node) -> str:
        """A step in the words of the user's code."""
        if node.op == "output":
            return "the result of forward"
        if node.op == "call_module":
            return f"the layer {node.target!r} ({type(self._traced.root.get_submodule(str(node.target))).__name__})"
        owner = owner_of(node)
        return f"the step {name_of(node)!r} in {owner!r}" if owner else f"the step {name_of(node)!r} of forward"

    def _result(self, given: Any) -> Any:
        """The result; several are joined as several inputs are, a number for each sample becomes a feature."""
        parts = [self._values[part] for part in flat(given) if isinstance(part, fx.Node)]
        # of what has the samples second, as states have, they come first
        made = [
            part.tensor if isinstance(part, TimeFirst) else self._reordering.plain(part)
            for value in parts
            for part in self._operations.apart(value)
        ]
        fits = bool(made) and all(isinstance(value, Tensor) for value in made)
        expect(fits, "tensors made of the input; of a layer that gives several things take those that are needed")
        alike = len({value.shape[1:] for value in made}) == 1 and all(value.shape for value in made)
        if not alike:
            rows = [Reshape(shape=(prod(value.shape),)) for value in made]
            made = [self._to.whole.add(row, x, name=self._to.unused("row")) for row, x in zip(rows, made, strict=True)]
        return made[0] if len(made) == 1 else self._to.whole.add(Concat(), *made, name=self._to.unused("results"))

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
        before = self._reordering.plain(unwrapped(self._values[node.all_input_nodes[0]]))
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
            if node.op != "call_module":  # layers take states to start from as they are
                arguments, named = mapped((arguments, named), self._operations.stacked)
            found = self._reordering.step(node, arguments, named)
        if found is None:
            arguments, named = mapped((arguments, named), self._reordering.plain)
            found = self._operations.applied(node, arguments, named, self._traced.results[node])
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
        second = learned and _repeated_second(value, other)
        if learned:
            value = nn.Parameter((value[:, :1] if second else value).detach(), requires_grad=False)
            self._note_origin(node, value, repeated=repeated or second)
        elif repeated:
            value = value.clone()
        if grows and value.dim() == 1 and torch.equal(value, torch.arange(BATCH)):
            value = value.clone()
            setattr(value, MADE_BY, ("torch.arange", [SAMPLES], {}))
        if repeated or second:
            setattr(value, PER_SAMPLE if repeated else PER_SAMPLE_SECOND, True)
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
            return self._operations.called_as(node, first.function, first.arguments, first.named, item=item)
        found = taken(name, arguments)
        if isinstance(found, tuple) and not isinstance(found, Tensor):
            found, operations = found
            for operation in operations:
                found = self._to.add(node, operation, [found])
        return found


def _repeated_second(value: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether a constant is the same for every sample, which is its second axis, such as a learned first state."""
    grows = value.dim() == 3 and len(value) == len(other) and (value.shape[1], other.shape[1]) == (BATCH, OTHER_BATCH)
    return grows and bool((value == value[:, :1]).all())
