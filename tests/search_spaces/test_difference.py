"""Differences name exactly what differs, on the right side."""

from __future__ import annotations

import random

import pytest

from netwright.core.plugins import build, names
from netwright.core.shapes import Shapes
from netwright.search_spaces.difference import cost_changes, decision_changes, layer_changes
from netwright.search_spaces.space import SearchSpace
from tests.cli.own_space import Narrowing

SHAPES = Shapes((6,), 2)
SMALL = {"depth": 1, "layer1/width": 4}
LARGE = {"depth": 2, "layer1/width": 8, "layer2/width": 4}


def test_decisions_that_differ_are_named_with_both_values():
    found = {(c.name, c.left, c.right) for c in decision_changes(SMALL, LARGE)}
    assert found == {("depth", 1, 2), ("layer1/width", 4, 8), ("layer2/width", None, 4)}
    assert decision_changes({"parts": [1, 2]}, {"parts": (1, 2)}) == []
    assert len(decision_changes({"flag": True}, {"flag": 1})) == 1


def test_layers_are_replaced_resized_added_and_removed():
    small, large = (Narrowing().graph(decisions, SHAPES) for decisions in (SMALL, LARGE))
    found = {change.name: change for change in layer_changes(small, large)}
    assert {name: change.change for name, change in found.items()} == {
        "layer1/linear": "replaced", "layer1/activation": "resized", "layer2/linear": "added",
        "layer2/activation": "added", "head": "rewired",
    }  # fmt: skip
    assert [change.name for change in layer_changes(small, large)] == [
        "layer1/linear", "layer1/activation", "layer2/linear", "layer2/activation", "head",
    ]  # fmt: skip
    assert (found["layer1/linear"].left, found["layer1/linear"].right) == ("linear 4 → 4", "linear 8 → 8")
    assert (found["layer2/linear"].left_params, found["layer2/linear"].right_params) == (0, 8 * 4 + 4)
    back = {change.name: change.change for change in layer_changes(large, small)}
    assert back["layer2/linear"] == "removed"


def test_the_parameters_of_changed_layers_explain_the_difference_of_the_costs():
    small, large = (Narrowing().graph(decisions, SHAPES) for decisions in (SMALL, LARGE))
    costs = [Narrowing().cost(decisions, SHAPES) for decisions in (SMALL, LARGE)]
    params = next(change for change in cost_changes(*costs) if change.metric == "params")
    explained = sum(change.right_params - change.left_params for change in layer_changes(small, large))
    assert params.right - params.left == explained != 0
    assert params.ratio == params.right / params.left


@pytest.mark.parametrize("name", names("space"))
def test_an_architecture_does_not_differ_from_itself_and_a_mutant_does(name):
    space = build("space", name)
    assert isinstance(space, SearchSpace)
    rng, shapes = random.Random(4), space.examples()[0]
    parent = space.sample(rng)
    child = space.mutate(parent, rng)
    graph = space.graph(parent, shapes)
    assert decision_changes(parent, parent) == []
    assert layer_changes(graph, graph) == []
    assert len(decision_changes(parent, child)) > 0
    changed = layer_changes(graph, space.graph(child, shapes))
    assert (space.identity(parent, shapes) == space.identity(child, shapes)) or len(changed) > 0
