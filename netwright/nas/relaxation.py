"""Continuous relaxation: one network in which every option of every decision runs, weighted by gates.

It is made from the layer graphs of a space alone: two options of a decision may differ only in which terms some
sums have, as the operations on the edges of a cell do.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn

from netwright.core.errors import SpaceError
from netwright.core.plugins import given
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import RejectedDecisionsError
from netwright.search_spaces.domain import Categorical, Value
from netwright.search_spaces.graph import INPUT, LayerGraph, Node, node_shapes
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.space import SearchSpace

TRIES = 200
"""Random architectures in which every option of every decision is tried, to find one where all are allowed."""
RULE = "a decision of a relaxed space may change only which terms a sum has, as the operations of a cell do"


@dataclass(frozen=True, slots=True)
class Choice:
    """One relaxed decision: its options, and which of them do nothing (`none`) or hand on what comes in (`skip`)."""

    name: str
    options: tuple[Value, ...]
    nothing: tuple[bool, ...]
    skips: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of a sum that runs with a choice's option; always, when there is no choice."""

    source: str
    choice: int = -1
    option: int = -1


class RelaxedNetwork(nn.Module):
    """A space's network with all options at once; see `RelaxedNetwork.of`.

    `forward(inputs, gates)` takes one row of gates per choice, its length the number of options; a sum adds each
    option's terms times its gate. In a row with one gate other than 0 the other options are not run.

    >>> network = RelaxedNetwork.of(space, shapes)                                     # doctest: +SKIP
    >>> outputs = network(inputs, [torch.softmax(row, 0) for row in strengths])        # doctest: +SKIP
    """

    def __init__(self, graph: LayerGraph, terms: dict[str, list[_Term]], choices: Sequence[Choice]) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self._terms = terms
        self._order = [node.name for node in graph.nodes]
        self._inputs = {node.name: node.inputs for node in graph.nodes}
        self._output = graph.output
        self.layers = nn.ModuleDict()
        for node, shapes in node_shapes(graph):
            if node.name not in terms:
                self.layers[_place(node.name)] = _layer(node, shapes)

    @classmethod
    def of(cls, space: SearchSpace, shapes: Shapes, *, seed: int = 0) -> RelaxedNetwork:
        """The relaxed network of a space, its weights drawn from `seed`.

        Every decision with several options is relaxed; all must be choices that do not hang on each other. Raises
        SpaceError that names the decision which cannot be relaxed.
        """
        base = _base(space)
        first = space.raw_graph(base, shapes)
        variants = {
            name: _variants(space, shapes, base, name)
            for name, domain in space.trace(base).domains.items()
            if domain.size > 1
        }
        if not variants:
            raise SpaceError("there is nothing to choose in this space: every decision has one option")
        nodes = _union(first, variants)
        terms, choices = _gated(first, variants)
        graph = _ordered(first, nodes, terms)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(graph, terms, choices)

    def forward(self, inputs: torch.Tensor, gates: Sequence[torch.Tensor]) -> torch.Tensor:
        """The outputs (batch, *output_shape) for inputs (batch, *shapes.input)."""
        closed = [_closed(row.detach().tolist()) for row in gates]
        needed = self._needed(closed)
        values = {INPUT: inputs}
        for name in self._order:
            if name not in needed:
                continue
            if name not in self._terms:
                values[name] = self.layers[_place(name)](*[values[source] for source in self._inputs[name]])
                continue
            total: torch.Tensor | None = None
            for term in self._terms[name]:
                if term.choice >= 0 and closed[term.choice][term.option]:
                    continue
                value = values[term.source]
                value = value if term.choice < 0 else value * gates[term.choice][term.option]
                total = value if total is None else total + value
            values[name] = total if total is not None else torch.zeros_like(values[self._terms[name][0].source])
        return values[self._output]

    def _needed(self, closed: list[list[bool]]) -> set[str]:
        """The layers whose output reaches the result through open gates; an empty sum needs one for its shape."""
        needed = {self._output}
        for name in reversed(self._order):
            if name not in needed:
                continue
            if name not in self._terms:
                needed.update(self._inputs[name])
                continue
            terms = self._terms[name]
            opened = [term.source for term in terms if term.choice < 0 or not closed[term.choice][term.option]]
            needed.update(opened or [terms[0].source])
        return needed


def _closed(gates: list[float]) -> list[bool]:
    """Which options are off: where one was chosen all others are; weights of several options leave all on."""
    chosen = sum(gate != 0 for gate in gates) <= 1
    return [chosen and gate == 0 for gate in gates]


def _place(name: str) -> str:
    return name.replace("/", "__").replace(".", "_")


def _layer(node: Node, shapes: Sequence[tuple[int, ...]]) -> fx.GraphModule:
    """One operation as a module of its own."""
    root, steps = nn.Module(), fx.Graph()
    inputs = [steps.placeholder(f"input{index}") for index in range(len(shapes))]
    module: nn.Module | None = given(node.operation, "module", nn.Module | None, shapes)
    if module is not None:
        root.add_module("layer", module)
    steps.output(node.operation.emit(steps, "layer", inputs))
    return fx.GraphModule(root, steps, class_name="Layer")


def _base(space: SearchSpace) -> dict[str, Value]:
    """Decisions whose every option may be swapped for every other, one decision at a time."""
    rng = random.Random(0)
    reason = ""
    for _ in range(TRIES):
        decisions = space.sample(rng)
        reason = _obstacle(space, decisions)
        if not reason:
            return decisions
    raise SpaceError(f"this space cannot be relaxed: {reason}")


def _obstacle(space: SearchSpace, decisions: Decisions) -> str:
    domains = space.trace(decisions).domains
    for name, domain in domains.items():
        if domain.size > 1 and not isinstance(domain, Categorical):
            return f"{name!r} is {domain.describe()}; give it one value, or use one_shot"
        for option in domain.values() if domain.size > 1 else ():
            try:
                if space.trace({**decisions, name: option}).domains != domains:
                    return f"other decisions hang on {name!r}; give it one option, or use one_shot"
            except RejectedDecisionsError:
                return f"{name!r} cannot be {option!r} whatever the others are"
            except SpaceError:
                return f"other decisions hang on {name!r}; give it one option, or use one_shot"
    return ""


def _variants(space: SearchSpace, shapes: Shapes, base: Decisions, name: str) -> dict[Value, LayerGraph]:
    options = space.trace(base).domains[name].values()
    return {option: space.raw_graph({**base, name: option}, shapes) for option in options}


def _union(first: LayerGraph, variants: Mapping[str, Mapping[Value, LayerGraph]]) -> dict[str, Node]:
    """All layers of all graphs; a layer other than a sum must be the same wherever it is."""
    nodes = {node.name: node for node in first.nodes}
    for decision, graph in ((name, graph) for name, graphs in variants.items() for graph in graphs.values()):
        rest = (
            f"{decision!r}: give it one option, or the layers of each option names of their own (net.scope), or use "
            f"one_shot; {RULE}"
        )
        for node in graph.nodes:
            known = nodes.setdefault(node.name, node)
            if (known.operation.key, known.shape) != (node.operation.key, node.shape):
                raise SpaceError(f"the layer {node.name!r} depends on {rest}")
            if known.inputs != node.inputs and not isinstance(node.operation, Add):
                raise SpaceError(f"what the layer {node.name!r} reads depends on {rest}")
        if graph.output != first.output:
            raise SpaceError(f"the place of the result depends on {rest}")
    return nodes


def _gated(
    first: LayerGraph, variants: dict[str, dict[Value, LayerGraph]]
) -> tuple[dict[str, list[_Term]], list[Choice]]:
    """The terms of every sum, and the choices."""
    sums = {node.name: Counter(node.inputs) for node in first.nodes if isinstance(node.operation, Add)}
    always = dict(sums)
    gated: dict[str, list[_Term]] = {name: [] for name in sums}
    choices = []
    for number, (name, graphs) in enumerate(variants.items()):
        readings = [{n.name: Counter(n.inputs) for n in g.nodes if n.name in sums} for g in graphs.values()]
        everywhere = set[str].intersection(*({INPUT, *(n.name for n in g.nodes)} for g in graphs.values()))
        nothing, skips = [True] * len(graphs), [True] * len(graphs)
        for place in sums:
            common = _common([reading.get(place, Counter()) for reading in readings])
            always[place] = always[place] & common
            for option, reading in enumerate(readings):
                for source in (reading.get(place, Counter()) - common).elements():
                    if _is_zero(graphs, option, source):
                        continue
                    gated[place].append(_Term(source, number, option))
                    nothing[option] = False
                    skips[option] &= source in everywhere  # no layer of the option's own
        skips = [skip and not none for skip, none in zip(skips, nothing, strict=True)]
        choices.append(Choice(name, tuple(graphs), tuple(nothing), tuple(skips)))
    terms = {place: [_Term(source) for source in always[place].elements()] + gated[place] for place in sums}
    for place, found in terms.items():
        if not found:
            raise SpaceError(f"the sum {place!r} has no term whatever is decided")
    return terms, choices


def _is_zero(graphs: dict[Value, LayerGraph], option: int, source: str) -> bool:
    """Whether a term is made of zeros, as a sum without terms gets one."""
    graph = list(graphs.values())[option]
    return any(node.name == source and node.operation.is_zero() for node in graph.nodes)


def _common(readings: Sequence[Counter[str]]) -> Counter[str]:
    found = readings[0]
    for reading in readings[1:]:
        found = found & reading
    return found


def _ordered(first: LayerGraph, nodes: dict[str, Node], terms: dict[str, list[_Term]]) -> LayerGraph:
    """All layers that the result may need, in an order in which they can run."""
    done: dict[str, Node] = {}

    def sources(name: str) -> list[str]:
        return [term.source for term in terms[name]] if name in terms else list(nodes[name].inputs)

    waiting: list[tuple[str, Iterator[str]]] = [(first.output, iter(sources(first.output)))]
    while waiting:
        name, left = waiting[-1]
        following = next((source for source in left if source != INPUT and source not in done), None)
        if following is not None:
            waiting.append((following, iter(sources(following))))
            continue
        # a sum reads what is a term of it for some option, which zeros are not
        node = nodes[name]
        done[name] = Node(name, node.operation, tuple(sources(name)), node.shape, node.weights)
        waiting.pop()
    return LayerGraph(first.input_shape, tuple(done.values()), first.output)
