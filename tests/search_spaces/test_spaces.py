"""Conformance of every search space: what all other parts rely on, whichever space is used.

NETWRIGHT_SPACES="my_module:MySpace" tries spaces of your own instead.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.core.errors import SpaceError
from netwright.core.plugins import build, load, names, spec_of
from netwright.core.shapes import Shapes
from netwright.search_spaces.canonical import identity, simplify
from netwright.search_spaces.cost import cost
from netwright.search_spaces.digest import cost_of, digest_of, written_digest_of
from netwright.search_spaces.drawing import draw_svg
from netwright.search_spaces.graph import LayerGraph
from netwright.search_spaces.space import SearchSpace

SPACES = os.environ.get("NETWRIGHT_SPACES", "").split() or names("space")
seeds = st.integers(0, 2**31)
quick = settings(max_examples=25, deadline=None, derandomize=True)
fewer = settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

pytestmark = pytest.mark.parametrize("name", SPACES)


@cache
def space_of(name: str) -> SearchSpace:
    found = build("space", {"kind": name, **load("space", name).small})
    assert isinstance(found, SearchSpace)
    return found


@cache
def inputs_of(name: str) -> tuple[Shapes, ...]:
    return tuple(space_of(name).examples())


def _other(shapes: Shapes) -> Shapes:
    """The same input for one class more; an output that is an image stays, its input grows."""
    if len(shapes.output_shape) == 1:
        return replace(shapes, output=shapes.classes + 1)
    return replace(shapes, input=(shapes.input[0] + 1, *shapes.input[1:]))


def test_it_serves_at_least_two_example_inputs(name):
    assert len(inputs_of(name)) >= 2


@quick
@given(seed=seeds)
def test_samples_replay_through_json(name, seed):
    space = space_of(name)
    decisions = space.sample(random.Random(seed))
    restored = json.loads(json.dumps(decisions))
    replayed = space.trace(restored)
    assert replayed.decisions == decisions
    assert list(replayed.decisions) == list(decisions)
    assert all(replayed.domains[key].holds(value) for key, value in decisions.items())


@quick
@given(seed=seeds)
def test_equal_seeds_give_equal_architectures(name, seed):
    space, other = space_of(name), build("space", spec_of(space_of(name)))
    assert space.sample(random.Random(seed)) == other.sample(random.Random(seed))


@quick
@given(seed=seeds)
def test_a_mutation_changes_one_decision_and_what_hangs_on_it(name, seed):
    space, rng = space_of(name), random.Random(seed)
    parent = space.sample(rng)
    kept = copy.deepcopy(parent)
    child = space.mutate(parent, rng)
    assert parent == kept
    before, after = space.trace(parent).domains, space.trace(child).domains
    free = [key for key in child if key in parent and before[key] == after[key] and child[key] != parent[key]]
    assert len(free) == 1
    changed = {key for key in child if key not in parent or child[key] != parent[key]}
    assert all(key not in parent or not after[key].holds(parent[key]) for key in changed - set(free))


@quick
@given(seed=seeds)
def test_a_crossover_takes_from_its_parents(name, seed):
    space, rng = space_of(name), random.Random(seed)
    left, right = space.sample(rng), space.sample(rng)
    child = space.crossover(left, right, rng)
    domains = space.trace(child).domains
    for key, value in child.items():
        offered = [p[key] for p in (left, right) if key in p and domains[key].holds(p[key])]
        assert not offered or value in offered
    assert space.crossover(left, left, rng) == left


@quick
@given(seed=seeds)
def test_cost_and_identity_by_blocks_equal_those_of_the_whole_graph(name, seed):
    """Two ways to the same numbers; identities by blocks and by layers put the same networks together."""
    space, rng = space_of(name), random.Random(seed)
    for shapes in inputs_of(name):
        decisions = [space.sample(rng)]
        decisions += [space.mutate(decisions[0], rng) for _ in range(3)]
        keys = [(space.identity(d, shapes), identity(space.raw_graph(d, shapes))) for d in decisions]
        for d in decisions:
            digest = (written_digest_of if space.keeps_dead else digest_of)(space.outline(d, shapes))
            assert digest.needs_graph or cost_of(digest) == cost(space.graph(d, shapes))
            assert space.cost(d, shapes).params == cost(space.graph(d, shapes)).params
        for a, b in combinations(keys, 2):
            assert (a[0] == b[0]) == (a[1] == b[1])


@quick
@given(seed=seeds)
def test_the_graph_survives_json_and_keeps_its_identity(name, seed):
    space, shapes = space_of(name), inputs_of(name)[0]
    decisions = space.sample(random.Random(seed))
    graph = space.graph(decisions, shapes)
    assert LayerGraph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    first = space.identity(decisions, shapes)
    assert first == space.identity(json.loads(json.dumps(decisions)), shapes)
    assert first != space.identity(decisions, _other(shapes))


@few
@given(seed=seeds)
def test_cost_equals_the_built_model_and_it_trains(name, seed):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space = space_of(name)
    decisions = space.sample(random.Random(seed))
    for shapes in inputs_of(name)[:2]:
        model = space.build(decisions, shapes, seed=1)
        expected = cost(space.graph(decisions, shapes))
        assert sum(p.numel() for p in model.parameters()) == expected.params
        with FlopCounterMode(display=False) as counter, torch.device("meta"):
            copy.deepcopy(model).to("meta").eval()(torch.empty(1, *shapes.input))
        assert counter.get_total_flops() == 2 * expected.macs
        inputs = torch.randn(3, *shapes.input)
        outputs = model(inputs)
        assert outputs.shape == (3, *shapes.output_shape)
        outputs.square().sum().backward()
        gradients = [p.grad for p in model.parameters()]
        assert all(g is None or torch.isfinite(g).all() for g in gradients)
        assert any(g is not None and g.abs().sum() > 0 for g in gradients)


@few
@given(seed=seeds)
def test_weights_depend_on_the_seed_alone(name, seed):
    import torch

    space, shapes = space_of(name), inputs_of(name)[0]
    decisions = space.sample(random.Random(seed))
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, same, other = (space.build(decisions, shapes, seed=s) for s in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@few
@given(seed=seeds)
def test_the_simplified_graph_computes_what_the_written_one_does(name, seed):
    import torch

    from netwright.search_spaces.compiler import compile_graph

    space, shapes = space_of(name), inputs_of(name)[0]
    decisions = space.sample(random.Random(seed))
    simple, written = (
        compile_graph(g).eval() for g in (space.graph(decisions, shapes), space.raw_graph(decisions, shapes))
    )
    assert set(simple.state_dict()) <= set(written.state_dict())
    written.load_state_dict(simple.state_dict(), strict=False)
    inputs = torch.randn(2, *shapes.input)
    with torch.inference_mode():
        torch.testing.assert_close(simple(inputs), written(inputs), rtol=0, atol=1e-6)


@cache
def supernet_of(name: str):
    return space_of(name).supernet(inputs_of(name)[0], seed=3)


@few
@given(seed=seeds)
def test_a_cut_gives_what_the_supernet_gives(name, seed):
    import torch

    space, shapes, net = space_of(name), inputs_of(name)[0], supernet_of(name)
    decisions = space.sample(random.Random(seed))
    torch.manual_seed(seed)
    inputs = torch.randn(4, *shapes.input)
    net.choose(decisions)
    net.train()(inputs).square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    net.zero_grad()
    model = net.cut(decisions)
    with torch.inference_mode():
        torch.testing.assert_close(net.eval()(inputs), model.eval()(inputs), rtol=0, atol=1e-5)
    assert all("netwright" not in type(module).__module__ for module in model.modules())
    assert {p.data_ptr() for p in model.parameters()}.isdisjoint(p.data_ptr() for p in net.parameters())


@few
@given(seed=seeds)
def test_what_two_architectures_have_in_common_they_share(name, seed):
    import torch

    space, net, rng = space_of(name), supernet_of(name), random.Random(seed)
    left = space.sample(rng)
    right = space.mutate(left, rng)
    models = [net.cut(decisions) for decisions in (left, right)]
    before, after = (model.state_dict() for model in models)
    for key, value in after.items():
        if key in before and before[key].shape == value.shape and not key.endswith("num_batches_tracked"):
            kinds = [type(model.get_submodule(key.rpartition(".")[0])) for model in models]
            assert kinds[0] is not kinds[1] or torch.equal(before[key], value)


@fewer
@given(seed=seeds)
def test_the_exported_network_agrees_at_two_batch_sizes(name, seed, tmp_path_factory):
    import numpy as np
    import torch

    from netwright.export.onnx_runtime import Session
    from netwright.export.to_onnx import export_onnx

    space, shapes = space_of(name), inputs_of(name)[0]
    model = space.build(space.sample(random.Random(seed)), shapes, seed=1).eval()
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path, example=np.zeros((2, *shapes.input), dtype=np.float32))
    session = Session(path)
    for batch in (1, 3):
        inputs = torch.rand(batch, *shapes.input)
        with torch.inference_mode():
            expected = model(inputs).numpy()
        np.testing.assert_allclose(session(inputs.numpy()), expected, rtol=1e-3, atol=1e-4)


@quick
@given(seed=seeds)
def test_a_genotype_says_the_architecture(name, seed):
    space, shapes = space_of(name), inputs_of(name)[0]
    decisions = space.sample(random.Random(seed))
    line = space.genotype(decisions)
    assert "\n" not in line
    assert space.identity(space.from_genotype(line), shapes) == space.identity(decisions, shapes)
    with pytest.raises(SpaceError):
        space.from_genotype("nonsense")


@quick
@given(seed=seeds)
def test_different_costs_never_share_an_identity(name, seed):
    space, shapes, rng = space_of(name), inputs_of(name)[0], random.Random(seed)
    left = space.sample(rng)
    right = space.mutate(left, rng)
    if cost(simplify(space.graph(left, shapes))) != cost(simplify(space.graph(right, shapes))):
        assert space.identity(left, shapes) != space.identity(right, shapes)


@quick
@given(seed=seeds)
def test_wrong_decisions_are_refused_by_name(name, seed):
    space = space_of(name)
    decisions = space.sample(random.Random(seed))
    key = random.Random(seed).choice(list(decisions))
    with pytest.raises(SpaceError, match=f"{re.escape(repr(key))} is 'nonsense'; expected"):
        space.trace({**decisions, key: "nonsense"})
    without = {k: v for k, v in decisions.items() if k != key}
    if space.trace(decisions).domains[key].size > 1:
        with pytest.raises(SpaceError, match=f"{re.escape(repr(key))} is missing"):
            space.trace(without)
    else:
        assert space.trace(without).decisions == decisions
    with pytest.raises(SpaceError, match="never asks for 'surplus'"):
        space.graph({**decisions, "surplus": 1}, inputs_of(name)[0])


@quick
@given(seed=seeds)
def test_it_can_be_drawn(name, seed):
    from xml.etree import ElementTree

    space = space_of(name)
    for shapes in inputs_of(name):
        text = draw_svg(space.graph(space.sample(random.Random(seed)), shapes))
        assert ElementTree.fromstring(text).get("role") == "img"


@cache
def told_without_torch() -> list[str]:
    """What two processes say of every space: a line for each, and whether torch was imported by then."""
    code = (
        "import random, sys; from netwright.core.plugins import build\n"
        "from netwright.search_spaces.cost import cost; from netwright.search_spaces.drawing import draw_svg\n"
        "for name in sys.argv[1:]:\n"
        "    s = build('space', name); shapes = s.examples()[0]\n"
        "    d = s.sample(random.Random(0)); g = s.graph(d, shapes)\n"
        "    cost(g), s.identity(d, shapes), s.mutate(d, random.Random(1)), draw_svg(g)\n"
        "    print('torch' in sys.modules, sorted(d.items()), s.identity(d, shapes))"
    )
    run = [sys.executable, "-c", code, *SPACES]
    return [subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in range(2)]


def test_deciding_and_costing_import_no_torch(name):
    one, other = (told.splitlines()[SPACES.index(name)] for told in told_without_torch())
    assert one == other
    assert one.startswith("False ")
