"""What `netwright benchmark` is given: the table, what is sought on it, who takes part, who goes on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from netwright.cli.space_arguments import chosen_space

if TYPE_CHECKING:
    from netwright.nas.benchmarking.contestant import Contestant
    from netwright.nas.benchmarking.goals import Goals
    from netwright.nas.benchmarking.table import BenchmarkTable
    from netwright.nas.promotion import Promotion
    from netwright.nas.stopper import Stopper

NOBODY = "none"
"""As a promotion: every training is whole."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options that say which table is searched, and what for."""

    table: str
    dataset: str | None
    protocol: str | None
    space: str | None
    overrides: tuple[str, ...]
    arch_column: str | None
    same: Literal["row", "network"] | None
    absent: Literal["failed", "nearest"] | None
    objectives: tuple[str, ...]
    known: tuple[str, ...]
    reported: tuple[str, ...]
    fidelities: tuple[str, ...]


def chosen_table(asked: Asked, *, shortening: bool) -> tuple[BenchmarkTable, Goals]:
    """The table and what is sought on it; a named table has fidelities of its own where trainings are shortened."""
    if "." not in asked.table and not Path(asked.table).is_file():
        return _named(asked, shortening=shortening)
    return _from_file(asked)


def _named(asked: Asked, *, shortening: bool) -> tuple[BenchmarkTable, Goals]:
    from netwright.nas.benchmarking.named_tables import named_table

    name, dataset, protocol = asked.table, asked.dataset, asked.protocol
    named = named_table(name)
    if asked.space or asked.arch_column or asked.overrides:
        raise click.UsageError(f"the table {name} brings its own --space, --set and --arch-column; leave them out")
    if protocol and (asked.objectives or asked.reported):
        raise click.UsageError("a --protocol brings its own --objective and --report; leave them or it out")
    fidelities = asked.fidelities
    if shortening and not fidelities:
        fidelities = named.usual_fidelities(dataset=dataset, protocol=protocol)
    goals = named.goals(
        dataset=dataset,
        protocol=protocol,
        objectives=asked.objectives,
        known=asked.known,
        reported=asked.reported,
        fidelities=fidelities,
    )
    return named.read(goals, name=name, same=asked.same, absent=asked.absent), goals


def _from_file(asked: Asked) -> tuple[BenchmarkTable, Goals]:
    from netwright.nas.benchmarking.goals import parse_goals
    from netwright.nas.benchmarking.table import make_table, read_frame

    if asked.dataset or asked.protocol:
        raise click.UsageError("--dataset and --protocol are for named tables, not for files")
    missing = [name for name, given in (("--space", asked.space), ("--arch-column", asked.arch_column)) if not given]
    if missing or asked.space is None or asked.arch_column is None:
        raise click.UsageError(f"a table from a file needs {' and '.join(missing)}")
    goals = parse_goals(asked.objectives, reported=asked.reported, fidelities=asked.fidelities, known=asked.known)
    space = chosen_space(asked.space, asked.overrides).space
    frame = read_frame(Path(asked.table))
    found = make_table(
        frame,
        name=asked.table,
        space=space,
        architecture=asked.arch_column,
        values=goals.columns,
        same=asked.same or "row",
        absent=asked.absent,
    )
    if found.skipped:
        told = f"{found.skipped:,} of {len(frame):,} rows are none of the space; the first, {found.skipped_why}"
        print(told, file=sys.stderr)
    if found.averaged:
        told = f"{found.averaged:,} of {len(frame):,} rows are of an architecture that has another: their mean counts"
        print(told, file=sys.stderr)
    return found, goals


def chosen_stopper(text: str | None, goals: Goals) -> Stopper | None:
    """Who ends trials at a fidelity; None where nobody does."""
    from netwright.core.plugins import built
    from netwright.nas.benchmarking.contestant import with_settings
    from netwright.nas.stopper import Stopper

    if text is None:
        return None
    if not goals.fidelities:
        raise click.UsageError("--stopper needs --fidelity COLUMN@EPOCHS, shorter than the objective's own training")
    name, settings = with_settings(text)
    return built(Stopper, {"kind": name, **settings})


def chosen_promotion(text: str | None, goals: Goals, *, stopping: bool) -> Promotion | None:
    """Who goes on from the shorter trainings; None where every training is whole, or a stopper ends them."""
    from netwright.core.plugins import built
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
    return built(Promotion, {"kind": name, **settings})


def check_epochs(goals: Goals, budget: int | None) -> None:
    """Refuse a budget of epochs where nobody says how many a training takes."""
    if budget is not None and goals.epochs is None:
        column = goals.objectives[0].metric
        raise click.UsageError(f"--budget-epochs needs the epochs of {column}: add --fidelity {column}@EPOCHS")


def chosen_contestants(
    strategies: Sequence[str], peers: Sequence[str], *, table: BenchmarkTable, goals: Goals
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
