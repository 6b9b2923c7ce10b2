"""What is promised of every space holds for spaces drawn at random: costs, identity, transforms."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from math import prod
from typing import Any

import pytest

from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.canonical import identity, simplify
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.graph import INPUT, GraphBuilder, LayerGraph, Tensor
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace
from tests.search_spaces.random_spaces import RandomSpace

CATS = ("concat", "class token")
"""Operations that are concatenations in torch."""
SHAPES = {False: Shapes((3, 8, 8), 5), True: Shapes((2, 9, 6), 4)}


def drawn(number: int, *, samples: int) -> tuple[RandomSpace, Shapes, list[Decisions]]:
    """A space, an input for it, and architectures of it, every second one a neighbour of the one before."""
    space, rng = RandomSpace(number=number, dead=number % 7 == 6), random.Random(number)
    found: list[Decisions] = []
    for _ in range(samples):
        decisions = space.sample(rng)
        found += [decisions, space.mutate(decisions, rng)]
    return space, SHAPES[number % 3 == 0], found


@pytest.mark.parametrize("number", range(40))
def test_what_is_said_before_building_is_what_is_built(number):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space, shapes, found = drawn(number, samples=2)
    for decisions in found:
        graph, cost = space.graph(decisions, shapes), space.cost(decisions, shapes)
        # on no device, where recurrent layers are written out: the counter does not know the fused ones
        model, inputs = space.build(decisions, shapes).to("meta"), torch.zeros(2, *shapes.input, device="meta")
        with torch.inference_mode(), FlopCounterMode(display=False) as flops:
            assert model(inputs).shape == (2, *shapes.output_shape)
        assert sum(p.numel() for p in model.parameters()) == cost.params
        assert flops.get_total_flops() == 2 * 2 * cost.macs
        assert most_alive(graph) == cost.peak_activation_bytes


@pytest.mark.parametrize("number", range(40))
def test_transforms_keep_the_architecture(number):
    space, shapes, found = drawn(number, samples=2)
    child = space.crossover(found[0], found[1], random.Random(0))
    for decisions in [*found, child]:
        asked = space.trace(json.loads(json.dumps(decisions))).decisions
        assert asked == decisions
        assert space.from_genotype(space.genotype(decisions)) == decisions
        raw = space.raw_graph(decisions, shapes)
        assert LayerGraph.from_json(json.loads(json.dumps(raw.to_json()))) == raw
        simple = simplify(raw)
        assert simplify(simple) == simple
        assert identity(simple) == identity(raw)


@pytest.mark.parametrize("number", range(0, 60, 3))
def test_equal_identities_compute_the_same(number):
    import torch

    space, shapes, found = drawn(number, samples=6)
    outputs: dict[str, Any] = {}
    by_layers: dict[str, str] = {}
    for decisions in found:
        key, raw = space.identity(decisions, shapes), space.raw_graph(decisions, shapes)
        assert by_layers.setdefault(key, identity(raw)) == identity(raw)
        for graph in (raw, simplify(raw)):
            output = computed(graph)
            torch.testing.assert_close(outputs.setdefault(key, output), output, rtol=1e-6, atol=1e-6, equal_nan=True)


def most_alive(graph: LayerGraph) -> int:
    """The bytes alive at the worst moment, each value from where it is made to where it is read last."""
    made = [INPUT, *[node.name for node in graph.nodes]]
    size = {INPUT: prod(graph.input_shape)} | {node.name: prod(node.shape) for node in graph.nodes}
    until = {name: step for step, name in enumerate(made)}
    until |= {name: step for step, node in enumerate(graph.nodes, start=1) for name in node.inputs}
    until[graph.output] = len(made)
    if not any(INPUT in node.inputs for node in graph.nodes):
        until[INPUT] = len(made)  # held by the caller
    moments = range(len(made))
    return 4 * max(sum(size[n] for b, n in enumerate(made) if b <= now <= until[n]) for now in moments)


def computed(graph: LayerGraph) -> Any:
    """What a network gives when every layer's weights follow from the layer and from the values that it reads.

    Nothing here knows what a simplification is; networks of one function give the same however they are written.
    """
    import torch
    from torch import fx

    model = compile_graph(graph).double().eval()
    counts = Counter(node.weights.replace("/", ".") for node in simplify(graph).nodes)
    any_order = [getattr(n.operation, "any_order", False) for n in graph.nodes if n.operation.label() in CATS]
    concats = [step for step in model.graph.nodes if step.target is torch.cat]
    unordered = {step.name for step, free in zip(concats, any_order, strict=True) if free}

    def text(value: Any) -> str:
        marks = torch.randn(value.numel(), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        return f"{tuple(value.shape)} {float((value.reshape(-1) * marks).sum()):.6f}"

    def fill(parameters: Any, words: str) -> None:
        seed = int(hashlib.blake2b(words.encode(), digest_size=6).hexdigest(), 16)
        generator = torch.Generator().manual_seed(seed)
        for parameter in parameters:
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4 + 0.1

    class Run(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            given = self.fetch_args_kwargs_from_env(n)[0]
            if n.op == "call_module":
                layer = model.get_submodule(str(n.target))
                fill(layer.parameters(), repr(layer) + ("" if counts[str(n.target)] > 1 else text(given[0])))
            if n.name in unordered:
                return torch.cat(sorted(given[0], key=text), dim=1)
            return super().run_node(n)

    for parameter in model.parameters():
        fill([parameter], str(tuple(parameter.shape)))
    inputs = torch.randn(2, *graph.input_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.inference_mode():
        return Run(model).run(inputs)


def first_of_two(net: GraphBuilder, x: Tensor, other: Tensor) -> Tensor:
    """Gives what a layer in its middle makes; the second input is not read."""
    del other
    made = net.add(Conv2d(filters=8), x)
    net.chain(x, Conv2d(filters=16), Conv2d(filters=16))
    return made


class Unread(SearchSpace):
    """A space that builds blocks of which nobody reads what they give, or that do not read what they are given."""

    @property
    def keeps_dead(self) -> bool:
        return True

    def decide(self, choose: Chooser) -> bool:
        return choose.boolean("read")

    def lower(self, plan: bool, net: GraphBuilder, shapes: Shapes) -> Tensor:
        left, right = net.add(Conv2d(filters=4), net.input), net.add(Conv2d(filters=32), net.input)
        x = net.use(first_of_two, left, right)
        return net.chain(x if plan else left, GlobalPool(), Linear(features=shapes.classes))


@pytest.mark.parametrize("read", [False, True])
def test_memory_of_what_is_built_though_nobody_reads_it(read):
    space, shapes, decisions = Unread(), SHAPES[False], {"read": read}
    assert space.cost(decisions, shapes).peak_activation_bytes == most_alive(space.graph(decisions, shapes))
