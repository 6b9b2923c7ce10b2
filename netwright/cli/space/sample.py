"""`netwright space sample`: architectures drawn at random, one JSON line each."""

from __future__ import annotations

import json
from typing import Any

import click

from netwright.cli.output import json_option
from netwright.cli.space_arguments import chosen_shapes, chosen_space, seed_option, settings_option, shape_options


@click.command(
    name="sample",
    epilog="""\b
Examples:
  netwright space sample convnet -n 5 --seed 1
  netwright space sample nasbench201 -n 100 --input 3x32x32 --classes 10 > architectures.jsonl""",
)
@click.argument("space")
@click.option("-n", "count", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@seed_option
@settings_option
@shape_options
@json_option
def command(space: str, count: int, seed: int, overrides: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Draw architectures of SPACE; JSON lines with decisions, genotype, identity and cost, with or without --json."""
    import random

    del as_json  # JSON either way
    chosen = chosen_space(space, overrides)
    shapes, where = chosen_shapes(chosen, **given)
    if where != "as given":
        click.echo(f"costs for the input {shapes.input} and the output {shapes.output}: {where}", err=True)
    rng = random.Random(seed)
    for _ in range(count):
        decisions = chosen.space.sample(rng)
        identity, cost = chosen.space.describe(decisions, shapes)
        row = {
            "decisions": decisions,
            "genotype": chosen.space.genotype(decisions),
            "identity": identity,
            "params": cost.params,
            "macs": cost.macs,
            "activation_bytes": cost.peak_activation_bytes,
        }
        print(json.dumps(row))
