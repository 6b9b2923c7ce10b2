"""`netwright report`: one self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json


@click.command(name="report", epilog="Example: netwright report runs/quickstart --out report.html")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file to write; default: report.html in the run folder."
)
@click.option("--trust", is_flag=True, help="Import the run's own search space, if it has one, to draw its networks.")
@json_option
def command(run: Path, out: Path | None, trust: bool, as_json: bool) -> None:
    """Write a self-contained HTML page about RUN: opens without a network, can be sent by e-mail."""
    from netwright import api

    path = api.report(run, out=out, trust=trust)
    if as_json:
        print_json({"report": str(path), "size_bytes": path.stat().st_size})
    else:
        print(path)
