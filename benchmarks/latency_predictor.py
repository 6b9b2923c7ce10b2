"""How well latency is predicted from a table of this machine: errors and ranks on networks held out of the fit.

    PYTHONPATH=. python benchmarks/latency_predictor.py [--only NAME] [--networks N] [--json]

Builds a table for each space from scratch (a minute or a few each on a quiet machine) and times `predict` too.
On a busy machine many times are NOISY; the table says how many, and they are left out of the fit while enough
others remain.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from netwright.core.plugins import build
from netwright.core.progress import Event
from netwright.core.shapes import Shapes
from netwright.evaluation.latency_predictor import LatencyPredictor
from netwright.evaluation.machine import load_average
from netwright.runs.latency_building import Building, build_table
from netwright.search_spaces.space import SearchSpace

CASES: dict[str, tuple[dict[str, Any], Shapes]] = {
    "nasbench201": ({"kind": "nasbench201", "channels": 16, "cells_per_stage": 2}, Shapes((3, 32, 32), 10)),
    "convnet": ({"kind": "convnet"}, Shapes((1, 8, 8), 10)),
    "mlp": ({"kind": "mlp"}, Shapes((1, 8, 8), 10)),
}


def measure(name: str, *, networks: int) -> dict[str, Any]:
    """One space's row: what was timed, and the errors of three ways to predict."""
    spec, shapes = CASES[name]
    space = build("space", spec)
    assert isinstance(space, SearchSpace)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        table = build_table(
            space,
            shapes,
            out=Path(folder) / "device.json",
            building=Building(samples=100, operations=150, networks=networks, seconds=0.2),
            listener=_told,
        )
    built_s = time.monotonic() - began
    predictor, rng = LatencyPredictor(table), random.Random(1)
    drawn = [space.sample(rng) for _ in range(200)]
    began = time.monotonic()
    for decisions in drawn:
        predictor.predict(space.graph(decisions, shapes))
    return {
        "space": name,
        "machine": table.machine["cpu"],
        "runtime": table.runtime,
        "load": load_average(),
        "units": len(table.entries),
        "noisy_units": sum(entry.noisy for entry in table.entries),
        "networks": len(table.networks),
        "noisy_networks": sum(network.noisy for network in table.networks),
        **table.accuracy,
        "build_s": built_s,
        "predict_ms": 1000 * (time.monotonic() - began) / len(drawn),
    }


def _told(event: Event) -> None:
    print(event.facts.get("text", ""), file=sys.stderr, flush=True)


def _lines(row: dict[str, Any]) -> str:
    head = (
        f"{row['space']}: {row['units']} units ({row['noisy_units']} NOISY), {row['networks']} networks "
        f"({row['noisy_networks']} NOISY, {row['used']} used), load {row['load']}, built in {row['build_s']:.0f} s, "
        f"{row['predict_ms']:.2f} ms per prediction"
    )
    lines = [head]
    for way in ("held_out", "sum_of_lookups", "macs_alone"):
        figures = ", ".join(f"{k} {v:.3f}" for k, v in row.get(way, {}).items() if v is not None)
        lines.append(f"  {way}: {figures or 'too few networks'}")
    return "\n".join(lines)


def main() -> None:
    """Print a row per space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(CASES))
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = [measure(name, networks=given.networks) for name in ([given.only] if given.only else CASES)]
    print(json.dumps(rows, indent=1) if given.json else "\n".join(map(_lines, rows)))


if __name__ == "__main__":
    main()
