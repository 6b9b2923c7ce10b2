"""`netwright export`: a trial as a folder ready for deployment."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json
from netwright.cli.progress import shown


@click.command(
    name="export",
    epilog="""\b
Examples:
  netwright export runs/first --trial best
  netwright export runs/first --trial 17 --format onnx --out model-17""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--trial", default="best", show_default=True, help="Number of a trial, or `best`: the compressed winner.")
@click.option(
    "--format", "format_name", default="onnx", show_default=True, help="What to write; see: netwright list formats"
)
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make; default: inside the run folder.")
@json_option
def command(run: Path, trial: str, format_name: str, out: Path | None, as_json: bool) -> None:
    """Export a trial of RUN, with its parity proof and a loader that needs only the runtime."""
    from netwright import api
    from netwright.core.plugins import load

    load("format", format_name)
    with shown(quiet=as_json) as listener:
        result = api.export_trial(run, trial=trial, format_name=format_name, out=out, listener=listener)
    if as_json:
        print_json(result)
        return
    print(result["bundle"])
    for name in result["files"]:
        print(f"  {name}")
    print(f"trained {result['trained']}")
