"""Strategies on NAS-Bench-201, beside the peers and the published figures, all measured in this run.

    NETWRIGHT_DATA=... python benchmarks/strategies.py [--parts one two published fidelity overhead] [--seeds 50]
        [--strategies evolution local_search ...] [--workers 2] [--json]

one        accuracy on CIFAR-100 after 100 and 200 paid cells
two        accuracy with parameters, and with the latency of a Pixel 2: the share of hypervolume that is missing
           after 100, 200 and 400, and its ratio to that of the best sampler of Optuna, with and without a cache;
           parameters and latency are known before a cell is paid for, unless --nothing-known
published  search by 12-epoch validation on CIFAR-10, report 200-epoch test, after 100 paid cells
fidelity   the epochs of 50 full trainings, all on full trainings or on many short ones by successive halving
overhead   CPU milliseconds per ask while the record grows from 950 to 1,000 trials
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from netwright.core.errors import NetwrightError
from netwright.core.progress import Event
from netwright.core.records import Measurement, Trial, TrialState
from netwright.core.seeds import generator
from netwright.nas.benchmarking.comparing import Contest, compare
from netwright.nas.benchmarking.contestant import Contestant, all_strategies, check, parse_peer, parse_strategy
from netwright.nas.benchmarking.goals import Goals
from netwright.nas.benchmarking.named_tables import named_table
from netwright.nas.benchmarking.scoring import Scale, curve_rows, summary
from netwright.nas.benchmarking.table import BenchmarkTable, TableCosts
from netwright.nas.stoppers.successive_halving import SuccessiveHalving

PEERS_ONE = ["optuna:random", "optuna:tpe", "optuna:tpe+cache", "optuna:nsga2+cache"]
PEERS_TWO = [
    f"optuna:{sampler}{cache}{settings}"
    for sampler, settings in (("tpe", ":multivariate=true"), ("nsga2", ""), ("nsga3", ""))
    for cache in ("", "+cache")
]
SLOW_PEERS = ["optuna:tpe+cache", "optuna:gp+cache"]
"""A minute and more for one search of 400."""
PUBLISHED = {
    "random search": (93.70, 71.04),
    "REA": (93.92, 71.84),
    "REINFORCE": (93.85, 71.71),
    "BOHB": (93.61, 70.85),
}
"""Test accuracy on CIFAR-10 and CIFAR-100 within 12,000 simulated seconds, mean of 500 runs (Dong & Yang, 2020)."""
VARIANTS = ["evolution:population=50,tournament=10", "evolution:population=10,tournament=3"]
RECORDED = 1000
ASKS = 50

Rows = list[dict[str, Any]]


def table_and_goals(*objectives: str, dataset: str = "cifar100", protocol: str | None = None) -> tuple[Any, Goals]:
    named = named_table("nasbench201")
    fidelities = () if objectives or protocol else named.usual_fidelities(dataset=dataset, protocol=protocol)
    goals = named.goals(dataset=dataset, protocol=protocol, objectives=objectives, fidelities=fidelities)
    return named.read(goals, name="nasbench201"), goals


def contestants(
    options: argparse.Namespace, table: BenchmarkTable, goals: Goals, peers: Sequence[str]
) -> list[Contestant]:
    """The strategies that were asked for, or all that can serve, then the peers."""
    found: list[Contestant] = []
    if not options.strategies:
        found, reasons = all_strategies(table, goals.objectives)
        for name, reason in reasons.items():
            print(f"without {name}: {reason}", file=sys.stderr)
    for text in options.strategies or VARIANTS:
        try:
            contestant = parse_strategy(text)
            check(contestant, table, goals.objectives)
        except NetwrightError as error:
            print(f"without {text}: {error}", file=sys.stderr)
        else:
            found.append(contestant)
    return found + [parse_peer(text) for text in peers if not options.no_peers]


def searched(options: argparse.Namespace, contest: Contest, who: Sequence[Contestant]) -> Mapping[str, Any]:
    began = last = time.monotonic()

    def show(event: Event) -> None:
        nonlocal last
        if time.monotonic() - last > 15:
            last = time.monotonic()
            print(f"[{event.facts['done']}/{event.facts['wanted']}] {last - began:.0f} s", file=sys.stderr, flush=True)

    return compare(contest, who, seeds=range(options.seeds), workers=options.workers, listener=show)


def one(options: argparse.Namespace) -> Rows:
    table, goals = table_and_goals("max:accuracy")
    found = searched(options, Contest(table, goals, 200), contestants(options, table, goals, PEERS_ONE))
    scale = Scale(table, goals)
    rows: Rows = []
    for name, searches in found.items():
        short = [replace(search, paid=search.paid[:100]) for search in searches]
        half, whole = (summary(name, part, scale, budget=n) for part, n in ((short, 100), (searches, 200)))
        rows.append(
            {
                "strategy": name,
                "best at 100": half["best_mean"],
                "± 100": half["best_std"],
                "best at 200": whole["best_mean"],
                "± 200": whole["best_std"],
                "at optimum": whole["optimum_share"],
                "paid to optimum": whole["paid_to_optimum_mean"],
                "repeats paid": whole["repeats_paid"],
                "ms per ask": 1e3 * whole["seconds_per_ask"],
            }
        )
    return rows


def two(options: argparse.Namespace) -> Rows:
    return [row for cost in ("min:params", "min:lat_pixel2") for row in two_objectives(options, cost)]


def two_objectives(options: argparse.Namespace, cost: str) -> Rows:
    points = (100, 200, 400)
    table, goals = table_and_goals("max:accuracy", cost)
    if options.nothing_known:
        goals = replace(goals, known=())
    peers = PEERS_TWO + (SLOW_PEERS if options.slow_peers else [])
    found = searched(options, Contest(table, goals, points[-1]), contestants(options, table, goals, peers))
    curves = curve_rows(found, Scale(table, goals), budget=points[-1], every=points)
    at = {(row["strategy"], row["paid"]): row for row in curves}
    rows: Rows = []
    for name, searches in found.items():
        row: dict[str, Any] = {"objectives": f"accuracy, {cost[4:]}", "strategy": name}
        for paid in points:
            peers = [at[other, paid]["missing_hypervolume"] for other in found if other.startswith("optuna:")]
            mean, low, high = (at[name, paid][f"missing_hypervolume{end}"] for end in ("", "_low", "_high"))
            row |= {f"missing at {paid}": mean, f"from {paid}": low, f"to {paid}": high}
            row[f"ratio {paid}"] = mean / min(peers) if peers else None
        rows.append(row | {"repeats paid": sum(search.repeats for search in searches)})
    return rows


def published(options: argparse.Namespace) -> Rows:
    rows: Rows = [
        {"strategy": f"published: {n}", "cifar10": ten, "cifar100": more} for n, (ten, more) in PUBLISHED.items()
    ]
    mine: dict[str, dict[str, Any]] = {}
    for dataset in ("cifar10", "cifar100"):
        table, goals = table_and_goals(dataset=dataset, protocol="published")
        found = searched(options, Contest(table, goals, 100), contestants(options, table, goals, ["optuna:tpe+cache"]))
        for name, searches in found.items():
            result = summary(name, searches, Scale(table, goals), budget=100)
            row = mine.setdefault(name, {"strategy": name})
            row |= {dataset: result["best_mean"], f"± {dataset}": result["best_std"]}
    return rows + list(mine.values())


def fidelity(options: argparse.Namespace) -> Rows:
    """Full trainings up to 200 cells, the same at a quarter of the epochs, and that quarter with short trainings."""
    table, goals = table_and_goals()
    assert goals.epochs is not None
    who = contestants(options, table, goals, [])
    scale, quarter = Scale(table, goals), 50 * goals.epochs
    halving = SuccessiveHalving(min_epochs=goals.fidelities[0].epochs, eta=3)
    rows: Rows = []
    for how, contest in (
        ("full trainings, 200 cells", Contest(table, goals, 200)),
        ("full trainings, 1/4 of the epochs", Contest(table, goals, 200, None, quarter)),
        ("successive halving, 1/4 of the epochs", Contest(table, goals, 2000, halving, quarter)),
    ):
        for name, searches in searched(options, contest, who).items():
            result = summary(name, searches, scale, budget=1)
            kept = ("paid", "epochs_mean", "best_mean", "best_std", "regret_mean")
            rows.append({"how": how, "strategy": name} | {key.replace("_", " "): result[key] for key in kept})
    return rows


def overhead(options: argparse.Namespace) -> Rows:
    rows: Rows = []
    for objectives in (("max:accuracy",), ("max:accuracy", "min:params")):
        table, goals = table_and_goals(*objectives)
        trials = recorded(table, goals)
        for contestant in contestants(options, table, goals, []):
            assert contestant.strategy is not None
            knowing = contestant.strategy.knowing(TableCosts(table, goals.known))
            spent = []
            for count in range(RECORDED - ASKS, RECORDED + 1):
                began = time.process_time()
                knowing.ask(table.space, trials[:count], goals.objectives, generator(0, "ask", count))
                spent.append(1e3 * (time.process_time() - began))
            row = {"objectives": len(objectives), "strategy": contestant.name, "first ask ms": spent[0]}
            rows.append(row | {f"mean of {ASKS} more ms": mean(spent[1:]), "longest ms": max(spent[1:])})
    return rows


def recorded(table: BenchmarkTable, goals: Goals) -> list[Trial]:
    """Random rows as finished trials."""
    keys = generator(0, "record").sample(sorted(table.rows), RECORDED)
    return [
        Trial(
            number=number,
            decisions=dict(key),
            identity=table.identity(dict(key)),
            state=TrialState.DONE,
            measurements={
                o.metric: Measurement(metric=o.metric, value=table.value(table.rows[key], o.metric))
                for o in goals.objectives
            },
        )
        for number, key in enumerate(keys)
    ]


PARTS = {"one": one, "two": two, "published": published, "fidelity": fidelity, "overhead": overhead}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--strategies", nargs="+", default=[], help="default: all that can serve, and two evolutions")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--slow-peers", action="store_true", help="Optuna's default TPE and its Gaussian process too")
    parser.add_argument("--nothing-known", action="store_true", help="costs are known only after payment")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    document: dict[str, Rows] = {}
    for part in options.parts:
        document[part] = PARTS[part](options)
        if not options.json:
            from netwright.cli.output import print_table

            print_table(document[part], title=f"\n{part}, {options.seeds} seeds")
    if options.json:
        print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
