"""Opens the archive model.nwz of this folder and runs it on raw inputs; needs onnxruntime and numpy.

python load_nwz.py                              what this folder is
python load_nwz.py inputs.npy outputs.npy       raw inputs [N, ...] in, the network's outputs [N, ...] out
python load_nwz.py data.npz                     scores and latency on its `inputs` and `targets`
python load_nwz.py model.onnx                   writes the ONNX file that is in the archive, bit for bit

In a program: from load_nwz import Model; Model("this/folder").predict(inputs), or .outputs(inputs)
"""

import runpy
from pathlib import Path

import numpy as np
import onnxruntime as ort

Task = runpy.run_path(str(Path(__file__).with_name("task.py")))["Task"]


class Model(Task):
    def __init__(self, folder: str | Path = "", file: str = "model.nwz", threads: int = 1) -> None:
        super().__init__(folder, file, threads)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        for setting in self.entry["options"].items():
            options.add_session_config_entry(*setting)
        content = self.beside("nwz.py")["decode"](self.path.read_bytes())
        self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def preprocess(self, inputs: np.ndarray) -> np.ndarray:
        return (self.read(inputs) * self.scale - self.mean) / self.std

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.session.run(["output"], {"input": batch})[0]


if __name__ == "__main__":
    Model.main()
