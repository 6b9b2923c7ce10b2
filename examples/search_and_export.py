"""The whole way in Python, on scikit-learn's digits: search, compress, report, export, run the bundle.

python examples/search_and_export.py [--out FOLDER] [--trials N]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

import netwright as nw

RECIPE = {
    "name": "digits-example",
    "task": "digits",
    "space": {
        "kind": "cells",
        "nodes": 3,
        "operations": ["none", "skip", "conv_3x3"],
        "widths": [8, 12],
        "depths": [1],
        "stages": 2,
    },
    "objectives": ["accuracy", {"metric": "macs", "bound": 300_000}],
    "search": {
        "trials": 6,
        "strategy": {"kind": "evolution", "population": 4, "tournament": 2},
        "executor": "inline",
        "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
    },
    "winner": {"training": {"epochs": 8, "batch_size": 64, "learning_rate": 0.01}},
    "compress": {
        "bounds": {"accuracy_drop": 0.03},
        "fine_tune": {"epochs": 3, "batch_size": 64},
        "passes": [{"kind": "structured_prune", "ratio": 0.25, "round_to": 2}, "quantize"],
    },
    "latency": {"pairs": 60, "seconds": 0.3, "warmup_seconds": 0.1},
}


def main() -> None:
    """Search, compress, report and export; then let the bundle's own loader score the test split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/example-digits"))
    parser.add_argument("--trials", type=int, default=6)
    chosen = parser.parse_args()

    run = nw.search(RECIPE, out=chosen.out, overrides=[f"search.trials={chosen.trials}"])
    for trial in run.trials:
        print(f"trial {trial.number}: {trial.state}, accuracy {trial.value('accuracy')}, from {trial.origin}")

    for stage in nw.compress(chosen.out)["stages"]:
        verdict = "kept" if stage["kept"] else f"rolled back: {stage['reason']}"
        print(f"{stage['stage']}: accuracy {stage['accuracy']:.4f}, {stage['size_bytes']:,} bytes, {verdict}")

    bundle = Path(nw.export_trial(chosen.out)["bundle"])
    print("report:", nw.report(chosen.out))

    # The folder needs only onnxruntime and numpy, so it is run here as it would be elsewhere.
    test = nw.RunSpecification.parse(RECIPE).task.data().test.read()
    np.savez(chosen.out / "test.npz", inputs=test.inputs, targets=test.targets)
    subprocess.run([sys.executable, str(bundle / "load.py"), str(chosen.out / "test.npz")], check=True)


if __name__ == "__main__":
    main()
