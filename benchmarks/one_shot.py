"""How well a supernet ranks the cells of NAS-Bench-201: Kendall's tau with the table, and what it cost.

    python benchmarks/one_shot.py --samples 5000 --epochs 30 --cells 150

The cells are the benchmark's in a smaller network (fewer channels, three cells a stage) and the supernet is trained
on a few shrunken images of CIFAR-10, so this asks how far a ranking found for the price of a few trainings
carries over to the accuracy of the published networks after 200 epochs. Baseline: the multiply-accumulates of the
same cells. About 10 minutes on two cores.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar10 import NoDataError, images
from nasbench_tables import NAMES_201, NoTableError, _read
from scipy.stats import kendalltau, spearmanr

from netwright.core.plugins import build
from netwright.nas.supernet_training import SupernetTraining
from netwright.nas.weight_sharing import score_path, train_supernet
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.task import Task

ACCURACY = "c10_test_200"
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=5000, help="images to train on")
    parser.add_argument("--validation", type=int, default=2500, help="images to score on")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--size", type=int, default=16, help="height and width that the images are shrunk to")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells-per-stage", type=int, default=3)
    parser.add_argument("--cells", type=int, default=150, help="random cells of the table to rank")
    parser.add_argument("--sandwich", action="store_true", help="largest and smallest in each step, with distillation")
    parser.add_argument("--paths", type=int, default=1, help="architectures drawn for each step")
    parser.add_argument("--keep", type=Path, default=None, help="a file that the supernet is kept in, to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    try:
        table = _read(NAMES_201, ["arch_str", ACCURACY])
        with tempfile.TemporaryDirectory() as folder:
            run(table, subset(given, Path(folder)), given)
    except (NoDataError, NoTableError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def subset(given: argparse.Namespace, folder: Path) -> Task:
    """A task on the first images of the training set; its test part is left alone."""
    count = given.samples + given.validation
    pixels, classes = images(count)
    return ImageClassification.from_arrays(
        pixels, classes, folder=folder, test=(pixels[:50], classes[:50]),
        size=given.size, validation_fraction=given.validation / count, flip=True,
    )  # fmt: skip


def run(table: Sequence[Row], task: Task, given: argparse.Namespace) -> None:
    """Train the supernet, score the cells and print the correlations."""
    small = {"channels": given.channels, "cells_per_stage": given.cells_per_stage, "dead_operations": "remove"}
    space = build("space", {"kind": "nasbench201", **small})
    assert isinstance(space, SearchSpace)
    training = SupernetTraining(
        epochs=given.epochs, batch_size=given.batch, learning_rate=given.learning_rate, sandwich=given.sandwich,
        paths=given.paths, calibration_samples=512,
    )  # fmt: skip
    began, cpu = time.perf_counter(), time.process_time()

    def tell(epoch: int, loss: float) -> None:
        print(f"\repoch {epoch}/{given.epochs}, loss {loss:.3f} ", end="", file=sys.stderr, flush=True)

    supernet = train_supernet(space, task, training=training, seed=given.seed, checkpoint=given.keep, on_epoch=tell)
    trained, trained_cpu = time.perf_counter() - began, time.process_time() - cpu
    rows = random.Random(given.seed).sample(list(table), given.cells)
    scores = []
    for row in rows:
        found = score_path(supernet, space.from_genotype(row["arch_str"]), task, training=training, seed=given.seed)
        scores.append((found["accuracy"], -found["loss"]))
    scored, scored_cpu = time.perf_counter() - began - trained, time.process_time() - cpu - trained_cpu
    how = "sandwich rule" if given.sandwich else "single path"
    data = f"{given.samples} images of {given.size}x{given.size}, {given.epochs} epochs"
    net = f"{given.channels} channels, {given.cells_per_stage} cells a stage"
    print(f"\n{how}, {data}, {net}, seed {given.seed}")
    print(f"supernet trained in {trained / 60:.1f} min ({trained_cpu / 60:.1f} CPU min), "
          f"{given.cells} cells scored in {scored / 60:.1f} min ({scored_cpu / 60:.1f} CPU min)")  # fmt: skip
    published = np.array([row[ACCURACY] for row in rows])
    macs = [space.cost(space.from_genotype(row["arch_str"]), task.shapes()).macs for row in rows]
    measures = {
        "accuracy in the supernet": [accuracy for accuracy, _ in scores],
        "loss in the supernet": [loss for _, loss in scores],
        "multiply-accumulates": macs,
    }
    print(f"{'ranked by':28}{'Kendall':>9}{'Spearman':>10}{'of the best half':>18}")
    best = published >= np.median(published)
    for name, values in measures.items():
        kept = np.asarray(values, float)
        print(f"{name:28}{kendalltau(kept, published)[0]:9.3f}{spearmanr(kept, published)[0]:10.3f}"
              f"{kendalltau(kept[best], published[best])[0]:18.3f}")  # fmt: skip
    top = max(range(len(rows)), key=lambda index: scores[index])
    print(f"best in the supernet: {published[top]:.2f} % in the table; best of {given.cells}: {published.max():.2f}, "
          f"mean {published.mean():.2f}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
