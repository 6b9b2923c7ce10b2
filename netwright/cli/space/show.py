"""`netwright space show`: a space, or one architecture of it beside the figures published about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.space_arguments import (
    chosen_decisions,
    chosen_shapes,
    chosen_space,
    decisions_option,
    seed_option,
    settings_option,
    shape_options,
    shape_text,
)

if TYPE_CHECKING:
    from netwright.cli.space_arguments import Chosen
    from netwright.core.records import Decisions
    from netwright.core.shapes import Shapes
    from netwright.search_spaces.landmark import Landmark

KEPT = 60
"""Decisions that a table shows; --json has them all."""


@click.command(
    name="show",
    epilog="""\b
Examples:
  netwright space show landmark:lenet-300-100
  netwright space show convnet --seed 3 --layers
  netwright space show convnet --decisions best.json --task digits --json""",
)
@click.argument("space")
@decisions_option
@click.option("--layers", is_flag=True, help="A row for every layer: shape, parameters, MACs, output bytes.")
@seed_option
@settings_option
@shape_options
@json_option
def command(
    space: str,
    decisions: str | None,
    layers: bool,
    seed: int,
    overrides: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Show SPACE with one architecture of it: its decisions, what each could have been, and what it costs.

    For landmark:NAME that architecture, its cost from decisions beside every published figure. For a space
    --decisions, or one drawn with --seed.
    """
    chosen = chosen_space(space, overrides)
    shapes, where = chosen_shapes(chosen, **given)
    picked, origin = _picked(chosen, decisions, seed)
    document = _document(chosen, picked, shapes, origin, layers=layers)
    if as_json:
        print_json(document)
        return
    fields = type(chosen.space).model_fields
    changed = {name: value for name, value in document["space"].items()
               if name in fields and getattr(chosen.space, name) != fields[name].default}  # fmt: skip
    _print(document, f"{shape_text(shapes)} ({where})", changed)


def _picked(chosen: Chosen, text: str | None, seed: int) -> tuple[Decisions, str]:
    """The architecture to show, and where it comes from."""
    import random

    if text is not None:
        return chosen_decisions(chosen, text), "as given"
    if chosen.landmark is not None:
        return chosen_decisions(chosen, chosen.name), chosen.name
    return chosen.space.sample(random.Random(seed)), f"drawn with seed {seed}"


def _document(chosen: Chosen, decisions: Decisions, shapes: Shapes, origin: str, *, layers: bool) -> dict[str, Any]:
    from netwright.core.plugins import name_of, spec_of, summary
    from netwright.search_spaces.cost import layer_costs

    space = chosen.space
    cost = space.cost(decisions, shapes)
    domains = space.trace(decisions).domains
    document: dict[str, Any] = {"space": spec_of(space), "summary": summary("space", name_of(space))}
    if chosen.landmark is not None and origin == chosen.name:
        document |= {"landmark": origin.removeprefix("landmark:"), "title": chosen.landmark.title}
        document |= {"source": chosen.landmark.source}
    document |= {
        "input": list(shapes.input),
        "output": shapes.output if isinstance(shapes.output, int) else list(shapes.output),
        "architecture": origin,
        "decisions": dict(decisions),
        "domains": {name: domain.describe() for name, domain in domains.items()},
        "genotype": space.genotype(decisions),
        "identity": space.identity(decisions, shapes),
        "params": cost.params,
        "macs": cost.macs,
        "activation_bytes": cost.peak_activation_bytes,
    }
    if "landmark" in document and chosen.landmark is not None and shapes == chosen.landmark.shapes:
        document["counts"] = _counts(chosen.landmark, params=cost.params, macs=cost.macs)
    if layers:
        document["layers"] = [
            {
                "layer": row.name,
                "what": row.label,
                "shape": "x".join(map(str, row.shape)),
                "params": row.params,
                "macs": row.macs,
                "bytes": row.activation_bytes,
            }
            for row in layer_costs(space.graph(decisions, shapes))
        ]
    return document


def _counts(landmark: Landmark, *, params: int, macs: int) -> list[dict[str, Any]]:
    """A row per published count, with whether it equals the count from decisions to its printed digits."""
    from netwright.search_spaces.printed_figures import agrees

    return [
        {
            "source": count.source,
            "params": count.params,
            "params_equal": None if count.params is None else agrees(params, count.params),
            "macs": count.macs,
            "macs_equal": None if count.macs is None else agrees(macs, count.macs),
            "note": count.note,
        }
        for count in landmark.counts
    ]


def _print(document: dict[str, Any], shapes: str, changed: Mapping[str, Any]) -> None:
    if "title" in document:
        print(f"{document['title']}\n{document['source']}\n")
    else:
        print(f"{document['summary']}\n")
    settings = [f"{name}={_short(value)}" for name, value in changed.items()] or ["with its default settings"]
    print(f"space          {document['space']['kind']}  {'  '.join(settings)}")
    print(f"input, output  {shapes}")
    print(f"architecture   {document['architecture']}, {len(document['decisions'])} decisions")
    print(f"identity       {document['identity']}")
    for name, words in (("params", "parameters"), ("macs", "MACs"), ("activation_bytes", "peak bytes")):
        print(f"{words:<14} {document[name]:,}")
    if document.get("counts"):
        names = ("source", "params", "params_equal", "macs", "macs_equal", "note")
        print_table(
            [_with_differences(row, document) for row in document["counts"]],
            title="\nPublished figures; equal to the above (to their printed digits), or how far they are from it?",
            columns=names,
        )
    rows = [
        {"decision": name, "value": _short(value), "out of": document["domains"][name]}
        for name, value in document["decisions"].items()
    ]
    print_table(rows[:KEPT], title="\nDecisions")
    if len(rows) > KEPT:
        print(f"... and {len(rows) - KEPT} more: --json shows all")
    if "layers" in document:
        print_table(document["layers"], title="\nLayers")


def _with_differences(row: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """A published figure's row, with the difference in per cent where it is not equal."""
    from netwright.search_spaces.printed_figures import value_of

    shown = dict(row)
    for name in ("params", "macs"):
        if row[f"{name}_equal"] is False:
            shown[f"{name}_equal"] = f"{100 * (value_of(row[name]) / document[name] - 1):+.2g} %"
    return shown


def _short(value: object) -> str:
    """A value without blanks, cut where it is long."""
    words = str(list(value) if isinstance(value, tuple) else value).replace(", ", ",")
    return words if len(words) <= 120 else words[:117] + "..."
