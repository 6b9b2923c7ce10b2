"""Opens model.safetensors with what is computed, model.calls.json, and runs it on raw inputs; needs torch,
safetensors and numpy.

python load.py                                  what this folder is
python load.py inputs.npy outputs.npy           raw inputs [N, ...] in, the network's outputs [N, ...] out
python load.py data.npz                         scores and latency on its `inputs` and `targets`

In a program: from load import Model; Model("this/folder").predict(inputs), or .outputs(inputs)
"""

import runpy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

Task = runpy.run_path(str(Path(__file__).with_name("task.py")))["Task"]


class Model(Task):
    def __init__(self, folder: str | Path = "", file: str = "model.safetensors", threads: int = 1) -> None:
        super().__init__(folder, file, threads)
        torch.set_num_threads(threads)
        self.weights = load_file(self.path)
        self.network = self.beside("calls.py")["read_calls"](self.path.with_suffix(".calls.json"))

    def preprocess(self, inputs: np.ndarray) -> np.ndarray:
        return (self.read(inputs) * self.scale - self.mean) / self.std

    @torch.no_grad()
    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.network(self.weights, torch.from_numpy(batch)).numpy()


if __name__ == "__main__":
    Model.main()
