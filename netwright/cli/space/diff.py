"""`netwright space diff`: what differs between two architectures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.space_arguments import (
    Chosen,
    chosen_decisions,
    chosen_shapes,
    chosen_space,
    settings_option,
    shape_options,
    shape_text,
)

if TYPE_CHECKING:
    from netwright.core.records import Decisions

KEPT = 40
"""Layers that are listed; --layers has them all."""


@click.command(
    name="diff",
    epilog="""\b
Examples:
  netwright space diff landmark:resnet-50 landmark:resnet-101
  netwright space diff convnet first.json second.json --task digits
  netwright space diff mlp '{"depth": 1, ...}' best.json --json""",
)
@click.argument("space")
@click.argument("left")
@click.argument("right", required=False)
@click.option("--layers", is_flag=True, help=f"List every layer that differs, not only the first {KEPT}.")
@settings_option
@shape_options
@json_option
def command(
    space: str, left: str, right: str | None, layers: bool, overrides: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Decisions, costs and layers that differ between the architectures LEFT and RIGHT of SPACE.

    Each is a JSON file of decisions, JSON text, a genotype, - for standard input, or landmark:NAME, which is
    taken in its own space. Layers are told apart by their names. Where SPACE is a landmark, it is the LEFT one if only
    one more is given.
    """
    from netwright.search_spaces.difference import cost_changes, decision_changes, layer_changes

    if right is None:
        if not space.startswith("landmark:"):
            raise click.UsageError("Missing argument 'RIGHT'.")
        left, right = space, left
    chosen = chosen_space(space, overrides)
    shapes, where = chosen_shapes(chosen, **given)
    sides, graphs = [], []
    for name, text in (("LEFT", left), ("RIGHT", right)):
        with _named(name):
            sides.append(_side(chosen, text))
            graphs.append(sides[-1][0].space.graph(sides[-1][1], shapes))
    costs = [side.space.cost(decisions, shapes) for side, decisions in sides]
    identities = [side.space.identity(decisions, shapes) for side, decisions in sides]
    decided = [asdict(change) for change in decision_changes(sides[0][1], sides[1][1])]
    priced = [{**asdict(change), "ratio": change.ratio} for change in cost_changes(costs[0], costs[1])]
    changed = [asdict(change) for change in layer_changes(graphs[0], graphs[1])]
    if as_json:
        print_json({"equal": identities[0] == identities[1], "decisions": decided, "costs": priced, "layers": changed})
        return
    print(f"{space}, {shape_text(shapes)} ({where})")
    if identities[0] == identities[1]:
        print("the two are the same network")
    print_table([_shown(row) for row in decided], title="\nDecisions that differ", columns=("name", "left", "right"))
    print_table(priced, title="\nCosts", columns=("metric", "left", "right", "ratio"))
    counts = ", ".join(f"{sum(r['change'] == kind for r in changed)} {kind}" for kind in _kinds(changed)) or "none"
    rows = changed if layers else changed[:KEPT]
    names = ("name", "change", "left", "right", "left_params", "right_params")
    print_table(rows, title=f"\nLayers that differ: {counts}", columns=names)
    if len(rows) < len(changed):
        print(f"... and {len(changed) - len(rows)} more: --layers shows all")


@contextmanager
def _named(side: str) -> Iterator[None]:
    """Tell in a refusal which architecture it is about."""
    from netwright.core.errors import NetwrightError, SpaceError

    try:
        yield
    except NetwrightError as error:
        raise SpaceError(f"{side}: {error}") from error


def _side(chosen: Chosen, text: str) -> tuple[Chosen, Decisions]:
    """An architecture with the space it is decided in."""
    own = chosen_space(text) if text.startswith("landmark:") else chosen
    return own, chosen_decisions(own, text)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Values as they are written; a dash where a decision is not asked for."""
    return {
        "name": row["name"],
        **{key: None if row[key] is None else str(row[key]) for key in ("left", "right")},
    }


def _kinds(changed: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["change"] for row in changed))
