"""Opens an ONNX file of this folder and runs it on raw inputs; needs onnxruntime and numpy.

python load.py                                  what this folder is
python load.py inputs.npy outputs.npy           raw inputs [N, ...] in, the network's outputs [N, ...] out
python load.py data.npz [--model NAME]          scores and latency on its `inputs` and `targets`

In a program: from load import Model; Model("this/folder").predict(inputs), or .outputs(inputs)
"""

import runpy
from pathlib import Path

import numpy as np
import onnxruntime as ort

Task = runpy.run_path(str(Path(__file__).with_name("task.py")))["Task"]


class Model(Task):
    def __init__(self, folder: str | Path = "", file: str = "", threads: int = 1) -> None:
        super().__init__(folder, file, threads)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        for setting in self.entry["options"].items():
            options.add_session_config_entry(*setting)
        self.session = ort.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])

    def preprocess(self, inputs: np.ndarray) -> np.ndarray:
        return (self.read(inputs) * self.scale - self.mean) / self.std

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.session.run(["output"], {"input": batch})[0]


if __name__ == "__main__":
    Model.main()
