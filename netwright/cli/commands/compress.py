"""`netwright compress`: make a trial of a run, or any trained model, smaller."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.progress import shown


@click.command(
    name="compress",
    epilog="""\b
Examples:
  netwright compress runs/first --trial best
  netwright compress runs/first --trial 17 --recipe recipe.yaml
  netwright compress --model my_package.net:build --weights w.safetensors --recipe recipe.yaml --out runs/mine""",
)
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--trial", default="best", show_default=True, help="Number of a trial, or `best`.")
@click.option("--recipe", type=click.Path(path_type=Path), help="YAML with a `compress` part; default: the run's own.")
@click.option("--model", metavar="PKG.MOD:BUILD", help="Function that builds your own trained model.")
@click.option("--weights", type=click.Path(path_type=Path), help="Its weights, as safetensors.")
@click.option("--out", type=click.Path(path_type=Path), help="With --model: the run folder to make.")
@click.option("--set", "overrides", multiple=True, metavar="NAME.NAME=VALUE", help="Change a setting of the recipe.")
@json_option
def command(
    run: Path | None,
    trial: str,
    recipe: Path | None,
    model: str | None,
    weights: Path | None,
    out: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compress a trial of RUN, or your own model, pass by pass, measuring after each."""
    from netwright import api
    from netwright.runs.rows import table_columns

    if (run is None) == (model is None):
        raise click.UsageError("give a run folder, or --model with --weights and --recipe")
    with shown(quiet=as_json) as listener:
        if model is not None:
            if recipe is None:
                raise click.UsageError("--model needs --recipe: a YAML file with a `task` and a `compress` part")
            result = api.compress_model(
                model, weights=weights, recipe=recipe, out=out, overrides=overrides, listener=listener
            )
        else:
            assert run is not None
            result = api.compress(run, trial=trial, recipe=recipe, overrides=overrides, listener=listener)
    if as_json:
        print_json(result)
        return
    print_table(result["stages"], columns=table_columns(result["stages"]), title=f"Compression, {result['run']}")
    print("\n" + result["summary"])
    print(f"\nReport   {result['report']}\nBundle   {result['bundle']}\nRun      {result['run']}")
