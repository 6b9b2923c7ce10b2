"""`netwright benchmark`: strategies compared on tables of recorded results."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.space_arguments import chosen_space, settings_option

if TYPE_CHECKING:
    from netwright.core.progress import Event, Listener
    from netwright.core.records import Objective
    from netwright.nas.benchmarking.contestant import Contestant
    from netwright.nas.benchmarking.goals import Goals
    from netwright.nas.benchmarking.scoring import Scale
    from netwright.nas.benchmarking.table import BenchmarkTable
    from netwright.nas.promotion import Promotion
    from netwright.nas.stopper import Stopper

EVERY_S = 5.0
NOBODY = "none"


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

    table, goals = _table_and_goals(shortening=stopper is not None or promotion not in (None, NOBODY), **asked)
    scale = Scale(table, goals)
    rule = _promotion(promotion, goals, stopping=stopper is not None)
    contest = Contest(table, goals, budget, _stopper(stopper, goals), budget_epochs, rule)
    _check_epochs(goals, budget_epochs)
    about = _about(scale)
    contestants = _contestants(strategies, peers, table, goals)
    with _progress() as listener:
        cores = workers or os.cpu_count() or 1
        found = compare(contest, contestants, seeds=range(seeds), workers=cores, listener=listener)
    rows = [summary(name, searches, scale, budget=budget) for name, searches in found.items()]
    if plot is not None:
        _write_page(plot, curve_rows(found, scale, budget=budget), rows, about, seeds=seeds)
    if as_json:
        curves = curve_rows(found, scale, budget=budget, every=milestones(budget))
        for row in rows:
            row["curve"] = [_without_name(point) for point in curves if point["strategy"] == row["strategy"]]
        print_json({"table": about, "budget": budget, "seeds": seeds, "strategies": rows})
        return
    print(f"{table.name}: {_words(about)}; {_count(seeds, 'search', 'searches')} of each\n")
    print_table([_readable(row) for row in rows])
    if plot is not None:
        print(f"\nCurves: {plot}")


def _table_and_goals(
    *,
    table: str,
    dataset: str | None,
    protocol: str | None,
    space: str | None,
    overrides: tuple[str, ...],
    arch_column: str | None,
    same: Any,
    absent: Any,
    shortening: bool,
    **sought: tuple[str, ...],
) -> tuple[BenchmarkTable, Goals]:
    """The table and what is sought on it, from the options."""
    from netwright.nas.benchmarking.goals import parse_goals
    from netwright.nas.benchmarking.named_tables import named_table
    from netwright.nas.benchmarking.table import make_table, read_frame

    if "." not in table and not Path(table).is_file():
        if space or arch_column or overrides:
            raise click.UsageError(f"the table {table} brings its own --space, --set and --arch-column; leave them out")
        if protocol and (sought["objectives"] or sought["reported"]):
            raise click.UsageError("a --protocol brings its own --objective and --report; leave them or it out")
        named = named_table(table)
        if shortening and not sought["fidelities"]:
            sought["fidelities"] = named.usual_fidelities(dataset=dataset, protocol=protocol)
        goals = named.goals(dataset=dataset, protocol=protocol, **sought)
        return named.read(goals, name=table, same=same, absent=absent), goals
    if dataset or protocol:
        raise click.UsageError("--dataset and --protocol are for named tables, not for files")
    missing = [name for name, given in (("--space", space), ("--arch-column", arch_column)) if not given]
    if missing or space is None or arch_column is None:
        raise click.UsageError(f"a table from a file needs {' and '.join(missing)}")
    goals = parse_goals(
        sought["objectives"], reported=sought["reported"], fidelities=sought["fidelities"], known=sought["known"]
    )
    chosen = chosen_space(space, overrides)
    frame = read_frame(Path(table))
    found = make_table(
        frame,
        name=table,
        space=chosen.space,
        architecture=arch_column,
        values=goals.columns,
        same=same or "row",
        absent=absent,
    )
    if found.skipped:
        print(f"{found.skipped:,} of {len(frame):,} rows are none of the space", file=sys.stderr)
    if found.averaged:
        told = f"{found.averaged:,} of {len(frame):,} rows are of an architecture that has another: their mean counts"
        print(told, file=sys.stderr)
    return found, goals


def _stopper(text: str | None, goals: Goals) -> Stopper | None:
    from netwright.core.plugins import build
    from netwright.nas.benchmarking.contestant import with_settings
    from netwright.nas.stopper import Stopper

    if text is None:
        return None
    if not goals.fidelities:
        raise click.UsageError("--stopper needs --fidelity COLUMN@EPOCHS, shorter than the objective's own training")
    name, settings = with_settings(text)
    stopper = build("stopper", {"kind": name, **settings})
    assert isinstance(stopper, Stopper)
    return stopper


def _promotion(text: str | None, goals: Goals, *, stopping: bool) -> Promotion | None:
    """Who goes on from the shorter trainings; None where every training is whole, or a stopper ends them."""
    from netwright.core.plugins import build
    from netwright.nas.benchmarking.contestant import with_settings
    from netwright.nas.promotion import Promotion

    column = goals.objectives[0].metric
    if text is None and goals.fidelities and goals.epochs is None and not stopping:
        print(f"shorter trainings are not used: say how long the whole one is, --fidelity {column}@N", file=sys.stderr)
    usable = bool(goals.fidelities) and goals.epochs is not None
    if text == NOBODY or (text is None and (stopping or not usable)):
        return None
    if stopping:
        raise click.UsageError("--promotion and --stopper both say who goes on; give one of them")
    if not usable:
        needed = f"--fidelity COLUMN@EPOCHS for shorter trainings, and --fidelity {column}@EPOCHS for the whole one"
        raise click.UsageError(f"--promotion needs {needed}")
    name, settings = with_settings(text or "predicted")
    found = build("promotion", {"kind": name, **settings})
    assert isinstance(found, Promotion)
    return found


def _check_epochs(goals: Goals, budget: int | None) -> None:
    if budget is not None and goals.epochs is None:
        column = goals.objectives[0].metric
        raise click.UsageError(f"--budget-epochs needs the epochs of {column}: add --fidelity {column}@EPOCHS")


def _contestants(
    strategies: Sequence[str], peers: Sequence[str], table: BenchmarkTable, goals: Goals
) -> list[Contestant]:
    """Those that were asked for, checked; or all strategies that can serve."""
    from netwright.nas.benchmarking.contestant import all_strategies, check, parse_peer, parse_strategy

    named = [parse_strategy(text) for text in dict.fromkeys(strategies)]
    others = [parse_peer(text) for text in dict.fromkeys(peers)]
    for contestant in (*named, *others):
        check(contestant, table, goals.objectives)
    if not strategies:
        named, reasons = all_strategies(table, goals.objectives)
        for name, reason in reasons.items():
            print(f"without {name}: {reason}", file=sys.stderr)
    return [*named, *others]


def _about(scale: Scale) -> dict[str, Any]:
    """What the numbers are measured against."""
    goals = scale.goals
    several = len(goals.objectives) > 1
    return {
        "name": scale.table.name,
        "architectures": len(scale.table),
        "same": scale.table.same,
        "absent": scale.table.absent,
        "objectives": [_said(o) for o in goals.objectives],
        "known": list(goals.known),
        "reported": [_said(o) for o in goals.reported],
        "optimum": scale.optimum,
        "reference": list(scale.reference) if several else None,
        "hypervolume": scale.hypervolume if several else None,
    }


def _said(objective: Objective) -> str:
    direction = (objective.direction or "")[:3]
    bound = "" if objective.bound is None else f"{'<=' if direction == 'min' else '>='}{objective.bound:g}"
    return f"{direction}:{objective.metric}{bound}"


def _words(about: Mapping[str, Any]) -> str:
    text = f"search {', '.join(about['objectives'])}"
    if about["reported"] != about["objectives"]:
        text += f"; reported {', '.join(about['reported'])}"
    if about["known"]:
        text += f"; known before paying: {', '.join(about['known'])}"
    text += f"; optimum {about['optimum']:.6g}"
    if about["absent"] == "nearest":
        text += "; for an architecture of no row the nearest row answers"
    if about["reference"] is not None:
        text += f"; reference {', '.join(f'{value:.6g}' for value in about['reference'])}"
    return text


def _readable(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of the summary as a person reads it."""
    shown = {
        "strategy": row["strategy"],
        "paid": f"{round(row['paid'], 2):g}",
        "best": _plus_minus(row, "best", ".2f" if _is_coarse(row["best_mean"]) else ".5g"),
        "regret": _number(row["regret_mean"], ".3g"),
    }
    if row["hypervolume_mean"] is not None:
        shown["hypervolume"] = _plus_minus(row, "hypervolume", ".4f")
    shown |= {"at optimum": f"{row['optimum_share']:.0%}", "repeats": f"{row['repeats_paid']:,}"}
    if row["absent_mean"]:
        shown["absent"] = f"{row['absent_mean']:.1f}"
    if row["refused_mean"]:
        shown["refused"] = f"{row['refused_mean']:.1f}"
    if row["epochs_mean"] is not None and row["architectures_mean"] > row["paid"]:
        shown |= {"tried": f"{row['architectures_mean']:.4g}", "in full": f"{row['in_full_mean']:.4g}"}
    if row["epochs_mean"] is not None:
        shown["epochs"] = f"{row['epochs_mean']:,.0f}"
    shown["ms per ask"] = _number(None if row["seconds_per_ask"] is None else 1e3 * row["seconds_per_ask"], ".3g")
    if set(row["ended"]) != {"budget"}:
        shown["ended"] = ", ".join(f"{count} {how}" for how, count in row["ended"].items())
    return shown


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _is_coarse(value: float | None) -> bool:
    return value is not None and 10 <= abs(value) < 1000


def _plus_minus(row: Mapping[str, Any], what: str, spec: str) -> str:
    middle = row[f"{what}_mean"]
    return "-" if middle is None else f"{middle:{spec}} ± {row[f'{what}_std']:{'.2g' if spec == '.5g' else spec}}"


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"


def _without_name(point: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in point.items() if name != "strategy"}


def _write_page(
    path: Path,
    curves: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
    *,
    seeds: int,
) -> None:
    from netwright.core.files import write_atomic
    from netwright.dashboards.regret_page import regret_page

    remarks = [
        f"{_words(about)}. The table has {about['architectures']:,} architectures.",
        f"{_count(seeds, 'search', 'searches')} of each strategy.",
        "Lines are means over the searches, bands their 95 % intervals by resampling the searches.",
    ]
    page = regret_page(curves, summary=[_readable(row) for row in rows], title=str(about["name"]), remarks=remarks)
    write_atomic(path, page)


@contextmanager
def _progress() -> Iterator[Listener]:
    """Searches done, on standard error: a bar in a terminal, now and then a line elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("searches", total=None)

        def show(event: Event) -> None:
            done, wanted = int(str(event.facts["done"])), int(str(event.facts["wanted"]))
            bar.update(task, completed=done, total=wanted)

        yield show


def _lines() -> Callable[[Event], None]:
    began = last = time.monotonic()

    def show(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        done, wanted = int(str(event.facts["done"])), int(str(event.facts["wanted"]))
        if done == 0:
            print(f"[0/{wanted}] searches", file=sys.stderr, flush=True)
        elif now - last >= EVERY_S:
            last = now
            left = (now - began) / done * (wanted - done)
            print(f"[{done}/{wanted}] searches, about {left:.0f} s left", file=sys.stderr, flush=True)

    return show
