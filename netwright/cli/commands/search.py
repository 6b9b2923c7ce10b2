"""`netwright search`: search a space, or go on with a search."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.progress import shown


@click.command(
    name="search",
    epilog="""\b
Examples:
  netwright search recipes/digits-tiny.yaml
  netwright search recipe.yaml --set search.trials=200 --executor processes --out runs/first
  netwright search --resume runs/first""",
)
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("--set", "overrides", multiple=True, metavar="NAME.NAME=VALUE", help="Change a setting; may be repeated.")
@click.option("--executor", metavar="NAME", help="Where trials run: inline, processes or ray.")
@click.option("--out", type=click.Path(path_type=Path), help="The run folder to make; default: runs/<name>-<number>.")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with this run folder.")
@json_option
def command(
    recipe: Path | None,
    overrides: tuple[str, ...],
    executor: str | None,
    out: Path | None,
    resume: Path | None,
    as_json: bool,
) -> None:
    """Search the space of RECIPE, a YAML run description, and record every trial in a run folder."""
    from netwright import api
    from netwright.runs import rows

    if (recipe is None) == (resume is None):
        raise click.UsageError("give a recipe to start a search, or --resume RUN to go on with one")
    if resume is not None and out is not None:
        raise click.UsageError(f"--resume goes on in {resume}; leave out --out")
    changes = [*overrides, *([f"search.executor.kind={executor}"] if executor is not None else [])]
    with shown(quiet=as_json) as listener:
        if resume is not None:
            view = api.resume(resume, overrides=changes, listener=listener)
        else:
            assert recipe is not None
            view = api.search(recipe, out=out, overrides=changes, listener=listener)
    summary = rows.summary(view)
    if as_json:
        print_json(summary)
        return
    print_table(summary["front"], title=f"Front of {view.path}: {len(summary['front'])} of {len(view.trials)} trials")
    print(f"\nNext:\n  netwright dashboard {view.path}\n  netwright compress {view.path} --trial best")
