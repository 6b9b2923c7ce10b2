# ruff: noqa: T201
"""Runs the model in this folder; needs only onnxruntime and numpy.

python load.py                                  what this folder is
python load.py data.npz [--model NAME]          scores and latency on your data

data.npz holds `inputs` and `targets` (or `x_test` and `y_test`): raw inputs as the model was trained on,
images as [N, H, W], [N, H, W, C] or [N, C, H, W], texts as they are, and raw targets, such as class numbers from 0,
names, or masks as they were given. In a program:

from load import Model
answers = Model("this/folder").predict(inputs)
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from netwright.tasks.answers.classes import answers, scores, summary
from netwright.tasks.readers.arrays import read

HERE = Path(__file__).resolve().parent


class Model:
    """An ONNX file of this folder with its preprocessing; `threads` are the threads of one call."""

    def __init__(self, folder: str | Path = HERE, file: str | None = None, threads: int = 1) -> None:
        folder = Path(folder)
        self.card: Mapping[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        self.settings: Mapping[str, Any] = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
        self.file = file or self.card["default"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        model = unpacked(folder / self.file) if self.file.endswith(".nwz") else (folder / self.file).read_bytes()
        if only_stores_integers(model):
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.samples = 1 if b"DynamicQuantize" in model else 256
        """Of one call: a file that finds ranges as it runs rounds a sample by the others of its call."""
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def preprocess(self, inputs: np.ndarray) -> np.ndarray:
        """Raw inputs as the float32 batch that the network takes: (x * scale - mean) / std."""
        s = self.settings
        try:
            batch = arrange(read(np.asarray(inputs), s["reading"]), s["input_shape"]).astype(np.float32)
        except ValueError as error:
            raise ValueError("; ".join(filter(None, [str(error), self.card["input"].get("prepared")]))) from None
        shape = [1] * batch.ndim
        shape[s["axis"]] = -1
        batch *= np.float32(s["scale"])
        batch -= np.asarray(s["mean"], np.float32).reshape(shape)
        batch /= np.asarray(s["std"], np.float32).reshape(shape)
        return np.asarray(batch)

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """The network's outputs [N, ...] for raw inputs."""
        batch = self.preprocess(inputs)
        parts = [batch[start : start + self.samples] for start in range(0, len(batch), self.samples)]
        return np.concatenate([self.session.run(["output"], {"input": part})[0] for part in parts])

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """What the outputs for raw inputs mean, such as class numbers [N], whose names are in card["classes"]."""
        return answers(self.outputs(inputs), self.card["answers"])


def unpacked(archive: Path) -> bytes:
    """The ONNX file in an archive, by the decoder beside it."""
    content: bytes = runpy.run_path(str(archive.with_name("load_nwz.py")))["decode"](archive.read_bytes())
    return content


def only_stores_integers(model: bytes) -> bool:
    """Whether weights are integers and nothing else is: else the runtime makes them float again in every call."""
    return b'"\x10DequantizeLinear' in model and b'"\x0eQuantizeLinear' not in model


def arrange(x: np.ndarray, shape: list[int | None]) -> np.ndarray:
    """Raw inputs as [N, *shape]: the channel axis of images is added or moved to the front."""
    given = list(x.shape)
    if len(shape) == 3 and x.ndim == 3 and shape[0] == 1:
        x = x[:, None]
    elif len(shape) == 3 and x.ndim == 4 and not fits(x, shape):
        x = np.moveaxis(x, 3, 1)
    elif len(shape) == 2 and x.ndim == 2 and shape[1] == 1:
        x = x[:, :, None]
    if not fits(x, shape):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"inputs must be [N, {wanted}], or images with channels last, not {given}")
    return np.ascontiguousarray(x)


def fits(x: np.ndarray, shape: list[int | None]) -> bool:
    """Whether x is [N, *shape]; None in shape is any size."""
    return x.ndim == len(shape) + 1 and all(w in (None, h) for w, h in zip(shape, x.shape[1:], strict=True))


def numbered(targets: np.ndarray, classes: list[str], values: Sequence[int | list[int]] = ()) -> np.ndarray:
    """Targets as they are, but names of classes as their numbers; names may be whole numbers, such as -1 and 1.

    `values` are those that stand for the classes in masks [N, height, width], or colours in [N, height, width, 3].
    """
    if values:
        pixels = targets[..., None] if targets.ndim == 3 else targets
        numbers = pixels[..., 0].astype(np.int64)
        for number, value in enumerate(values):
            numbers[(pixels == value).all(axis=-1)] = number
        return np.asarray(numbers)
    if targets.dtype.kind != "U":
        given = targets.astype(np.int64).astype(str) if classes else targets
        if not np.isin(given, classes).all():
            return targets
        targets = given
    targets = np.char.strip(targets)
    if unknown := sorted(set(targets.ravel().tolist()) - set(classes)):
        sys.exit(f"{unknown[0]!r} is no class of this model; its classes are {', '.join(classes)}")
    return np.asarray(np.vectorize(classes.index)(targets))


def main() -> None:
    """The command line described above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="an .npz file with inputs and targets")
    parser.add_argument("--model", help="an .onnx or .nwz file of this folder")
    chosen = parser.parse_args()
    model = Model(file=chosen.model)
    print(f"{model.card['name']}: {model.file}, input {model.settings['input_shape']}, ", end="")
    print(f"{model.card['gives']}; files: {', '.join(sorted(model.card['files']))}")
    if chosen.data is None:
        return
    with np.load(chosen.data, allow_pickle=False) as data:
        names = ("inputs", "targets") if "inputs" in data else ("x_test", "y_test")
        if any(name not in data for name in names):
            sys.exit(f"{chosen.data} holds {', '.join(data.files)}; expected inputs and targets, or x_test and y_test")
        inputs, targets = (data[name] for name in names)
    targets = numbered(targets, model.card["classes"], model.card["answers"].get("values", []))
    print(summary(scores(model.outputs(inputs), targets, model.card["answers"]), len(targets)))
    one = model.preprocess(inputs[:1])
    times = []
    for _ in range(120):
        start = time.perf_counter()
        model.session.run(["output"], {"input": one})
        times.append(1000 * (time.perf_counter() - start))
    p10, median, p90 = np.quantile(times[20:], (0.1, 0.5, 0.9))
    print(f"latency {median:.4g} ms per sample, median of 100 (p10 {p10:.4g}, p90 {p90:.4g}), 1 thread, batch 1")


if __name__ == "__main__":
    main()
