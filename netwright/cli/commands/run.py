"""`netwright run`: a recipe from search to bundle."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.progress import shown


@click.command(
    name="run",
    epilog="""\b
Examples:
  netwright run recipes/digits-tiny.yaml
  netwright run my.yaml --out runs/mine --set search.trials=100 --executor processes
  netwright run --resume runs/mine""",
)
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder to make; default: runs/<name>-<number>.")
@click.option("--set", "overrides", multiple=True, metavar="NAME.NAME=VALUE", help="Change a setting; may be repeated.")
@click.option("--executor", metavar="NAME", help="Where trials run: inline, processes or ray.")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with this run folder, wherever it stopped.")
@json_option
def command(
    recipe: Path | None,
    out: Path | None,
    overrides: tuple[str, ...],
    executor: str | None,
    resume: Path | None,
    as_json: bool,
) -> None:
    """Do all that RECIPE describes: search, full training, compression, report, bundle."""
    from netwright import api
    from netwright.runs.rows import table_columns

    if (recipe is None) == (resume is None):
        raise click.UsageError("give a recipe to start a run, or --resume RUN to go on with one")
    if resume is not None and out is not None:
        raise click.UsageError(f"--resume goes on in {resume}; leave out --out")
    changes = [*overrides, *([f"search.executor.kind={executor}"] if executor is not None else [])]
    with shown(quiet=as_json) as listener:
        if resume is not None:
            result = api.resume_run(resume, overrides=changes, listener=listener)
        else:
            assert recipe is not None
            result = api.run(recipe, out=out, overrides=changes, listener=listener)
    if as_json:
        print_json(result)
        return
    print_table(
        result["stages"],
        columns=table_columns(result["stages"]),
        title="\nFrom the search's winner to the deployed model",
    )
    print("\n" + result["summary"])
    print(f"\nReport   {result['report']}\nBundle   {result['bundle']}\nRun      {result['run']}")
