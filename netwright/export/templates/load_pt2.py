"""Runs model.FILE, a program of torch.export; needs torch and numpy alone.

python load.py inputs.npy outputs.npy       a float32 batch [N, ...], preprocessed as preprocessing.json says if there
"""

import sys
from pathlib import Path

import numpy as np
import torch

network = torch.export.load(Path(__file__).resolve().parent / "model.FILE").module()


def outputs(inputs: np.ndarray) -> np.ndarray:
    """The network's outputs [N, ...] for preprocessed inputs [N, ...]."""
    with torch.no_grad():
        made: np.ndarray = network(torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))).numpy()
    return made


if __name__ == "__main__":
    np.save(sys.argv[2], outputs(np.load(sys.argv[1])))
