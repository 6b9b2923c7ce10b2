"""Search spaces against published tables, and how fast architectures are drawn, told apart and costed.

python benchmarks/spaces.py [--only costs classes speed] [--seconds 5] [--json]

The tables are those of NAS-Bench-101 and NAS-Bench-201 (parquet, read with pyarrow), in the folder that NETWRIGHT_DATA
names.
- costs: parameters and multiply-accumulates from decisions alone, for every row;
- classes: which cells of NAS-Bench-201 have one identity, beside the published classes; every difference by its cause;
- speed: samples with identity and cost per second on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import nasbench201_classes
from nasbench_tables import NoTableError, nasbench101, nasbench201

from netwright.core.plugins import build, names
from netwright.core.shapes import Shapes
from netwright.search_spaces.space import SearchSpace

CIFAR = Shapes((3, 32, 32), 10)
TIMED = ("nasbench201", "nasnet_cell")
ROUNDS = 5


def space_of(kind: str) -> SearchSpace:
    found = build("space", kind)
    assert isinstance(found, SearchSpace)
    return found


def costs_201() -> dict[str, Any]:
    """NAS-Bench-201: rows whose parameters and multiply-accumulates from decisions equal the table."""
    rows, space = nasbench201(), space_of("nasbench201")
    start, equal = time.perf_counter(), 0
    for row in rows:
        found = space.cost(space.from_genotype(row.genotype), CIFAR)
        equal += (found.params, found.macs) == (row.params, row.macs)
    return _checked("nasbench201 params and macs", len(rows), equal, start)


def costs_101() -> dict[str, Any]:
    """NAS-Bench-101: rows whose parameters from decisions equal the table."""
    rows, space = nasbench101(), space_of("nasbench101")
    start, equal = time.perf_counter(), 0
    for row in rows:
        equal += space.cost(space.from_genotype(row.genotype), CIFAR).params == row.params
    return _checked("nasbench101 params", len(rows), equal, start)


def classes_201() -> dict[str, Any]:
    """NAS-Bench-201: identities beside the published classes; pairs that differ, by cause."""
    rows, space = nasbench201(), space_of("nasbench201")
    start = time.perf_counter()
    identities = [space.identity(space.from_genotype(row.genotype), CIFAR) for row in rows]
    seconds = time.perf_counter() - start
    cells = [nasbench201_classes.read(row.genotype) for row in rows]
    published = [row.published_class for row in rows]
    found = nasbench201_classes.compare(cells, published, identities)
    return {
        "check": "nasbench201 identities",
        "rows": len(rows),
        "identities": len(set(identities)),
        "published_classes": len(set(published)),
        "by_own_rules": len({nasbench201_classes.wiring(cell) for cell in cells}),
        "rows_that_differ": found.rows,
        "pairs_equal_here": dict(found.equal_here),
        "pairs_equal_there": dict(found.equal_there),
        "pairs_unexplained": found.unexplained,
        "seconds": seconds,
    }


def speed(kind: str, *, seconds: float) -> dict[str, Any]:
    """Samples with identity and cost per second on one core: the median and the spread of a few rounds."""
    space, rng = space_of(kind), random.Random(0)
    rates = [_rate(space, rng, seconds / ROUNDS) for _ in range(ROUNDS)]
    return {
        "check": f"{kind} speed",
        "per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
    }


def _rate(space: SearchSpace, rng: random.Random, seconds: float) -> float:
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        space.describe(space.sample(rng), CIFAR)
        count += 1
    return count / (time.perf_counter() - start)


def _checked(check: str, rows: int, equal: int, start: float) -> dict[str, Any]:
    return {"check": check, "rows": rows, "equal": equal, "seconds": time.perf_counter() - start}


def _lines(row: dict[str, Any]) -> list[str]:
    """A result in words."""
    name = f"{row['check']:28s}"
    if "per_second" in row:
        return [f"{name} {row['per_second']:8,.0f} per second ({row['slowest']:,.0f} to {row['fastest']:,.0f})"]
    if "equal" in row:
        return [f"{name} {row['equal']:,} of {row['rows']:,} rows equal the table, {row['seconds']:.1f} s"]
    pairs = [(side, cause, count) for side in ("here", "there") for cause, count in row[f"pairs_equal_{side}"].items()]
    return [
        f"{name} {row['identities']:,} (by rules written apart from netwright {row['by_own_rules']:,}) beside "
        f"{row['published_classes']:,} published classes, {row['seconds']:.1f} s",
        f"{row['rows_that_differ']:,} of {row['rows']:,} rows are in a pair that only one side calls equal:",
        *(f"  {count:9,} pairs equal {side:5s} only: {cause}" for side, cause, count in pairs),
        f"  {row['pairs_unexplained']:9,} pairs unexplained",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=["costs", "classes", "speed"], default=["costs", "classes", "speed"]
    )
    parser.add_argument("--seconds", type=float, default=5, help="how long each space is timed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    checks: dict[str, list[Callable[[], dict[str, Any]]]] = {
        "costs": [costs_201, costs_101],
        "classes": [classes_201],
        "speed": [lambda k=k: speed(k, seconds=options.seconds) for k in TIMED if k in names("space")],
    }
    rows = []
    for section in options.only:
        for check in checks[section]:
            try:
                rows.append(check())
            except NoTableError as error:
                raise SystemExit(f"{section}: {error}") from None
            if not options.json:
                print(*_lines(rows[-1]), sep="\n", flush=True)
    imported = "torch" in sys.modules
    print(
        json.dumps({"torch_imported": imported, "results": rows}, indent=1)
        if options.json
        else f"torch imported: {imported}"
    )


if __name__ == "__main__":
    main()
