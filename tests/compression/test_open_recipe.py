"""Recipes with open fields: how ranges are read, what is refused, what decisions make of them."""

from __future__ import annotations

import random
from typing import Self

import pytest
from pydantic import model_validator

from netwright.compression.compression_pass import Pass, Verdict
from netwright.compression.context import Context
from netwright.compression.model import Model
from netwright.compression.open_recipe import OpenRecipe
from netwright.compression.recipe import Recipe
from netwright.core.config import parse_yaml
from netwright.core.errors import ConfigurationError, Mistake, SpaceError
from netwright.core.plugins import build
from netwright.core.records import Objective
from netwright.nas.strategy import Strategy
from netwright.search_spaces.domain import Categorical, Integer, Real

YAML = """
bounds: {accuracy_drop: 0.01}
solve: {minimize: size_bytes, trials: 5}
passes:
  - {kind: structured_prune, ratio: {low: 0.2, high: 0.6}, steps: {low: 1, high: 3}, scope: {choice: [global, local]}}
  - {kind: low_rank, energy: {low: 0.8, high: 0.9, step: 0.05}, optional: true}
  - quantize
"""


def opened(text: str = YAML) -> OpenRecipe:
    return OpenRecipe(recipe=Recipe.parse(parse_yaml(text, source="test")))


def test_ranges_become_domains_of_the_kind_that_the_field_has() -> None:
    domains = {one.name: one.domain() for one in opened().recipe.open}
    assert domains == {
        "structured_prune/ratio": Real(0.2, 0.6),
        "structured_prune/steps": Integer(1, 3),
        "structured_prune/scope": Categorical(("global", "local")),
        "low_rank/used": Categorical((False, True)),
        "low_rank/energy": Categorical((0.8, 0.85, 0.9)),
    }


def test_decisions_make_a_recipe_without_open_fields() -> None:
    decisions = {
        "structured_prune/ratio": 0.45,
        "structured_prune/steps": 2,
        "structured_prune/scope": "local",
        "low_rank/used": False,
    }
    made = opened().resolve(decisions)
    assert [spec["kind"] for spec in made.specs()] == ["structured_prune", "quantize"]
    assert (made.specs()[0]["ratio"], made.specs()[0]["steps"], made.specs()[0]["scope"]) == (0.45, 2, "local")
    assert made.bounds.accuracy_drop == 0.01
    assert not made.open
    assert made.solve is None


def test_fields_of_a_pass_that_is_left_out_are_not_asked_for() -> None:
    space = opened()
    sampled = [space.sample(random.Random(seed)) for seed in range(20)]
    assert {("low_rank/energy" in one) == one["low_rank/used"] for one in sampled} == {True}


def test_an_open_recipe_survives_a_round_trip() -> None:
    recipe = opened().recipe
    assert Recipe.parse(recipe.model_dump(mode="json")) == recipe


def test_whole_ends_of_a_field_that_takes_fractions_are_still_a_range_of_fractions() -> None:
    passes = [{"kind": "fine_tune", "learning_rate": {"low": 1, "high": 2}}]
    recipe = Recipe.parse({"passes": passes, "solve": {}})
    assert isinstance(recipe.open[0].domain(), Real)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": {"low": 0.2, "high": 1.5}}, r"passes.0.ratio: 1.5 is no setting"),
        ({"ratio": {"low": 0.6, "high": 0.2}}, "low <= high; came 0.6 and 0.2"),
        ({"ratio": {"low": 0.2}}, "needs numbers `low` and `high`"),
        ({"ratio": {"low": 0.2, "high": 0.4, "step": 0}}, "`step` must be a number above 0"),
        ({"ratio": {"low": 0.2, "high": 0.4, "step": 0.1, "log": True}}, "goes without `step`"),
        ({"ratio": {"choice": []}}, "a choice is a list"),
        ({"scope": {"choice": ["local", "locl"]}}, "'locl' is no setting"),
        ({"scope": {"choice": ["local", "local"]}}, "names a value twice"),
        ({"optional": "perhaps"}, "expected true or false"),
        ({"ratoi": {"low": 0.2, "high": 0.4}}, "did you mean 'ratio'"),
    ],
)
def test_a_bad_range_is_refused_with_its_place(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Recipe.parse({"passes": [{"kind": "structured_prune", **settings}], "solve": {}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"passes": [{"kind": "low_rank", "optional": True}]}, "solve: is missing: low_rank/used are open"),
        ({"passes": ["low_rank"], "solve": {}}, "has nothing to search"),
        ({"passes": [{"kind": "low_rank", "optional": True}], "solve": {"minimize": "size_byte"}}, "'size_bytes'"),
    ],
)
def test_open_fields_and_what_they_are_searched_for_belong_together(data: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Recipe.parse(data)


def test_decisions_of_another_recipe_are_refused() -> None:
    with pytest.raises(SpaceError, match="structured_prune/ratio"):
        opened().resolve({"structured_prune/ratio": 0.9})


class Fussy(Pass):
    """Refuses to be strong and quick at once."""

    ratio: float = 0.5
    quick: bool = False

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.quick and self.ratio > 0.5:
            raise ConfigurationError([Mistake("", "quick goes up to a ratio of 0.5 only")])
        return self

    def check(self, model: Model, context: Context) -> list[Verdict]:
        return []

    def apply(self, model: Model, context: Context) -> Model:
        return model


def test_combinations_that_a_pass_refuses_are_not_drawn() -> None:
    fussy = {"kind": f"{__name__}:Fussy", "ratio": {"low": 0.1, "high": 0.9}, "quick": {"choice": [False, True]}}
    space = OpenRecipe(recipe=Recipe.parse({"passes": [fussy], "solve": {}}))
    made = [space.resolve(space.sample(random.Random(seed))).specs()[0] for seed in range(40)]
    assert {one["quick"] for one in made} == {False, True}
    assert not [one for one in made if one["quick"] and one["ratio"] > 0.5]


@pytest.mark.parametrize("name", ["random_search", "tpe", "nsga2", "evolution", "predictor", "local_search"])
def test_strategies_and_samplers_propose_settings(name: str) -> None:
    space = opened()
    strategy = build("strategy", name)
    assert isinstance(strategy, Strategy)
    objectives = [Objective(metric="accuracy", direction="maximize"), Objective(metric="params", direction="minimize")]
    proposal = strategy.ask(space, [], objectives, random.Random(1))
    assert len(space.resolve(proposal.decisions).passes) in (2, 3)


def test_fixed_decisions_are_no_longer_asked_for() -> None:
    space = opened().model_copy(update={"fixed": {"structured_prune/ratio": 0.3}})
    decisions = space.sample(random.Random(0))
    assert "structured_prune/ratio" not in decisions
    assert space.resolve(decisions).specs()[0]["ratio"] == 0.3


def test_a_range_with_steps_keeps_them_when_it_is_probed_or_cut() -> None:
    passes = [
        {"kind": "share_weights", "bits": {"low": 2, "high": 8, "step": 2}},
        {"kind": "low_rank", "energy": {"low": 0.6, "high": 0.9, "step": 0.1}},
    ]
    bits, energy = Recipe.parse({"passes": passes, "solve": {}}).open
    assert bits.probes() == (2, 4, 8)
    assert bits.between(3, 7).domain() == Integer(4, 6, 2)
    assert energy.probes() == (0.6, 0.7, 0.9)
    assert energy.between(0.65, 1).domain() == Categorical((0.7, 0.8, 0.9))
