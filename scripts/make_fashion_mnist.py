"""Make the part of Fashion-MNIST that comes with the package: 10,000 to train, 2,000 to test.

    python scripts/make_fashion_mnist.py

reads $NETWRIGHT_DATA/fashion_mnist/fashion_mnist.npz (default ../shared/data) and writes
netwright/tasks/bundled/fashion_mnist_12k.npz. Running it again gives the same bytes.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
PER_CLASS = {"train": 1000, "test": 200}


def balanced(targets: npt.NDArray[np.uint8], *, per_class: int) -> npt.NDArray[np.int64]:
    """Positions of `per_class` random samples of each class, in the order of the source."""
    rng = np.random.default_rng(SEED)
    chosen = [rng.choice(np.flatnonzero(targets == label), per_class, replace=False) for label in range(10)]
    return np.sort(np.concatenate(chosen))


def main() -> None:
    source = Path(os.environ.get("NETWRIGHT_DATA", ROOT.parent / "shared" / "data"))
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    with np.load(source / "fashion_mnist" / "fashion_mnist.npz", allow_pickle=False) as stored:
        for part, per_class in PER_CLASS.items():
            images, targets = stored[f"x_{part}"], stored[f"y_{part}"]
            index = balanced(targets, per_class=per_class)
            arrays |= {f"x_{part}": images[index], f"y_{part}": targets[index]}
        arrays["class_names"] = stored["class_names"]
    path = ROOT / "netwright" / "tasks" / "bundled" / "fashion_mnist_12k.npz"
    np.savez_compressed(path, allow_pickle=False, **arrays)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
