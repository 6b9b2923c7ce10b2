"""`netwright latency predict`: the latency of one network on the device of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netwright.cli.output import json_option, print_json
from netwright.cli.space_arguments import (
    Chosen,
    chosen_decisions,
    chosen_shapes,
    chosen_space,
    decisions_option,
    settings_option,
    shape_options,
)

if TYPE_CHECKING:
    from netwright.core.shapes import Shapes
    from netwright.evaluation.latency_predictor import Prediction
    from netwright.evaluation.latency_table import LatencyTable


@click.command(
    name="predict",
    epilog="""\b
Without --space, the space and the shapes are those the table was built for.

\b
Examples:
  netwright latency predict device.json --decisions best.json
  netwright latency predict device.json --space mlp --task digits \\
    --genotype 'depth=1 layer1/neurons=16 activation="relu" batch_norm=true dropout=0.2'
  netwright latency predict device.json --space landmark:resnet-18 --decisions landmark:resnet-18""",
)
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--space", help="The space of the architecture: a name, a file or a recipe.")
@click.option("--genotype", help="The architecture as a genotype.")
@decisions_option
@settings_option
@shape_options
@json_option
def command(
    table: Path,
    space: str | None,
    genotype: str | None,
    decisions: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Predict the latency of an architecture from a latency TABLE; nothing is built or run."""
    from netwright.evaluation.latency_predictor import predictor_of

    if (decisions is None) == (genotype is None):
        raise click.UsageError("give the architecture: --decisions or --genotype, one of them")
    predictor = predictor_of(table)
    own = predictor.table
    chosen, shapes = _place(own, space, overrides, given)
    if genotype is not None:
        found = chosen.space.from_genotype(genotype)
    else:
        found = dict(chosen_decisions(chosen, str(decisions)))
    predicted = predictor.predict(chosen.space.graph(found, shapes))
    if as_json:
        print_json({**_row(predicted, own), "decisions": found})
        return
    _print(predicted, own)


def _row(predicted: Prediction, own: LatencyTable) -> dict[str, Any]:
    return {
        "latency_ms": predicted.latency_ms,
        "unit": own.unit,
        "lookup_ms": predicted.lookup_ms,
        "units": predicted.units,
        "extrapolated": predicted.extrapolated,
        "median_error": _error(own),
        "device": own.device,
        "this_machine": own.of_this_machine,
        "runtime": own.runtime,
    }


def _error(own: LatencyTable) -> float | None:
    """The median relative error on networks that the table was not fitted to, where it has any."""
    found: float | None = own.accuracy.get("held_out", {}).get("median_error")
    return found


def _print(predicted: Prediction, own: LatencyTable) -> None:
    error = _error(own)
    margin = "" if error is None else f", usually within {100 * error:.1f} % (held-out median)"
    print(f"{predicted.latency_ms:.4g} ms on {own.device}{margin}")
    print(f"sum of look-ups {predicted.lookup_ms:.4g} ms over {predicted.units} units")
    if predicted.extrapolated:
        print(f"{predicted.extrapolated} of them are not in the table and were judged by their sizes")
    if not own.of_this_machine:
        print("the table is of another machine than this one")


def _place(
    own: LatencyTable, space: str | None, overrides: tuple[str, ...], given: dict[str, Any]
) -> tuple[Chosen, Shapes]:
    """The space and the shapes: those given, else the table's own."""
    if space is not None:
        chosen = chosen_space(space, overrides)
        shapes, _ = chosen_shapes(chosen, **given)
        return chosen, shapes
    if overrides or any(value is not None for value in given.values()):
        raise click.UsageError("--set and the shapes need --space; without it those of the table are used")
    from netwright.runs.latency_building import space_of

    found, shapes = space_of(own)
    return Chosen("the table's space", found), shapes
