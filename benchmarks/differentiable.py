"""What DARTS, GDAS and DrNAS find on the cells of NAS-Bench-201, by the table's accuracy of the cell.

    python benchmarks/differentiable.py --samples 2000 --epochs 15 --seeds 2

The relaxed network has fewer channels and cells than the benchmark's and sees a few shrunken images of CIFAR-10. Beside
each cell: its accuracy after 200 epochs in the table, and the share of all cells that it beats. With --guard 1
skips do not end a search. DARTS ends in cells of skips on this benchmark in the literature (54.30 %, GDAS 93.51 %).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from cifar10 import NoDataError
from nasbench_tables import NAMES_201, NoTableError, _read
from one_shot import ACCURACY, subset

from netwright.core.plugins import build
from netwright.nas.differentiable_search import search_by_gradients
from netwright.nas.gates import GateRule
from netwright.nas.relaxed_training import RelaxedTraining
from netwright.nas.strategies.differentiable import strongest
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.task import Task


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="*", default=list(get_args(GateRule)))
    parser.add_argument("--samples", type=int, default=2000, help="images to train on, half of them for the strengths")
    parser.add_argument("--validation", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=16, help="height and width that the images are shrunk to")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells-per-stage", type=int, default=1)
    parser.add_argument("--strength-rate", type=float, default=3e-3, help="higher than usual, as there are few steps")
    parser.add_argument("--guard", type=float, default=0.5, help="share of decisions won by skips that ends a search")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    try:
        table = {row["arch_str"]: row[ACCURACY] for row in _read(NAMES_201, ["arch_str", ACCURACY])}
        with tempfile.TemporaryDirectory() as folder:
            run(table, subset(given, Path(folder)), given)
    except (NoDataError, NoTableError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(table: dict[str, float], task: Task, given: argparse.Namespace) -> None:
    """Search with every method and seed, and print each cell with its accuracy."""
    small = {"channels": given.channels, "cells_per_stage": given.cells_per_stage, "dead_operations": "remove"}
    space = build("space", {"kind": "nasbench201", **small})
    assert isinstance(space, SearchSpace)
    training = RelaxedTraining(
        epochs=given.epochs, batch_size=given.batch, strength_rate=given.strength_rate, most_skips=given.guard
    )
    everything = np.array(sorted(table.values()))
    data = f"{given.samples} images of {given.size}x{given.size}"
    print(f"{data}, {given.epochs} epochs, {given.channels} channels, guard {given.guard}")
    print(f"all cells: mean {everything.mean():.2f} %, best {everything[-1]:.2f} %")
    print(f"{'method':20}{'seed':>5}{'accuracy %':>12}{'beats':>8}{'epochs':>8}{'CPU min':>9}  cell")
    for method in given.methods:
        for seed in range(given.seeds):
            began = time.process_time()
            found = search_by_gradients(space, task, rule=method, training=training, seed=seed)
            minutes = (time.process_time() - began) / 60
            cell = space.genotype(strongest(space, found.strengths, {}))
            beaten = np.searchsorted(everything, table[cell]) / len(everything)
            ended = f"{found.epochs}{' skips' if found.collapsed else ''}"
            print(f"{method:20}{seed:5}{table[cell]:12.2f}{beaten:8.1%}{ended:>8}{minutes:9.1f}  {cell}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
