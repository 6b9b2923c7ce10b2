"""Runs model.FILE, a program of torch.export: python load.py inputs.npy outputs.npy; needs torch and numpy alone."""

import sys
from pathlib import Path

import numpy as np
import torch

network = torch.export.load(Path(__file__).resolve().parent / "model.FILE").module()


@torch.no_grad()
def outputs(inputs: np.ndarray) -> np.ndarray:  # float32 [N, ...], preprocessed as preprocessing.json says if there
    return np.asarray(network(torch.from_numpy(np.ascontiguousarray(inputs, np.float32))))


if __name__ == "__main__":
    np.save(sys.argv[2], outputs(np.load(sys.argv[1])))
