"""`netwright report`: one self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json


@click.command(
    name="report",
    epilog="""\b
Examples:
  netwright report runs/quickstart --out report.html
  netwright report runs/quickstart --numbers numbers""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file to write; default: report.html in the run folder."
)
@click.option(
    "--numbers",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for the numbers behind the page: report.json, and a CSV file per panel.",
)
@click.option("--trust", is_flag=True, help="Import the run's own search space, if it has one, to draw its networks.")
@json_option
def command(run: Path, out: Path | None, numbers: Path | None, trust: bool, as_json: bool) -> None:
    """Write a self-contained HTML page about RUN: opens without a network, can be sent by e-mail."""
    from netwright import api

    path = api.report(run, out=out, trust=trust)
    files = _numbers(run, numbers, trust=trust) if numbers is not None else []
    if as_json:
        found = {"report": str(path), "size_bytes": path.stat().st_size}
        print_json({**found, "numbers": [str(file) for file in files]} if numbers is not None else found)
    else:
        print(*[path, *files], sep="\n")


def _numbers(run: Path, folder: Path, *, trust: bool) -> list[Path]:
    from netwright.dashboards.report import write_report_numbers
    from netwright.runs.view import open_run

    folder.mkdir(parents=True, exist_ok=True)
    return write_report_numbers(open_run(run, trust=trust), folder)
