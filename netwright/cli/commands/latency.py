"""`netwright latency`: how long a network takes on a device, predicted from a table of that device."""

from __future__ import annotations

import click

from netwright.cli.main import Commands


class LatencyCommands(Commands):
    """The sub-commands of `netwright latency`: every file in `cli/latency/` is one."""

    folder = "latency"


@click.command(
    cls=LatencyCommands,
    name="latency",
    epilog="""\b
Examples:
  netwright latency build recipe.yaml --out device.json     measure this machine
  netwright latency show device.json
  netwright latency predict device.json --decisions '{...}'

\b
In a recipe, the table makes latency an objective that is known before training:
  search: {latency_table: device.json}
  objectives: [accuracy, {metric: predicted_latency_ms, bound: 0.5}]""",
)
def command() -> None:
    """Measure a device once and predict the latency of any network of a space: build, show, predict."""
