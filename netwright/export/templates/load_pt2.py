"""Opens model.pt2, a program of torch.export, and runs it on raw inputs; needs torch and numpy.

python load.py                                  what this folder is
python load.py inputs.npy outputs.npy           raw inputs [N, ...] in, the network's outputs [N, ...] out
python load.py data.npz                         scores and latency on its `inputs` and `targets`

In a program: from load import Model; Model("this/folder").predict(inputs), or .outputs(inputs)
"""

import runpy
from pathlib import Path

import numpy as np
import torch

Task = runpy.run_path(str(Path(__file__).with_name("task.py")))["Task"]


class Model(Task):
    def __init__(self, folder: str | Path = "", file: str = "model.pt2", threads: int = 1) -> None:
        super().__init__(folder, file, threads)
        torch.set_num_threads(threads)
        self.network = torch.export.load(self.path).module()

    def preprocess(self, inputs: np.ndarray) -> np.ndarray:
        return (self.read(inputs) * self.scale - self.mean) / self.std

    @torch.no_grad()
    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(batch)).numpy()


if __name__ == "__main__":
    Model.main()
