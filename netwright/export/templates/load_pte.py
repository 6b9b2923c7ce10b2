"""Runs model.FILE: python load.py inputs.npy outputs.npy; needs executorch (which brings torch) and numpy alone."""

import sys
from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime

program = Runtime.get().load_program(Path(__file__).resolve().parent / "model.FILE")
network = program.load_method("forward")


def outputs(inputs: np.ndarray) -> np.ndarray:  # float32 [N, ...], preprocessed as preprocessing.json says if there
    whole = torch.from_numpy(np.ascontiguousarray(inputs, np.float32))
    return np.concatenate([np.array(network.execute([sample])[0]) for sample in torch.split(whole, 1)])


if __name__ == "__main__":
    np.save(sys.argv[2], outputs(np.load(sys.argv[1])))
