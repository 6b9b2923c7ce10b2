"""`netwright quickstart`: the whole way on data that ships with the package."""

from __future__ import annotations

from pathlib import Path

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.progress import shown


@click.command(
    name="quickstart",
    epilog="""\b
Examples:
  netwright quickstart
  netwright quickstart --out runs/demo --set search.trials=40""",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The run folder to make; default: runs/quickstart-<number>."
)
@click.option("--set", "overrides", multiple=True, metavar="NAME.NAME=VALUE", help="Change a setting of the recipe.")
@json_option
def command(out: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Search, compress, report and export on bundled images; a few minutes on 2 CPU cores, no network."""
    from netwright import api

    with shown(quiet=as_json) as listener:
        result = api.quickstart(out=out, overrides=overrides, listener=listener)
    if as_json:
        print_json(result)
        return
    columns = [
        "stage",
        "accuracy",
        "latency_ms",
        "speed-up",
        "params",
        "macs",
        "size_bytes",
        "peak_activation_bytes",
        "kept",
        *(["latency_noisy"] if any(row["latency_noisy"] for row in result["stages"]) else []),
    ]
    print_table(result["stages"], columns=columns, title="\nFrom the search's winner to the deployed model")
    print("\n" + result["summary"])
    print(f"\nReport   {result['report']}\nBundle   {result['bundle']}\nRun      {result['run']}")
    print(
        f"\nGo on:\n  netwright dashboard {result['run']}\n  netwright export {result['run']} --trial best --format nwz"
    )
