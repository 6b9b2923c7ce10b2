"""Multi-fidelity on recorded results: what promotion saves, in epochs, against training every cell in full.

    NETWRIGHT_DATA=... python benchmarks/fidelity.py [--table nasbench201] [--dataset cifar100] [--seeds 50]
        [--strategies predictor ...] [--promotions predicted asha asha:eta=4 ...] [--shares 0.1 0.25]
        [--short valid_12@12 ...] [--first-seed 0] [--no-full] [--json]

Full trainings of 200 cells cost 40,000 epochs on NAS-Bench-201, 21,600 on NAS-Bench-101; searches with promotion end
after the largest share of that. Shorter trainings are recorded ones with a schedule of their own, so a promoted cell
pays for each of its rungs. NAS-Bench-201 has validation accuracy after 12 epochs, NAS-Bench-101 after 4, 12 and 36;
the regret is in test accuracy after 200 epochs and in validation accuracy after 108.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from netwright.core.plugins import build
from netwright.nas.benchmarking.contestant import parse_strategy, with_settings
from netwright.nas.benchmarking.goals import Goals
from netwright.nas.benchmarking.named_tables import named_table
from netwright.nas.benchmarking.promoting import search_promoting
from netwright.nas.benchmarking.scoring import Scale
from netwright.nas.benchmarking.searching import TableSearch, search_table
from netwright.nas.benchmarking.table import BenchmarkTable
from netwright.nas.promotion import Promotion
from netwright.nas.strategy import Strategy

CELLS = 200
VALIDATION = {"cifar10": "c10_valid_12@12", "cifar100": "c100_valid_12@12"}


def promotion_of(text: str) -> Promotion:
    name, settings = with_settings(text)
    found = build("promotion", {"kind": name, **settings})
    assert isinstance(found, Promotion)
    return found


def strategy_of(text: str) -> Strategy:
    found = parse_strategy(text).strategy
    assert found is not None
    return found


def table_of(options: argparse.Namespace) -> tuple[BenchmarkTable, Goals]:
    named = named_table(options.table)
    rungs = named.usual_fidelities(dataset=options.dataset, protocol=None)
    if options.short or options.table == "nasbench201":
        rungs = (*(options.short or [VALIDATION[options.dataset or named.dataset]]), rungs[-1])
    goals = named.goals(dataset=options.dataset, protocol=None, fidelities=rungs)
    return named.read(goals, name=options.table), goals


def row_of(
    how: str, strategy: str, searches: Sequence[TableSearch], scale: Scale, marks: Sequence[int]
) -> dict[str, Any]:
    """What searches were worth after so many epochs: the regret of the best cell that was trained in full."""
    row: dict[str, Any] = {
        "how": how,
        "strategy": strategy,
        "cells": mean(len({paid.row for paid in search.paid}) for search in searches),
        "in full": mean(sum(paid.whole for paid in search.paid) for search in searches),
        "epochs": mean(sum(paid.epochs for paid in search.paid) for search in searches),
    }
    for mark in marks:
        regrets = [regret_after(mark, search, scale) for search in searches]
        row[f"regret at {mark:,}"] = mean(regrets)
        row[f"± at {mark:,}"] = stdev(regrets) if len(regrets) > 1 else 0.0
        row[f"at the optimum at {mark:,}"] = mean(regret < 1e-9 for regret in regrets)
    return row


def regret_after(epochs: int, search: TableSearch, scale: Scale) -> float:
    """The regret after so many epochs; that of the worst cell of the table before the first full training."""
    metric, spent = scale.goals.reported[0].metric, 0
    found = [min(scale.table.known(metric))]
    for paid in search.paid:
        spent += paid.epochs
        value = scale.table.value(paid.row, metric)
        if paid.whole and value is not None and spent <= epochs:
            found.append(value)
    return scale.optimum - max(found)


def measured(options: argparse.Namespace) -> list[Mapping[str, Any]]:
    table, goals = table_of(options)
    table.prepare()
    assert goals.epochs is not None
    scale, whole = Scale(table, goals), CELLS * goals.epochs
    marks = [round(share * whole) for share in sorted(options.shares)]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows: list[Mapping[str, Any]] = []
    for name in options.strategies:
        strategy = strategy_of(name)
        for text in options.promotions:
            rule = promotion_of(text)
            # whoever is trained when the budget ends counts, if it fits: the last full training may not
            searches = [
                search_promoting(strategy, table, goals, promotion=rule, epochs=marks[-1], seed=s) for s in seeds
            ]
            rows.append(row_of(text, name, searches, scale, marks))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if not options.no_full:
            searches = [search_table(strategy, table, goals, budget=CELLS, seed=s) for s in seeds]
            rows.append(row_of("in full", name, searches, scale, [*marks, whole]))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="nasbench201", choices=["nasbench201", "nasbench101"])
    parser.add_argument("--dataset", help="cifar10 or cifar100, which is the default for nasbench201")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.25], help="of the epochs of full trainings")
    parser.add_argument("--strategies", nargs="+", default=["predictor", "local_search", "evolution", "random_search"])
    parser.add_argument("--promotions", nargs="+", default=["predicted", "asha"])
    parser.add_argument("--short", nargs="+", help="columns of shorter trainings as COLUMN@EPOCHS")
    parser.add_argument("--no-full", action="store_true", help="leave out the searches that train in full")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measured(options)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    from netwright.cli.output import print_table

    print_table([dict(row) for row in rows], title=f"\n{options.table}, {options.dataset}, {options.seeds} seeds")


if __name__ == "__main__":
    main()
