"""Runs model.FILE in ExecuTorch; needs executorch (which brings torch) and numpy alone.

python load.py inputs.npy outputs.npy       a float32 batch [N, ...], preprocessed as preprocessing.json says if there
"""

import sys
from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime

program = Runtime.get().load_program(Path(__file__).resolve().parent / "model.FILE")
network = program.load_method("forward")


def outputs(inputs: np.ndarray) -> np.ndarray:
    """The network's outputs [N, ...] for preprocessed inputs [N, ...]."""
    batch = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
    return np.array(network.execute([batch])[0])


if __name__ == "__main__":
    np.save(sys.argv[2], outputs(np.load(sys.argv[1])))
