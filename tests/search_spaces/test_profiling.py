"""Profiles count what is small, estimate what is large, and say when a bound cannot be kept."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from netwright.core.errors import SpaceError
from netwright.core.plugins import build
from netwright.core.records import Objective
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.printed_figures import agrees, value_of
from netwright.search_spaces.profiling import costs_of, profile, wilson
from netwright.search_spaces.size import size_of
from netwright.search_spaces.space import SearchSpace
from tests.cli.own_space import Narrowing

SHAPES = Shapes((4,), 2)


def at_most(metric: str, bound: float) -> Objective:
    return Objective(metric=metric, direction="minimize", bound=bound)


class Long(SearchSpace):
    """Many independent decisions: more architectures than anyone can count."""

    length: int = 12

    def decide(self, choose: Chooser) -> list[int]:
        return [int(choose.one_of(f"layer{index}", (3, 5, 9, 17))) for index in range(self.length)]

    def lower(self, plan: list[int], net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.add(Flatten(), net.input)
        for features in plan:
            x = net.add(Linear(features=features), x)
        return net.add(Linear(features=shapes.classes), x, name="head")


class Shrinking(SearchSpace):
    """Windows without padding, some of which an image is too small for."""

    def decide(self, choose: Chooser) -> int:
        return int(choose.one_of("kernel", (3, 5, 7, 9)))

    def lower(self, plan: int, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.add(Conv2d(filters=2, kernel=plan, padding="valid"), net.input)
        return net.chain(x, Flatten(), Linear(features=shapes.classes))


def test_a_small_space_is_counted_and_looked_at_in_full():
    space = Narrowing()
    found = profile(space, SHAPES, bounds=[at_most("params", 60)])
    everything = [costs_of(space, d, SHAPES)["params"] for d in space.enumerate()]
    assert found.exhaustive
    assert found.size.count == found.looked_at == len(everything) == 19
    assert (found.spreads["params"].least, found.spreads["params"].most) == (min(everything), max(everything))
    share = sum(params <= 60 for params in everything) / 19
    assert (found.feasible.share, found.feasible.low, found.feasible.high) == (share, share, share)
    assert 0 < share < 1
    assert costs_of(space, found.feasible.example, SHAPES)["params"] <= 60


def test_the_ends_of_a_large_space_are_found_by_searching():
    found = profile(Long(), SHAPES, bounds=[at_most("params", 500), at_most("macs", 90)], samples=50)
    narrow = costs_of(Long(), {f"layer{index}": 3 for index in range(12)}, SHAPES)
    wide = costs_of(Long(), {f"layer{index}": 17 for index in range(12)}, SHAPES)
    assert not found.exhaustive
    assert found.spreads["params"].least == narrow["params"]
    assert found.spreads["macs"].most == wide["macs"]
    reachable, impossible = found.verdicts
    assert not reachable.reachable or narrow["params"] <= 500
    assert (impossible.reachable, impossible.best) == (False, narrow["macs"])
    assert found.feasible.share == 0
    assert found.feasible.high == pytest.approx(wilson(0, 50)[1])


def test_an_architecture_within_all_bounds_is_searched_for_when_none_was_drawn():
    narrow = costs_of(Long(), {f"layer{index}": 3 for index in range(12)}, SHAPES)
    bounds = [at_most("params", 1.1 * narrow["params"]), at_most("macs", 1.1 * narrow["macs"])]
    found = profile(Long(), SHAPES, bounds=bounds, samples=20)
    assert found.feasible.share == 0
    example = costs_of(Long(), found.feasible.example, SHAPES)
    assert all(bound.satisfied_by(example[bound.metric]) for bound in bounds)


def test_floors_are_bounds_too():
    floor = Objective(metric="macs", direction="maximize", bound=10_000)
    (verdict,) = profile(Narrowing(), SHAPES, bounds=[floor]).verdicts
    most = max(costs_of(Narrowing(), d, SHAPES)["macs"] for d in Narrowing().enumerate())
    assert (verdict.best, verdict.reachable) == (most, False)


def test_architectures_that_cannot_serve_the_input_are_counted_by_reason():
    found = profile(Shrinking(), Shapes((1, 6, 6), 2))
    assert sum(found.refused.values()) == 2
    assert all("nothing is left" in reason for reason in found.refused)
    assert all(f"(the decision 'kernel' is {kernel}; 3 would do)" in " ".join(found.refused) for kernel in (7, 9))
    assert found.feasible.share == 0.5
    with pytest.raises(SpaceError, match="none of 4 architectures can serve the input"):
        profile(Shrinking(), Shapes((1, 2, 2), 2))


def test_ends_are_reached_from_those_of_other_costs_and_costs_need_no_identity(monkeypatch):
    asked, words = [], []
    own = Long.cost
    monkeypatch.setattr(Long, "cost", lambda space, *given: asked.append(1) or own(space, *given))
    monkeypatch.setattr("netwright.search_spaces.digest._keyed", lambda *_: pytest.fail("an identity was worked out"))
    found = profile(Long(), SHAPES, samples=50, doing=words.append)
    assert found.spreads["macs"].least == own(Long(), {f"layer{index}": 3 for index in range(12)}, SHAPES).macs
    # one start for each of six ends, one sweep that helps and one that does not, of 12 decisions with 4 values
    assert len(asked) <= 50 + 6 * 2 * 12 * 4
    assert words[:2] == ["estimating the size", "costing 50 architectures"]
    assert words[2:] == [f"searching for the {end} {cost}" for end in ("least", "most") for cost in found.spreads]


def test_equal_seeds_give_equal_profiles():
    first, second = (profile(Long(), SHAPES, samples=30, rng=random.Random(3)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("settings", "size"), [({}, 19), ({"depth": (2, 2)}, 6), ({"widths": (4,)}, 3)])
def test_sizes_of_spaces_with_constraints_are_exact_when_counted_and_near_when_estimated(settings, size):
    space = Narrowing(**settings)
    assert (size_of(space).count, size_of(space).relative_error) == (size, 0)
    estimate = size_of(space, limit=1, walks=3000)
    assert estimate.count is None
    assert abs(estimate.estimate - size) <= 4 * estimate.relative_error * size + 1e-9


def test_a_size_beyond_all_floats_is_told_by_its_logarithm():
    size = size_of(Long(length=800), walks=10)
    assert size.estimate is None
    assert size.log10 == pytest.approx(800 * 0.60206, rel=1e-5)
    assert str(size) == "about 4.4e481"


def test_a_space_of_a_real_number_is_told_without_it():
    class Rates(SearchSpace):
        """One number and one choice."""

        def decide(self, choose: Chooser) -> bool:
            choose.real("rate", 0, 1)
            return choose.boolean("flag")

        def lower(self, plan: bool, net: GraphBuilder, shapes: Shapes) -> Tensor:
            return net.chain(net.input, Linear(features=shapes.classes, bias=plan))

    size = size_of(Rates(), walks=20)
    assert (size.count, size.real) == (None, ("rate",))
    assert str(size) == "about 2 × real values of rate"


def test_intervals_of_shares_hold_zero_and_one_and_shrink():
    assert wilson(0, 100) == pytest.approx((0, 0.0370), abs=1e-4)
    assert wilson(100, 100) == pytest.approx((0.9630, 1), abs=1e-4)
    widths = [high - low for low, high in (wilson(n // 2, n) for n in (10, 100, 1000))]
    assert all(wide > narrow for wide, narrow in pairwise(widths))


@pytest.mark.parametrize(
    ("count", "printed", "equal"),
    [
        (23834568, "23.8M", True), (23834568, "23.9M", False),
        (5713216096, "5.72B", False), (5715000001, "5.72B", True),
        (61706, 61706, True), (61707, 61706, False), (266610, "267K", True), (266610, "266K", True),
        (266610, "268K", False),
        (0, 0, True),
        (714188480, "0.714G", True),
    ],
)  # fmt: skip
def test_a_count_agrees_with_a_printed_figure_to_its_digits(count, printed, equal):
    assert agrees(count, printed) is equal


def test_what_is_no_figure_is_refused():
    assert value_of("23.8M") == 23_800_000
    with pytest.raises(SpaceError, match="expected a figure such as"):
        agrees(1, "about 5M")


def test_the_least_of_every_cost_of_a_convnet_is_below_all_samples():
    space = build("space", "convnet")
    assert isinstance(space, SearchSpace)
    shapes = space.examples()[0]
    found = profile(space, shapes, samples=40, rng=random.Random(1))
    drawn = [costs_of(space, space.sample(random.Random(seed)), shapes) for seed in range(100)]
    for metric, spread in found.spreads.items():
        assert spread.least <= min(costs[metric] for costs in drawn)
        assert spread.least <= spread.median <= spread.most
