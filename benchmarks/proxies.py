"""How well zero-cost proxies rank NAS-Bench-201: rank correlations with the accuracy after 200 epochs.

    python benchmarks/proxies.py --cells 1000 --keep build/proxies.jsonl

Each random cell is built at its published size and scored on one batch of CIFAR-10 by every proxy. Scores are
kept in a file as they come, so the command can be stopped and goes on where it was; --cells 0 only prints what
the file holds. Takes about 10 seconds a cell on one core. A cell that a proxy cannot score ranks last.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from cifar10 import MEAN, STD, NoDataError, images
from nasbench_tables import NAMES_201, NoTableError, _read
from scipy.stats import kendalltau, spearmanr
from torch.nn import functional as F

from netwright.core.files import write_atomic
from netwright.core.plugins import build, names
from netwright.core.shapes import Shapes
from netwright.evaluation.mixture import mixture
from netwright.evaluation.proxy import NoScoreError, Proxy

CIFAR10, CIFAR100 = "c10_test_200", "c100_test_200"
PUBLISHED = {  # Spearman on CIFAR-10, CIFAR-100, Kendall on CIFAR-10
    "macs": (0.753, 0.728, 0.587),
    "params": (0.75, None, 0.57),
    "synflow": (0.737, 0.763, 0.54),
    "jacob_cov": (0.731, 0.704, None),
    "snip": (0.596, 0.637, 0.46),
    "grad_norm": (0.594, 0.637, 0.46),
    "grasp": (0.514, 0.547, None),
    "fisher": (0.36, 0.385, None),
    "zico": (0.80, None, 0.61),
    "az_nas": (0.913, None, 0.741),
}
"""Zero-cost-nas (all but the last two), ZiCo's table 1, AZ-NAS; they differ in batch, size and sample."""
MIXTURES = {
    "az_nas": ("az_nas",),
    "synflow + jacob_cov + snip": ("synflow", "jacob_cov", "snip"),
    "macs + jacob_cov": ("macs", "jacob_cov"),
    "macs + naswot": ("macs", "naswot"),
    "az_nas + naswot": ("az_nas", "naswot"),
    "az_nas + synflow + naswot": ("az_nas", "synflow", "naswot"),
    "az_nas + zico + synflow + naswot": ("az_nas", "zico", "synflow", "naswot"),
}
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100, help="random cells to score")
    parser.add_argument("--batch", type=int, default=64, help="images of the batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--proxies", nargs="*", default=names("proxy"))
    parser.add_argument("--keep", type=Path, default=Path("build/proxies.jsonl"), help="where scores are kept")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    try:
        table = _read(NAMES_201, ["arch_index", "arch_str", CIFAR10, CIFAR100])
        rows = scored(table, given)
    except (NoDataError, NoTableError) as error:
        print(error, file=sys.stderr)
        return 2
    show(rows, given)
    return 0


def scored(table: Sequence[Row], given: argparse.Namespace) -> list[Row]:
    """The first cells of a seeded order with their scores; what was scored before is taken from the file."""
    order = random.Random(given.seed).sample(range(len(table)), len(table))
    kept: dict[str, Row] = {}
    if given.keep.is_file():
        kept = {row["cell"]: row for row in map(json.loads, given.keep.read_text().splitlines())}
    inputs, targets = batch(given.batch, given.seed)
    for place, index in enumerate(order[: given.cells]):
        cell = table[index]
        row = kept.setdefault(cell["arch_str"], {"cell": cell["arch_str"], "scores": {}, "seconds": {}})
        row |= {"c10": cell[CIFAR10], "c100": cell[CIFAR100]}
        missing = [name for name in given.proxies if name not in row["scores"]]
        if missing:
            score(row, missing, inputs, targets)
            given.keep.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(given.keep, "".join(json.dumps(row) + "\n" for row in kept.values()).encode())
            print(f"\r{place + 1}/{given.cells}", end="", file=sys.stderr, flush=True)
    return [row for row in kept.values() if "c10" in row]


def batch(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images [count, 3, 32, 32] and classes [count], drawn from the first 2,500 of the training set."""
    pixels, classes = images(2500)
    chosen = random.Random(seed).sample(range(len(classes)), count)
    mean, std = torch.tensor(MEAN).reshape(3, 1, 1), torch.tensor(STD).reshape(3, 1, 1)
    return (torch.tensor(pixels[chosen]).float() / 255 - mean) / std, torch.tensor(classes[chosen])


def score(row: Row, proxies: Sequence[str], inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Add the scores of some proxies to a row; None where a proxy has none."""
    space = build("space", "nasbench201")
    model = space.build(space.from_genotype(row["cell"]), Shapes((3, 32, 32), 10))
    for name in proxies:
        proxy = build("proxy", name)
        assert isinstance(proxy, Proxy)
        began = time.perf_counter()
        try:
            row["scores"][name] = proxy.parts(model, inputs, targets, F.cross_entropy)
        except NoScoreError:
            row["scores"][name] = None
        row["seconds"][name] = round(time.perf_counter() - began, 3)


def show(rows: Sequence[Row], given: argparse.Namespace) -> None:
    """Print the correlations of proxies, of the parts of one that has several, and of mixtures."""
    rows = [row for row in rows if set(given.proxies) <= set(row["scores"])]
    print(f"\n{len(rows)} cells, one batch of {given.batch} images, seed {given.seed}")
    print(f"{'proxy':36}{'Spearman C10':>13}{'published':>10}{'C100':>8}{'published':>10}{'Kendall C10':>12}"
          f"{'published':>10}{'unscored':>9}{'s/cell':>8}")  # fmt: skip
    for name in given.proxies:
        parts = [row["scores"][name] for row in rows]
        known = next((part for part in parts if part is not None), {})
        label = name if len(known) == 1 else f"{name}, parts added"
        single = build("proxy", name)
        assert isinstance(single, Proxy)
        values = [float("-inf") if part is None else single.total(part) for part in parts]
        seconds = sum(row["seconds"][name] for row in rows) / max(len(rows), 1)
        line(label, values, rows, published=PUBLISHED.get(name) if len(known) == 1 else None,
             unscored=parts.count(None), seconds=seconds)  # fmt: skip
        for part in known if len(known) > 1 else ():
            line(f"  {part}", [float("-inf") if p is None else p[part] for p in parts], rows)
    for name, members in MIXTURES.items():
        if set(members) <= set(given.proxies):
            line(f"mixture {name}", mixed(rows, members), rows, published=PUBLISHED.get(name))


def mixed(rows: Sequence[Row], members: Sequence[str]) -> list[float]:
    """The rows' scores by some proxies as one number each."""
    pool: list[Mapping[str, float]] = []
    for row in rows:
        found = {}
        for member in members:
            found |= row["scores"][member] or {}
        pool.append(found)
    return mixture(pool)


def line(
    label: str,
    values: Sequence[float],
    rows: Sequence[Row],
    *,
    published: tuple[float | None, float | None, float | None] | None = None,
    unscored: int = 0,
    seconds: float | None = None,
) -> None:
    """Print one row of the table."""
    c10, c100 = [row["c10"] for row in rows], [row["c100"] for row in rows]
    cells = [spearmanr(values, c10)[0], spearmanr(values, c100)[0], kendalltau(values, c10)[0]]
    beside = [f"{p:.3f}" if p is not None else "" for p in published or (None,) * 3]
    texts = [f"{cells[0]:13.3f}{beside[0]:>10}{cells[1]:8.3f}{beside[1]:>10}{cells[2]:12.3f}{beside[2]:>10}"]
    texts += [f"{unscored:9}", f"{seconds:8.2f}" if seconds is not None else ""]
    print(f"{label:36}" + "".join(texts).rstrip())


if __name__ == "__main__":
    sys.exit(main())
