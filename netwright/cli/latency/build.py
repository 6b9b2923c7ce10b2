"""`netwright latency build`: measure this machine's latency table for a search space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netwright.cli.output import json_option, print_json
from netwright.cli.space_arguments import (
    chosen_shapes,
    chosen_space,
    seed_option,
    settings_option,
    shape_options,
    shape_text,
)


@click.command(
    name="build",
    epilog="""\b
SPACE is a space by name, a file with a space, or a recipe; see `netwright space --help`.

\b
Examples:
  netwright latency build recipe.yaml --out device.json
  netwright latency build convnet --task digits --samples 50 --networks 20 --out device.json
  netwright latency build nasbench201 --input 3x32x32 --classes 10 --threads 2 --out two-threads.json
  netwright latency build --from-csv phone.csv --device "a phone" --out phone.json

\b
Ctrl-C keeps what is measured in OUT.partial; the same command goes on from there.
A csv has the columns operation, input_shape, latency_ms and unit: docs/latency.md.""",
)
@click.argument("space", required=False)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option("--samples", type=click.IntRange(1), default=200, show_default=True, help="Networks to take units from.")
@click.option("--operations", type=click.IntRange(1), default=300, show_default=True, help="Units to time at most.")
@click.option("--networks", type=click.IntRange(0), default=30, show_default=True, help="Whole networks to time.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of the runtime.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=0.3, show_default=True, help="Seconds for each unit."
)
@click.option("--device", default="", help="A name for the device; default: its processor.")
@click.option("--from-csv", type=click.Path(path_type=Path), help="Take the figures from a csv instead of measuring.")
@click.option("--force", is_flag=True, help="Overwrite OUT.")
@seed_option
@settings_option
@shape_options
@json_option
def command(
    space: str | None,
    out: Path,
    device: str,
    from_csv: Path | None,
    force: bool,
    overrides: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Measure how long each operation of SPACE takes on this machine, and some whole networks, into one file.

    Prints the error and the rank correlation on networks that were held out of the fit.
    """
    from netwright.cli.latency.show import print_summary, summary

    if out.exists() and not force:
        raise click.UsageError(f"{out} exists; give another --out, or --force to overwrite it")
    if not out.parent.is_dir():
        raise click.UsageError(f"there is no folder {out.parent}; make it, or give another --out")
    if from_csv is not None:
        from netwright.evaluation.latency_table import read_csv

        if space is not None:
            raise click.UsageError("--from-csv takes the figures from the file; leave out SPACE")
        table = read_csv(from_csv, device=device or from_csv.stem)
        table.write(out)
    elif space is None:
        raise click.UsageError("give a SPACE to measure, or --from-csv FILE")
    else:
        table = _built(space, overrides, out=out, device=device, quiet=as_json, given=given)
    if as_json:
        print_json(summary(table))
        return
    print_summary(table)
    print(f"\nwritten to {out}")


def _built(
    space: str, overrides: tuple[str, ...], *, out: Path, device: str, quiet: bool, given: dict[str, Any]
) -> Any:
    from netwright.cli.progress import shown
    from netwright.runs.latency_building import Building, build_table

    building = Building.parse({name: given.pop(name) for name in Building.model_fields})
    chosen = chosen_space(space, overrides)
    shapes, where = chosen_shapes(chosen, **given)
    if where != "as given":
        click.echo(f"networks for {shape_text(shapes)}: {where}", err=True)
    with shown(quiet=quiet) as listener:
        return build_table(chosen.space, shapes, out=out, building=building, device=device, listener=listener)
