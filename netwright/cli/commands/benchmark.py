"""`netwright benchmark`: strategies compared on tables of recorded results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from netwright.cli import benchmark_output as output
from netwright.cli.benchmark_arguments import (
    NOBODY,
    Asked,
    check_epochs,
    chosen_contestants,
    chosen_promotion,
    chosen_stopper,
    chosen_table,
)
from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.space_arguments import settings_option


@click.group(name="benchmark", epilog="Example: netwright benchmark strategies --table nasbench201 --dataset cifar100")
def command() -> None:
    """Compare strategies on recorded results, in seconds instead of days."""


@command.command(
    name="strategies",
    epilog="""\b
Examples:
  netwright benchmark strategies --table nasbench201 --dataset cifar100 --budget 200 --seeds 50
  netwright benchmark strategies --table nasbench201 --objective max:accuracy --objective min:lat_pixel2 \\
    --strategy evolution:population=50,tournament=10 --peer optuna:tpe+cache:multivariate=true
  netwright benchmark strategies --table mine.csv --space my_module:MySpace --arch-column decisions \\
    --objective max:accuracy --budget 50 --seeds 10 --plot regret.html""",
)
@click.option("--table", required=True, metavar="FILE|NAME", help="A .csv or .parquet file; nasbench201, nasbench101.")
@click.option("--dataset", metavar="NAME", help="Data set of a named table, such as cifar10.")
@click.option("--protocol", metavar="NAME", help="How a named table is searched: oracle (default), published.")
@click.option(
    "--space", metavar="SPACE", help="The space of a file's architectures: a name, pkg.mod:Class, a YAML file."
)
@settings_option
@click.option("--arch-column", metavar="COLUMN", help="Column with decisions as JSON, or genotypes.")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="max:COLUMN|min:COLUMN",
    help="May be repeated; with a bound as min:COLUMN<=5: what breaks it is never paid for, if it is known before.",
)
@click.option(
    "--known",
    multiple=True,
    metavar="COLUMN|none",
    help="Objectives known before paying; default: those after the first that are minimised.",
)
@click.option("--report", "reported", multiple=True, metavar="max:COLUMN", help="Judge an objective's choice by this.")
@click.option("--fidelity", "fidelities", multiple=True, metavar="COLUMN@EPOCHS", help="The first objective, earlier.")
@click.option("--stopper", metavar="NAME[:A=B,...]", help="Ends trials at a fidelity; see `netwright list stoppers`.")
@click.option(
    "--promotion",
    metavar="NAME[:A=B,...]|none",
    help="Who goes on from shorter trainings; default: predicted where --fidelity gives some, none to train in full.",
)
@click.option("--same", type=click.Choice(["row", "network"]), help="What counts as one architecture; default: a row.")
@click.option(
    "--absent",
    type=click.Choice(["failed", "nearest"]),
    help="An architecture of no row fails, or the nearest row answers; default: by how many random ones have a row.",
)
@click.option("--budget", type=click.IntRange(1), default=100, show_default=True, help="Architectures to pay for.")
@click.option("--budget-epochs", type=click.IntRange(1), help="Begin no architecture after so many epochs in all.")
@click.option(
    "--seeds", type=click.IntRange(1), default=10, show_default=True, help="Searches of each, seeds 0, 1, ..."
)
@click.option("--strategy", "strategies", multiple=True, metavar="NAME[:A=B,...]", help="Default: all that can serve.")
@click.option("--peer", "peers", multiple=True, metavar="LIBRARY:METHOD", help="optuna:tpe, optuna:nsga2+cache, ...")
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one per core.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write the curves to this HTML file.")
@json_option
def strategies_command(
    strategies: tuple[str, ...],
    peers: tuple[str, ...],
    budget: int,
    budget_epochs: int | None,
    seeds: int,
    stopper: str | None,
    promotion: str | None,
    workers: int | None,
    plot: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Let strategies search a table of recorded results, and print what they found.

    A strategy is asked as in a real search; the table answers. An architecture is paid for once. Regret is counted
    from the table's best row; the hypervolume is a share of that of all rows, up to the worst value of every
    objective. A peer is another library's search by its own ask and tell, paying for whatever it asks;
    +cache answers what it has paid for before for nothing. With --fidelity strategies begin with short trainings, and
    the budget is as many epochs as so many whole ones take.
    """
    from netwright.nas.benchmarking.comparing import Contest, compare
    from netwright.nas.benchmarking.scoring import Scale, curve_rows, milestones, summary

    table, goals = chosen_table(Asked(**asked), shortening=stopper is not None or promotion not in (None, NOBODY))
    scale = Scale(table, goals)
    rule = chosen_promotion(promotion, goals, stopping=stopper is not None)
    contest = Contest(table, goals, budget, chosen_stopper(stopper, goals), budget_epochs, rule)
    check_epochs(goals, budget_epochs)
    contestants = chosen_contestants(strategies, peers, table=table, goals=goals)
    with output.progress() as listener:
        cores = workers or os.cpu_count() or 1
        found = compare(contest, contestants, seeds=range(seeds), workers=cores, listener=listener)
    rows = [summary(name, searches, scale, budget=budget) for name, searches in found.items()]
    about = output.about(scale)
    if plot is not None:
        output.write_page(plot, curve_rows(found, scale, budget=budget), rows=rows, about=about, seeds=seeds)
    if as_json:
        curves = curve_rows(found, scale, budget=budget, every=milestones(budget))
        print_json({"table": about, "budget": budget, "seeds": seeds, "strategies": _with_curves(rows, curves)})
        return
    print(f"{table.name}: {output.words(about)}; {output.count(seeds, 'search', 'searches')} of each\n")
    print_table([output.readable(row) for row in rows])
    if plot is not None:
        print(f"\nCurves: {plot}")


def _with_curves(rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every strategy's row with the points of its own curve, which need not name it."""
    return [{**row, "curve": [_unnamed(p) for p in curves if p["strategy"] == row["strategy"]]} for row in rows]


def _unnamed(point: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in point.items() if name != "strategy"}
