"""The macro space `convnet` with all its settings open."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.core.errors import ConfigurationError, ShapeError, SpaceError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.space import SearchSpace

IMAGE = Shapes((3, 20, 17), 5)
CONNECTIONS = ("plain", "basic", "bottleneck", "separable", "dense", "inception")
WIDE: dict[str, Any] = {
    "stages": [1, 2],
    "depth": [1, 3],
    "filters": [8, 12, 16],
    "strides": [0, 1],
    "stride_sizes": [2, 3],
    "down_samplings": ["stride", "max_pool", "average_pool", "max_pool_3x3", "average_pool_3x3"],
    "paddings": ["same", "valid", 1],
    "pools": ["none", "average_pool_3x3"],
    "convolutions": ["full", "separable"],
    "activations": ["relu", "tanh"],
    "normalisations": ["batch", "group", "instance", "none"],
    "bottlenecks": [0, 1, 4],
    "groups": [1, 2, 4],
    "stride_places": ["window", "first"],
    "shortcuts": ["projection", "padding"],
    "squeeze_excites": [0, 4],
    "repeats": [1, 2],
    "widenings": ["first", "last"],
    "growths": [3, 4],
    "branches": [1, 3],
    "branch_operations": ["1x1", "3x3", "5x5", "1x7", "7x1", "1x3+3x1", "max_pool", "average_pool"],
    "poolings": ["average", "max", "flatten"],
    "pool_sizes": [1, 2],
    "hidden": [0, 2],
    "neurons": [8, 16],
}
quick = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@cache
def wide(connection: str) -> SearchSpace:
    return made(**WIDE, connections=list(CONNECTIONS) if connection == "any" else [connection])


def made(**fields: Any) -> SearchSpace:
    space = build("space", {"kind": "convnet", **fields})
    assert isinstance(space, SearchSpace)
    return space


@pytest.mark.parametrize("connection", [*CONNECTIONS, "any"])
@quick
@given(seed=st.integers(0, 2**31))
def test_every_sample_of_the_wide_space_fits_and_costs_what_its_model_does(connection: str, seed: int) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space = wide(connection)
    decisions = space.sample(random.Random(seed))
    if not fits(space, decisions):
        # windows without padding may leave nothing, and only then is a sample refused
        with pytest.raises(ShapeError, match="nothing is left"):
            space.graph(decisions, IMAGE)
        assert {"valid", 1} & {value for name, value in decisions.items() if name.endswith("padding")}
        return
    cost = space.cost(decisions, IMAGE)
    with torch.device("meta"):
        model = space.build(decisions, IMAGE).eval()
        with FlopCounterMode(display=False) as counter:
            assert model(torch.empty(2, *IMAGE.input)).shape == (2, 5)
    assert counter.get_total_flops() == 2 * 2 * cost.macs
    assert sum(p.numel() for p in model.parameters()) == cost.params


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_every_connection_trains_and_the_simplified_network_computes_the_same(connection: str) -> None:
    import torch

    from netwright.search_spaces.compiler import compile_graph

    space = wide(connection)
    rng = random.Random(0)
    decisions = next(d for d in iter(lambda: space.sample(rng), None) if fits(space, d))
    model = space.build(decisions, IMAGE, seed=1)
    inputs = torch.randn(4, *IMAGE.input, generator=torch.Generator().manual_seed(0))
    model(inputs).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    written = compile_graph(space.raw_graph(decisions, IMAGE), seed=2).eval()
    written.load_state_dict(model.state_dict(), strict=False)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(inputs), written(inputs))


def fits(space: SearchSpace, decisions: dict[str, Any]) -> bool:
    try:
        space.graph(decisions, IMAGE)
    except ShapeError:
        return False
    return True


def test_filters_never_fall_unless_they_may() -> None:
    def widths(rising: bool) -> list[list[int]]:
        space = made(depth=[4, 4], rising=rising)
        samples = [space.sample(random.Random(seed)) for seed in range(30)]
        return [[s[f"stage1/layer{i}/filters"] for i in range(1, 5)] for s in samples]

    assert all(found == sorted(found) for found in widths(True))
    assert any(found != sorted(found) for found in widths(False))


def test_groups_that_do_not_divide_the_inside_of_a_block_are_not_offered() -> None:
    space = made(**{**WIDE, "connections": ["bottleneck"], "filters": [12], "bottlenecks": [4], "groups": [2, 3]})
    for seed in range(20):
        chosen = space.sample(random.Random(seed))
        assert {value for name, value in chosen.items() if name.endswith("groups")} == {3}


def test_a_reducing_inception_block_without_padding_ends_its_branches_alike() -> None:
    space = made(**{**WIDE, "connections": ["inception"], "paddings": ["valid"], "strides": [1, 1]})
    for seed in range(20):
        decisions = space.sample(random.Random(seed))
        for name, count in decisions.items():
            if name.endswith("/steps"):
                end = decisions[f"{name.removesuffix('steps')}step{count}/operation"]
                assert end in ("3x3", "max_pool", "average_pool")


def test_settings_that_leave_a_decision_without_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="bottleneck blocks need a number above 0"):
        made(connections=["bottleneck"], bottlenecks=[0])
    with pytest.raises(ConfigurationError, match="need one of 3x3, max_pool, average_pool"):
        made(connections=["inception"], paddings=["valid"], branch_operations=["1x1"])


def test_the_default_stays_small_for_every_image_size() -> None:
    space = made()
    for size in (8, 28, 64, 224):
        costs = [space.cost(space.sample(random.Random(seed)), Shapes((3, size, size), 10)) for seed in range(50)]
        assert min(c.params for c in costs) > 500
        assert max(c.params for c in costs) < 500_000


def test_a_sequence_is_refused_by_name() -> None:
    space = made()
    with pytest.raises(ShapeError, match=r"at stage1/layer1/conv2d: a convolution needs an image-like input"):
        space.graph(space.sample(random.Random(0)), Shapes((20, 6), 4))


def test_a_landmark_may_nest_decisions_and_leave_out_only_what_has_one_option() -> None:
    from netwright.search_spaces.landmark import load_landmark

    landmark = load_landmark("vgg-16")
    assert "stage1/layer1/filters" in landmark.resolved()
    assert landmark.resolved()["stage1/connection"] == "plain"
    less = {**landmark.decisions, "stage1": {"depth": 2}}
    with pytest.raises(SpaceError, match="'stage1/layer1/filters' is missing"):
        landmark.model_copy(update={"decisions": less}).resolved()
