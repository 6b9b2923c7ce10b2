"""A curve for each pass: accuracy on test images against what the pass buys, of the trained ResNet-20 on CIFAR-10.

Passes that train do so for one epoch on the training part of 4,000 images, taught by the network as published. Every
point is a recipe of `netwright.compress`, its accuracy, with a 95 % interval, that of the exported file on the first
5,000 test images. `--pass NAME` measures the curves of single passes; with `--keep` no point is measured twice, and
`python scripts/draw_pass_curves.py` draws the output of `--json`. Nothing is timed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import netwright as nw
from compressing._curve_points import LINES, Line, Passes, lines
from compressing._resnet import ResNet, pretrained
from netwright.analysis.intervals import wilson
from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.files import content_hash, write_atomic

PASSES = tuple(LINES)
TASK = {"kind": "compressing._resnet:Cifar10", "samples": 4000, "test_samples": 5000, "shift": 4, "flip": True}
TRAINING = {"epochs": 1, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 5e-4}
UNTIMED = {"pairs": 2, "seconds": 0.01, "warmup_seconds": 0, "control": False}
FIGURES = ("size_bytes", "coded_bytes", "gzip_bytes", "params", "macs")


def network() -> ResNet:
    """What is compressed, as `compressing.curves:network`."""
    return pretrained(20)


def measure(folder: Path, *, passes: Sequence[str] = PASSES) -> list[dict[str, Any]]:
    """A row per line; its `stages` are the network as it is, and its points.

    Raises ConfigurationError for a pass that has no curve.
    """
    unknown = [name for name in passes if name not in PASSES]
    if unknown:
        raise ConfigurationError(
            [Mistake("--pass", f"{name} has no curve; give any of {', '.join(PASSES)}") for name in unknown]
        )
    return [_row(name, line, folder) for name in passes for line in lines(name)]


def _row(name: str, line: Line, folder: Path) -> dict[str, Any]:
    before = {"stage": "original", **_point([], folder)}
    stages = [before]
    for value, recipe in line.points.items():
        print(f"  {name}, {line.name}, {line.setting} {value} ...", file=sys.stderr, flush=True)
        point = _point(recipe, folder)
        if "left_out" in point:
            print(f"    no point: {point['left_out']}", file=sys.stderr)
        elif recipe or line.across == ("strength",):
            stages.append({"stage": f"{line.setting} {value}", "strength": value, **point})
    last = stages[-1]
    figure = line.across[0] if line.across[0] != "strength" else "size_bytes"
    return {
        "name": f"{name}, {line.name}",
        "pass": name,
        "line": line.name,
        "setting": line.setting,
        "across": line.across,
        "upwards": line.upwards,
        "ratio": before["size_bytes"] / last[figure],
        "size_bytes": last[figure],
        "reference_bytes": before["size_bytes"],
        "error_reference": 1 - before["accuracy"],
        "error": 1 - last["accuracy"],
        "n_test": before["n"],
        "stages": stages,
    }


def _point(recipe: Passes, folder: Path) -> dict[str, Any]:
    """The figures of a recipe's result, from the folder where they are known."""
    asked = {"passes": list(recipe), "fine_tune": TRAINING}
    kept = folder / "points" / f"{content_hash({**asked, 'task': TASK})[:16]}.json"
    if not kept.is_file():
        found = {**_measured(asked, folder / "run"), "passes": list(recipe)}
        write_atomic(kept, json.dumps(found))
    known: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return known


def _measured(asked: Mapping[str, Any], run: Path) -> dict[str, Any]:
    if asked["passes"]:
        nw.compress(run, recipe=asked)
    else:  # what all points are of, and the run's beginning
        recipe = {"name": "curves", "task": TASK, "compress": asked, "latency": UNTIMED}
        nw.compress_model("compressing.curves:network", recipe=recipe, out=run)
    view = nw.open_run(run)
    rolled_back = [f"{row['stage']}: {row['reason']}" for row in view.stages if not row["kept"]]
    if rolled_back:
        return {"left_out": "; ".join(rolled_back)}
    row = view.stages[-1]
    score = next(one for one in view.test.values() if one["sha256"] == row["sha256"])
    low, high = wilson(score["accuracy"], n=score["n"])
    figures = {name: row[name] for name in FIGURES}
    return {"accuracy": score["accuracy"], "low": low, "high": high, "n": score["n"], **figures}
