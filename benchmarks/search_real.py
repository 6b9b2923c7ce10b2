"""Search on real training: how soon netwright's default has what plain Optuna NSGA-II has at its end.

    NETWRIGHT_DATA=... python benchmarks/search_real.py [--data fashion_mnist cifar10] [--seeds 3] [--budget-s 300]

Both search the same space for accuracy and parameters with the same training code, in two processes of one thread.
The peer trains every suggestion in full, as a script around Optuna would; ours begins every network with few epochs
and promotes the promising. Only networks that were trained in full count in either's hypervolume.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import real_search
from cifar10 import NoDataError, images

from netwright.core.plugins import build
from netwright.core.seeds import generator
from netwright.runs.specification import RunSpecification
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.task import Task

SPACE = {"kind": "convnet", "filters": [4, 8, 12, 16, 24, 32], "depth": [2, 5], "strides": [2, 3]}
PROMOTION = '"predicted"'
DRAWS = 1000
TEST = 100
"""Images that stand for test data, which no search looks at."""
CIFAR_SIZE = 16


def task_of(name: str, options: argparse.Namespace, folder: Path) -> Any:
    """A bundled task by its name; of CIFAR-10 a part, shrunk; the other, too, where a size is given."""
    if name != "cifar10" and options.size is None:
        return {"kind": name}
    if name == "cifar10":
        count = options.samples + 2 * options.validation  # at most half may be for validation
        pixels, classes = images(count)
    else:
        bundled = build("task", name)
        assert isinstance(bundled, Task)
        pixels, classes = bundled.load().train
    return ImageClassification.from_arrays(
        pixels,
        classes,
        folder=folder,
        test=(pixels[:TEST], classes[:TEST]),
        size=options.size or CIFAR_SIZE,
        validation_fraction=options.validation / len(pixels),
    )


def specification_of(name: str, options: argparse.Namespace, *, seed: int, folder: Path) -> RunSpecification:
    """The search that both make; what is about promotion is for ours alone."""
    training = {"batch_size": 64, "learning_rate": 0.004, "samples": options.samples, "epochs": options.rungs[-1]}
    data = {
        "name": "search_real",
        "seed": seed,
        "device": "cpu",
        "task": task_of(name, options, folder),
        "space": SPACE,
        "objectives": ["accuracy", "params"],
        "search": {
            "trials": 100_000,
            "budget_s": options.budget_s,
            "strategy": json.loads(options.strategy) if options.strategy.startswith("{") else options.strategy,
            "executor": {"kind": "processes", "workers": 2, "threads": 1},
            "training": training,
            "fidelity": {"rungs": options.rungs, "promotion": json.loads(options.promotion)},
        },
    }
    return RunSpecification.parse(data)


def reference_of(spec: RunSpecification) -> float:
    """Parameters of the largest of many random networks: with chance accuracy the reference point."""
    rng = generator("search_real reference")
    shapes = spec.task.shapes()
    return float(max(spec.searched.cost(spec.searched.sample(rng), shapes).params for _ in range(DRAWS)))


def row_of(
    peer: real_search.Arm, ours: real_search.Arm, *, floor: float, params: float, scale: str
) -> Mapping[str, Any]:
    """One seed: what the peer had at its end, when each had it, and how many times sooner ours was."""
    volumes = real_search.Volumes(floor=floor, params=params, logarithmic=scale == "logarithmic")
    goal = volumes.of(peer.points)
    theirs, found = volumes.first(peer.points, goal), volumes.first(ours.points, goal)
    assert theirs is not None
    return {
        "params": scale,
        "hypervolume": goal,
        "peer_networks": len(peer.points),
        "peer_s": theirs.at_s,
        "peer_epochs": theirs.epochs,
        "peer_epochs_in_all": peer.epochs,
        "our_s": found.at_s if found else None,
        "our_epochs": found.epochs if found else None,
        "our_networks": len(ours.points[: ours.points.index(found) + 1]) if found else len(ours.points),
        "our_hypervolume": volumes.of(ours.points),
        "our_epochs_in_all": ours.epochs,
        "ratio_s": theirs.at_s / found.at_s if found else None,
        "ratio_epochs": theirs.epochs / found.epochs if found else None,
    }


def measured(name: str, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """The rows of one data set: per seed the peer first, and ours until it has what the peer had."""
    rows = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        spec = specification_of(name, options, seed=seed, folder=folder)
        floor, params = 1 / spec.task.shapes().classes, reference_of(spec)
        budget = real_search.Budget(seconds=options.budget_s, epochs=options.budget_epochs)
        peer = real_search.peer_arm(spec, budget=budget, population=options.population)
        scales = [real_search.Volumes(floor=floor, params=params, logarithmic=log) for log in (False, True)]
        goals = [(volumes, volumes.of(peer.points)) for volumes in scales]

        def enough(points: Any, goals: Any = goals) -> bool:
            return not options.whole and all(volumes.of(points) >= goal for volumes, goal in goals)

        ours = real_search.our_arm(spec, budget=budget, folder=folder / f"{name}-{seed}", enough=enough)
        for scale in ("linear", "logarithmic"):
            row = row_of(peer, ours, floor=floor, params=params, scale=scale)
            rows.append({"data": name, "seed": seed, **row})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            arms = {"peer": peer.to_json(), "ours": ours.to_json(), "floor": floor, "params": params}
            (options.keep / f"{name}-{seed}.json").write_text(json.dumps(arms))
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the seeds; a search that never had it counts as a ratio of 0."""
    found = []
    for key in dict.fromkeys((row["data"], row["params"]) for row in rows):
        own = [row for row in rows if (row["data"], row["params"]) == key]
        found.append(
            {
                "data": key[0],
                "params": key[1],
                "seeds": len(own),
                "reached": sum(row["our_s"] is not None for row in own),
                "ratio of seconds": median(row["ratio_s"] or 0.0 for row in own),
                "ratio of epochs": median(row["ratio_epochs"] or 0.0 for row in own),
            }
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["fashion_mnist", "cifar10"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget-s", type=float, default=300, help="wall time of the peer, and the most of ours")
    parser.add_argument("--budget-epochs", type=int, default=None, help="an arm also ends after so many epochs")
    parser.add_argument("--samples", type=int, default=1500, help="training images")
    parser.add_argument("--validation", type=int, default=1500, help="validation images where images are shrunk")
    parser.add_argument("--size", type=int, default=None, help="side of the images; default: 28, and 16 for CIFAR-10")
    parser.add_argument("--rungs", type=int, nargs="+", default=[3, 9], help="epochs; the last is the full training")
    parser.add_argument("--strategy", default="auto", help="ours: a name, or a strategy as JSON")
    parser.add_argument("--promotion", default=PROMOTION, help="ours, as JSON")
    parser.add_argument("--population", type=int, default=20, help="the peer's; Optuna's default is 50")
    parser.add_argument("--whole", action="store_true", help="let ours use its whole budget")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for every point of both arms")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    try:
        for name in options.data:
            with tempfile.TemporaryDirectory() as folder:
                rows += measured(name, options, Path(folder))
    except NoDataError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"rows": rows, "summary": summary(rows)}, indent=1))
        return 0
    from netwright.cli.output import print_table

    shown = ["data", "seed", "params", "hypervolume", "peer_networks", "peer_s", "our_s", "ratio_s", "peer_epochs",
             "our_epochs", "ratio_epochs"]  # fmt: skip
    print_table(rows, columns=shown)
    print_table(summary(rows), title="\nmedians")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
