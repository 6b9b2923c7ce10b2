"""`netwright latency show`: what a latency table holds and how far it can be trusted."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netwright.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from netwright.evaluation.latency_table import LatencyTable

WAYS = {
    "held_out": "look-ups times a factor (held out)",
    "sum_of_lookups": "sum of the look-ups",
    "macs_alone": "MACs alone",
}


@click.command(
    name="show",
    epilog="""\b
Examples:
  netwright latency show device.json
  netwright latency show device.json --json""",
)
@click.argument("table", type=click.Path(path_type=Path))
@json_option
def command(table: Path, as_json: bool) -> None:
    """Print the summary of a latency TABLE: the device, what was measured, and the errors."""
    from netwright.evaluation.latency_table import read_table

    found = read_table(table)
    if as_json:
        print_json(summary(found))
    else:
        print_summary(found)


def summary(table: LatencyTable) -> dict[str, Any]:
    """What a table holds, as one document."""
    entries = table.entries
    return {
        "device": table.device,
        "this_machine": table.of_this_machine,
        "machine": table.machine,
        "runtime": table.runtime,
        "unit": table.unit,
        "protocol": table.protocol,
        "space": table.space,
        "shapes": table.shapes,
        "samples": table.samples,
        "call_ms": table.call_ms,
        "units": len(entries),
        "noisy_units": sum(entry.noisy for entry in entries),
        "failed": list(table.failed),
        "networks": len(table.networks),
        "noisy_networks": sum(network.noisy for network in table.networks),
        "extrapolated_units_of_networks": sum(network.extrapolated for network in table.networks),
        "factor": table.factor,
        "accuracy": table.accuracy,
        "kinds": kinds(table),
    }


def kinds(table: LatencyTable) -> list[dict[str, Any]]:
    """A row per kind of unit: how many, how long, and how many were NOISY; the most time first."""
    by_kind = defaultdict(list)
    for entry in table.entries:
        by_kind[entry.unit.kind].append(entry)
    rows = [
        {
            "kind": kind,
            "units": len(entries),
            "least_ms": min(entry.latency_ms for entry in entries),
            "most_ms": max(entry.latency_ms for entry in entries),
            "noisy": sum(entry.noisy for entry in entries),
        }
        for kind, entries in by_kind.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["most_ms"])))


def print_summary(table: LatencyTable) -> None:
    """The same for people."""
    facts = summary(table)
    print(f"device    {table.device}{'' if table.of_this_machine else ' (another machine than this one)'}")
    print(f"runtime   {table.runtime}")
    if "threads" in table.protocol:
        print(f"protocol  {table.protocol['threads']} thread(s), batch 1, median {table.protocol['statistic']} time")
    print(f"units     {facts['units']} timed, {facts['noisy_units']} NOISY, {len(table.failed)} could not be timed")
    print(f"networks  {facts['networks']} timed, {facts['noisy_networks']} NOISY")
    if facts["networks"]:
        print(f"          {facts['extrapolated_units_of_networks']} of their units were not in the table")
    print_table(facts["kinds"], title="\nUnits (ms)")
    rows = [{"prediction": words, **table.accuracy[way]} for way, words in WAYS.items() if way in table.accuracy]
    if rows:
        columns = ["prediction", "median_error", "p90_error", "spearman", "kendall"]
        used = table.accuracy["used"]
        print_table(rows, columns=columns, title=f"\nWhole networks ({used}; errors relative to the measured time)")
    elif table.protocol.get("threads"):
        print("\ntoo few whole networks for a factor: predictions are the sums of the look-ups, errors unknown")
    if (error := table.accuracy.get("unknown_unit_median_error")) is not None:
        print(f"a unit that is not in the table is judged by its sizes, with a median error of {100 * error:.0f} %")
