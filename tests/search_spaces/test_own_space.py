"""A space of one's own in twenty lines, and choosers, domains and mistakes shown on it."""

from __future__ import annotations

import random
from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.errors import ConfigurationError, ShapeError, SpaceError
from netwright.core.plugins import load
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.choosers import RandomChooser
from netwright.search_spaces.cost import cost
from netwright.search_spaces.domain import Categorical, Integer, Real, Subset
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.recurrent import Recurrent
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.space import SearchSpace

steady = settings(derandomize=True, deadline=None)
IMAGE = Shapes((1, 8, 8), 10)

# --- the twenty lines ---


class Mlp(SearchSpace):
    """Fully connected layers, never wider than the one before."""

    widths: tuple[int, ...] = (16, 32, 64)

    def decide(self, choose: Chooser) -> list[int]:
        plan: list[int] = []
        for index in range(choose.integer("depth", 1, 3)):
            with choose.scope(f"layer{index + 1}"):
                plan.append(int(choose.one_of("width", self.widths)))
        choose.require(plan == sorted(plan, reverse=True), "a layer is wider than the one before")
        return plan

    def lower(self, plan: list[int], net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.add(Flatten(), net.input)
        for width in plan:
            x = net.chain(x, Linear(features=width), Activation())
        return net.add(Linear(features=shapes.output), x)


# --- and what follows from them ---


def test_everything_follows_from_two_methods():
    space = Mlp()
    assert space.size() == 3 + 6 + 10
    assert len(list(space.enumerate())) == 19
    decisions = {"depth": 2, "layer1/width": 32, "layer2/width": 16}
    assert cost(space.graph(decisions, IMAGE)).params == 64 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10
    model = space.build(decisions, IMAGE)
    assert sum(p.numel() for p in model.parameters()) == cost(space.graph(decisions, IMAGE)).params
    assert space.mutate(decisions, random.Random(0)) != decisions
    assert load("space", "tests.search_spaces.test_own_space:Mlp") is Mlp


def test_a_loop_puts_each_item_under_a_scope_of_its_own():
    class Chain(SearchSpace):
        def decide(self, choose: Chooser) -> list[int]:
            plan = [choose.one_of("width", (4, 8)) for _ in choose.each("layer", range(choose.integer("depth", 1, 3)))]
            for index in choose.each("unused", range(3)):
                if index == 1:
                    break
            return [*plan, choose.one_of("last", (2, 3))]

        def lower(self, plan: list[int], net: GraphBuilder, shapes: Shapes) -> Tensor:
            x = net.add(Flatten(), net.input)
            for width in net.each("layer", plan):
                x = net.chain(x, Linear(features=width), Activation())
            return net.chain(x, Linear(features=shapes.classes), name="head")

    space = Chain()
    decisions = {"depth": 2, "layer1/width": 8, "layer2/width": 4, "last": 3}
    assert space.trace(decisions).decisions == decisions
    names = [node.name for node in space.graph(decisions, IMAGE).nodes]
    assert names == [
        "flatten",
        *(f"layer{n}/{what}" for n in (1, 2, 3) for what in ("linear", "activation")),
        "head/linear",
    ]


def test_kinds_of_recurrent_layers_under_one_name_have_weights_of_their_own():
    class Steps(SearchSpace):
        def decide(self, choose: Chooser) -> tuple[str, int]:
            return choose.one_of("cell", ("lstm", "gru")), choose.one_of("width", (4, 8))

        def lower(self, plan: tuple[str, int], net: GraphBuilder, shapes: Shapes) -> Tensor:
            steps = Recurrent.parse({"cell": plan[0], "width": plan[1]})
            return net.chain(net.input, steps, Summary(mode="last"), Linear(features=shapes.classes))

    space, shapes = Steps(), Shapes((5, 3), 2)
    supernet = space.supernet(shapes).eval()
    inputs = torch.randn(2, 5, 3)
    for decisions in space.enumerate():
        supernet.choose(decisions)
        torch.testing.assert_close(supernet.cut(decisions).eval()(inputs), supernet(inputs))


def test_its_constraint_holds_for_every_way_to_make_decisions():
    space, rng = Mlp(), random.Random(0)
    for _ in range(50):
        left, right = space.sample(rng), space.sample(rng)
        for decisions in (left, space.mutate(left, rng), space.crossover(left, right, rng)):
            space.trace(decisions)


def test_forbidden_decisions_are_refused_with_the_reason():
    with pytest.raises(RejectedDecisionsError, match="a layer is wider than the one before"):
        Mlp().trace({"depth": 2, "layer1/width": 16, "layer2/width": 32})


def test_an_impossible_space_says_so():
    class Impossible(Mlp):
        def decide(self, choose: Chooser) -> list[int]:
            choose.require(choose.boolean("flag") is None, "nothing will do")
            return []

    with pytest.raises(SpaceError, match=r"no allowed architecture in 1000 draws.*nothing will do"):
        Impossible().sample(random.Random(0))
    assert list(Impossible().enumerate()) == []


def test_nothing_to_mutate_is_an_error():
    class Single(Mlp):
        def decide(self, choose: Chooser) -> list[int]:
            return [int(choose.one_of("width", (16,)))]

    with pytest.raises(SpaceError, match="nothing can be changed"):
        Single().mutate({"width": 16}, random.Random(0))


def test_unknown_settings_are_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r"width.*unknown field.*widths"):
        Mlp.parse({"width": (1, 2)})


def test_shape_mistakes_say_where_in_the_network():
    class Wrong(Mlp):
        def lower(self, plan: list[int], net: GraphBuilder, shapes: Shapes) -> Tensor:
            from netwright.search_spaces.operations.conv2d import Conv2d

            with net.scope("stage1"), net.scope("cell2"):
                x = net.add(Flatten(), net.input)
                return net.add(Conv2d(filters=4), x)

    with pytest.raises(ShapeError, match=r"at stage1/cell2/conv2d: a convolution needs.*came \(64,\)"):
        Wrong().graph({"depth": 1, "layer1/width": 16}, IMAGE)


def test_an_input_that_vanishes_says_where():
    space = load("space", "convnet").parse({"depth": (3, 3), "strides": (3, 3), "down_samplings": ["max_pool"]})
    decisions = space.sample(random.Random(0))
    with pytest.raises(ShapeError, match=r"at stage1/layer3/pool2d: nothing is left of the input \(\d+, 1, 1\)"):
        space.graph(decisions, Shapes((1, 4, 4), 10))


def test_an_output_of_the_wrong_shape_is_an_error():
    class Headless(Mlp):
        def lower(self, plan: list[int], net: GraphBuilder, shapes: Shapes) -> Tensor:
            return net.add(Flatten(), net.input)

    with pytest.raises(ShapeError, match=r"ends in the shape \(64,\), the task needs \(10,\)"):
        Headless().graph({"depth": 1, "layer1/width": 16}, IMAGE)


def test_a_repeated_name_gives_the_same_answer_or_an_error():
    chooser = RandomChooser(random.Random(0))
    with chooser.scope("a"):
        first = chooser.integer("/shared", 0, 10**6)
    assert chooser.integer("shared", 0, 10**6) == first
    with pytest.raises(SpaceError, match="'shared' is asked for twice, with different options"):
        chooser.integer("shared", 0, 5)


DOMAINS = {
    "options": (Categorical((1, 1.0, True, "1")), 4, [2, "x", None, (1,), False]),
    "range": (Integer(-2, 7, 3), 4, [-3, -1, 8, 1.0, True, "1"]),
    "real": (Real(0.1, 10.0, log=True), inf, [0.0, 10.1, "1", True, float("nan")]),
    "point": (Real(2.0, 2.0), 1, [1.0]),
    "subset": (Subset(("a", "b", "c"), 1, 2), 6, [(), ("b", "a"), ("a", "b", "c"), ("a", "a"), "a"]),
}


@pytest.mark.parametrize(("domain", "size", "refused"), DOMAINS.values(), ids=DOMAINS)
def test_domains_hold_what_they_draw_and_nothing_else(domain, size, refused):
    assert domain.size == size
    rng = random.Random(0)
    drawn = [domain.draw(rng) for _ in range(300)]
    assert all(domain.holds(value) for value in drawn)
    assert not any(domain.holds(value) for value in refused)
    if size != inf:
        assert len(domain.values()) == size
        assert {repr(value) for value in drawn} == {repr(value) for value in domain.values()}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Categorical(()), "at least one option"),
        (lambda: Categorical((1, 1)), "options that differ"),
        (lambda: Integer(3, 2), "low <= high"),
        (lambda: Real(0, 1, log=True), "low > 0 when log"),
        (lambda: Subset(("a",), 0, 2), "cannot have 0 to 2"),
    ],
)
def test_impossible_domains_are_refused(make, words):
    with pytest.raises(SpaceError, match=words):
        make()


@steady
@given(st.integers(0, 1000))
def test_mutation_draws_from_subsets_too_large_to_list(seed):
    class Wide(Mlp):
        def decide(self, choose: Chooser) -> list[int]:
            return list(map(int, choose.subset("picks", tuple(range(60)))))

    parent = Wide().sample(random.Random(seed))
    assert Wide().mutate(parent, random.Random(seed)) != parent


class Named(Mlp):
    """Decisions under names that a genotype cannot hold as they are."""

    names: tuple[str, ...] = ('the "first" one', "a=b", "tab\tname", "größe")

    def decide(self, choose: Chooser) -> list[int]:
        return [int(choose.one_of(name, self.widths)) for name in self.names]


def test_a_genotype_holds_decisions_of_any_name():
    space = Named()
    decisions = space.sample(random.Random(0))
    genotype = space.genotype(decisions)
    assert space.from_genotype(genotype) == decisions
    assert genotype.split() == genotype.split(" ")
