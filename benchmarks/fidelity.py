"""Multi-fidelity on NAS-Bench-201: what promotion saves, in epochs, against training every cell in full.

    NETWRIGHT_DATA=... python benchmarks/fidelity.py [--dataset cifar100] [--seeds 50] [--eta 3 17] [--share 0.25]
        [--strategies random_search evolution ...] [--promotions asha ...] [--json]

Full trainings of 200 cells cost 40,000 epochs; the others get a share of that. Short trainings are the recorded ones of
12 epochs, which have a schedule of their own, so a promoted cell pays for 12 and then for 200.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from netwright.core.plugins import build
from netwright.nas.benchmarking.goals import Goals
from netwright.nas.benchmarking.named_tables import named_table
from netwright.nas.benchmarking.promoting import search_promoting
from netwright.nas.benchmarking.scoring import Scale
from netwright.nas.benchmarking.searching import TableSearch, search_table
from netwright.nas.benchmarking.table import BenchmarkTable
from netwright.nas.promotion import Promotion
from netwright.nas.strategy import Strategy

CELLS = 200


def strategy_of(name: str) -> Strategy:
    found = build("strategy", name)
    assert isinstance(found, Strategy)
    return found


def promotion_of(name: str, eta: int) -> Promotion:
    found = build("promotion", {"kind": name, "eta": eta})
    assert isinstance(found, Promotion)
    return found


def table_of(dataset: str) -> tuple[BenchmarkTable, Goals]:
    named = named_table("nasbench201")
    goals = named.goals(
        dataset=dataset, protocol=None, fidelities=named.usual_fidelities(dataset=dataset, protocol=None)
    )
    return named.read(goals, name="nasbench201"), goals


def row_of(how: str, strategy: str, searches: Sequence[TableSearch], scale: Scale) -> Mapping[str, Any]:
    """What searches were worth: the regret of the best cell that was trained in full, and what they paid."""
    metric = scale.goals.reported[0].metric
    regrets = []
    for search in searches:
        found = [scale.table.value(paid.row, metric) for paid in search.paid if paid.whole]
        regrets.append(scale.optimum - max(value for value in found if value is not None))
    return {
        "how": how,
        "strategy": strategy,
        "cells": mean(len({paid.row for paid in search.paid}) for search in searches),
        "in full": mean(sum(paid.whole for paid in search.paid) for search in searches),
        "epochs": mean(sum(paid.epochs for paid in search.paid) for search in searches),
        "regret": mean(regrets),
        "± std": stdev(regrets) if len(regrets) > 1 else 0.0,
    }


def measured(options: argparse.Namespace) -> list[Mapping[str, Any]]:
    table, goals = table_of(options.dataset)
    table.prepare()
    assert goals.epochs is not None
    scale, whole = Scale(table, goals), CELLS * goals.epochs
    part = int(options.share * whole)
    rows = []
    for name in options.strategies:
        strategy = strategy_of(name)
        for how, cells in (("in full", CELLS), (f"in full, {options.share:g} of the epochs", part // goals.epochs)):
            searches = [search_table(strategy, table, goals, budget=cells, seed=s) for s in range(options.seeds)]
            rows.append(row_of(how, name, searches, scale))
        for promotion in options.promotions:
            for eta in options.eta:
                rule = promotion_of(promotion, eta)
                searches = [
                    search_promoting(strategy, table, goals, promotion=rule, epochs=part, seed=s)
                    for s in range(options.seeds)
                ]
                rows.append(row_of(f"{promotion}, eta {eta}, {options.share:g} of the epochs", name, searches, scale))
        print(f"{name} done", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar100")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--share", type=float, default=0.25, help="of the epochs of full trainings")
    parser.add_argument("--eta", type=int, nargs="+", default=[3, 17], help="17 is what the next rung costs more")
    parser.add_argument("--strategies", nargs="+", default=["random_search", "evolution", "local_search", "tpe"])
    parser.add_argument("--promotions", nargs="+", default=["asha", "successive_halving", "hyperband"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measured(options)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    from netwright.cli.output import print_table

    print_table([dict(row) for row in rows], title=f"\n{options.dataset}, {options.seeds} seeds")


if __name__ == "__main__":
    main()
