"""Compression on real data and weights, figure by figure, each measured in this run.

    NETWRIGHT_DATA=... python benchmarks/compression.py [--only NAME ...] [--pass NAME ...] [--json] [--keep FOLDER]

Every file in benchmarks/compressing/ is one case: it has a function `measure(folder)` that gives rows and, as its
documentation, what it measures. A row has at least `name`; those of a network made smaller have `ratio`,
`size_bytes`, `reference_bytes`, `error_reference`, `error` and `stages`. `--keep` leaves what was made in a folder,
and goes on from what is there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import compressing
from netwright.core.errors import NetwrightError


def names() -> list[str]:
    """The cases there are."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(compressing.__path__) if m.name[0] != "_")


def main() -> None:
    """What `python benchmarks/compression.py` does."""
    parser = argparse.ArgumentParser(
        prog="compression.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=names(), default=names(), help="cases to run; default: all")
    parser.add_argument(
        "--pass", nargs="+", metavar="NAME", dest="passes", help="passes to draw `curves` of; default: all"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list and nothing else")
    parser.add_argument("--keep", type=Path, help="folder to keep what was made")
    options = parser.parse_args()
    if options.passes and options.only != ["curves"]:
        parser.error("--pass goes with --only curves")
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(options.only, start=1):
        print(f"{name} ({number} of {len(options.only)}) ...", file=sys.stderr)
        case = importlib.import_module(f"compressing.{name.replace('-', '_')}")
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.keep or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            try:
                found = case.measure(folder, **({"passes": options.passes} if options.passes else {}))
            except NetwrightError as error:
                sys.exit(f"{name}: {error}")
        seconds = round(time.monotonic() - began)
        rows += [{**row, "seconds": seconds} for row in found]
        if not options.json:
            show(name, (case.__doc__ or "").strip().splitlines()[0], found, seconds)
    if options.json:
        print(json.dumps(rows))


def show(name: str, title: str, rows: list[dict[str, Any]], seconds: float) -> None:
    """Rows as text, the stages of each indented below it."""
    print(f"\n{name}: {title} ({seconds} s)")
    for row in rows:
        print("  " + facts({key: value for key, value in row.items() if key != "stages"}))
        for stage in row.get("stages", ()):
            print("    " + facts(stage))


def facts(row: dict[str, Any]) -> str:
    """Names and values on one line."""
    return "  ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
    )
