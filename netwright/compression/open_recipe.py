"""A recipe with open fields as a search space: decisions in, a recipe without open fields out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from netwright.compression.open_field import OPTIONAL, OpenField, with_value
from netwright.compression.recipe import Recipe
from netwright.core.errors import ConfigurationError, SpaceError
from netwright.core.records import Decisions
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.domain import Categorical, Integer, Real
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from netwright.core.shapes import Shapes
    from netwright.search_spaces.graph import GraphBuilder, Tensor


class OpenRecipe(SearchSpace):
    """The recipes that one recipe with open fields stands for.

    Everything that proposes decisions works on it as on any search space: strategies, samplers, enumeration. It
    makes recipes instead of networks, so it has no layer graph.

    >>> recipe = Recipe.parse({"passes": [{"kind": "low_rank", "energy": {"choice": [0.8, 0.9]}}]})
    >>> [dict(one) for one in OpenRecipe(recipe=recipe).enumerate()]
    [{'low_rank/energy': 0.8}, {'low_rank/energy': 0.9}]
    """

    recipe: Recipe = Field(description="the recipe with its open fields")
    fixed: dict[str, Any] = Field(default={}, description="decisions that are no longer open")

    def decide(self, choose: Chooser) -> Recipe:
        decisions: dict[str, Any] = {}
        unused: set[int] = set()
        for one in self.recipe.open:
            if one.number in unused:
                continue
            value = self.fixed[one.name] if one.name in self.fixed else _ask(choose, one)
            decisions[one.name] = value
            if one.kind == OPTIONAL and not value:
                unused.add(one.number)
        try:
            return _resolved(self.recipe, decisions)
        except ConfigurationError as error:
            choose.require(False, str(error))
            raise

    def lower(self, plan: Any, net: GraphBuilder, shapes: Shapes) -> Tensor:
        raise SpaceError("a recipe with open fields makes recipes, not networks: there is no layer graph")

    def resolve(self, decisions: Decisions) -> Recipe:
        """The recipe for these decisions, without open fields; raises SpaceError when one is missing or not allowed."""
        plan = self.decide(_replay(self, decisions))
        assert isinstance(plan, Recipe)
        return plan


def _ask(choose: Chooser, one: OpenField) -> Any:
    domain = one.domain()
    if one.kind == OPTIONAL:
        return choose.boolean(one.name)
    if isinstance(domain, Categorical):
        return choose.one_of(one.name, domain.options)
    if isinstance(domain, Integer):
        return choose.integer(one.name, domain.low, domain.high, step=domain.step)
    assert isinstance(domain, Real)
    return choose.real(one.name, domain.low, domain.high, log=domain.log)


def _replay(space: OpenRecipe, decisions: Decisions) -> Chooser:
    from netwright.search_spaces.choosers import ReplayChooser

    return ReplayChooser({name: value for name, value in decisions.items() if name not in space.fixed})


def _resolved(recipe: Recipe, decisions: Mapping[str, Any]) -> Recipe:
    specs: list[dict[str, Any] | None] = list(recipe.specs())
    for one in recipe.open:
        spec = specs[one.number]
        if spec is None or one.name not in decisions:
            continue
        if one.kind == OPTIONAL:
            specs[one.number] = spec if decisions[one.name] else None
        else:
            specs[one.number] = with_value(spec, one.field, decisions[one.name])
    data = recipe.model_dump(mode="json", exclude={"passes", "open", "solve"})
    return Recipe.parse({**data, "passes": [spec for spec in specs if spec is not None]})
