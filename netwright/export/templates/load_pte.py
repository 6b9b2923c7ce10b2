"""Opens model.pte in ExecuTorch and runs it on raw inputs; needs executorch (which brings torch) and numpy.

python load.py                                  what this folder is
python load.py inputs.npy outputs.npy           raw inputs [N, ...] in, the network's outputs [N, ...] out
python load.py data.npz                         scores and latency on its `inputs` and `targets`

In a program: from load import Model; Model("this/folder").predict(inputs), or .outputs(inputs)
"""

import runpy
from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime

Task = runpy.run_path(str(Path(__file__).with_name("task.py")))["Task"]


class Model(Task):
    def __init__(self, folder: str | Path = "", file: str = "model.pte") -> None:
        super().__init__(folder, file)
        self.program = Runtime.get().load_program(self.path)  # which must live as long as its method
        self.network = self.program.load_method("forward")

    def preprocess(self, inputs: np.ndarray) -> np.ndarray:
        return (self.read(inputs) * self.scale - self.mean) / self.std

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.network.execute([torch.from_numpy(batch)])[0].numpy().copy()


if __name__ == "__main__":
    Model.main()
