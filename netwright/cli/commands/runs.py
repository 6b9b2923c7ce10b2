"""`netwright runs`: what runs there are, and what is in one."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json, print_table


@click.group(name="runs", epilog="Example: netwright runs show runs/quickstart")
def command() -> None:
    """List runs, or show one."""


@command.command(name="list", epilog="Example: netwright runs list --in experiments")
@click.option(
    "--in",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where the run folders lie.",
)
@json_option
def list_runs(root: Path, as_json: bool) -> None:
    """List the run folders in a folder."""
    from netwright import api

    if not root.exists() and root != Path("runs"):
        raise click.UsageError(f"there is no folder {root}")
    rows = api.list_runs(root)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        print(f"no runs in {root}; start one with: netwright search recipe.yaml")


@command.command(name="show", epilog="Example: netwright runs show runs/quickstart --json")
@click.argument("run", type=click.Path(path_type=Path))
@json_option
def show(run: Path, as_json: bool) -> None:
    """Show what is recorded of RUN. Its state, its trials by state, its front, its compression stages."""
    from netwright.dashboards.answer import answer
    from netwright.runs import rows
    from netwright.runs.view import open_run

    view = open_run(run)
    summary = rows.summary(view)
    if as_json:
        print_json(summary)
        return
    counts = ", ".join(f"{count} {state}" for state, count in summary["trials"].items() if count)
    print(f"{view.path}: {view.state}" + (f"; trials: {counts}" if counts else ""))
    said = answer(view)
    print(" ".join(part for part in (said["text"], said["caution"], said["proof"]) if part))
    for name in ("file", "command"):
        if said[name]:
            print(f"{'next' if name == 'command' else name}: {said[name]}")
    if summary["front"]:
        print_table(summary["front"], title="\nFront")
    if summary["stages"]:
        print_table(summary["stages"], columns=rows.table_columns(summary["stages"]), title="\nCompression")
