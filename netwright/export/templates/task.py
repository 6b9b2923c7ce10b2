# ruff: noqa: T201
"""What belongs to the models of this folder: raw inputs as numbers, outputs as answers and scores, the command line.

Needs numpy alone. The scripts `load*.py` beside it open the models; their class `Model` is a `Task`.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netwright.tasks.answers.classes import answers, scores, summary
from netwright.tasks.readers.arrays import read

HERE = Path(__file__).resolve().parent


class Task:
    """A model file of a folder with what `card.json` and `preprocessing.json` say of it.

    A loader adds `preprocess`, raw inputs to a float32 batch, and `run`, such a batch to outputs.
    """

    preprocess: Callable[[np.ndarray], np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]

    def __init__(self, folder: str | Path = "", file: str = "", threads: int | None = None) -> None:
        self.folder = Path(folder or HERE)
        self.card: Mapping[str, Any] = json.loads((self.folder / "card.json").read_text(encoding="utf-8"))
        self.settings: Mapping[str, Any] = json.loads((self.folder / "preprocessing.json").read_text(encoding="utf-8"))
        self.file = file or self.card["default"]
        self.threads = threads
        self.path = self.folder / self.file
        if self.file not in self.card["files"]:
            raise ValueError(f"{self.file} is no model of this folder; there are {', '.join(self.card['files'])}")
        if not self.path.is_file():
            raise FileNotFoundError(2, "the model file is missing; get the folder again", str(self.path))
        self.entry: Mapping[str, Any] = self.card["files"][self.file]
        after = [1] * (len(self.settings["input_shape"]) - self.settings["axis"])
        self.scale = np.float32(self.settings["scale"])
        self.mean, self.std = (np.asarray(self.settings[n], np.float32).reshape(-1, *after) for n in ("mean", "std"))

    def read(self, inputs: np.ndarray) -> np.ndarray:
        """Raw inputs as numbers in the network's layout, not yet scaled: [N, *input_shape] in float32."""
        try:
            numbers = read(np.asarray(inputs), self.settings["reading"])
            if numbers.dtype.kind not in "buif":
                raise ValueError(f"inputs must be numbers, not of type {numbers.dtype}")
            return arrange(numbers, self.settings["input_shape"]).astype(np.float32)
        except ValueError as error:
            raise ValueError("; ".join(filter(None, [str(error), self.card["input"]["prepared"]]))) from None

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """The network's outputs [N, ...] for raw inputs."""
        batch, size = self.preprocess(inputs), self.entry["batch"]
        return np.concatenate([self.run(batch[n : n + size]) for n in range(0, len(batch), size)])

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """What the outputs for raw inputs mean, such as class numbers [N], whose names are in card["classes"]."""
        return answers(self.outputs(inputs), self.card["answers"])

    def beside(self, script: str) -> dict[str, Any]:
        """What a script of this folder defines."""
        return runpy.run_path(str(HERE / script))

    @classmethod
    def main(cls) -> None:
        """The command line that the loaders describe."""
        parser = argparse.ArgumentParser(description="Runs a model of this folder on raw inputs, or scores it.")
        parser.add_argument("data", nargs="?", help="raw inputs in an .npy file, or with targets in an .npz file")
        parser.add_argument("outputs", nargs="?", help="the .npy file to write the network's outputs to")
        parser.add_argument("--model", default="", help="a model file of this folder")
        chosen = parser.parse_args()
        try:
            obey(loaded(chosen.model) if chosen.model else cls(), chosen.data, chosen.outputs)
        except OSError as error:
            sys.exit(f"{error.filename}: {error.strerror}")
        except ValueError as error:
            sys.exit(str(error))


def loaded(file: str) -> Task:
    """A model file of this folder, opened by the script that card.json names for it."""
    script = Task(file=file).entry["loader"]
    opened: Task = runpy.run_path(str(HERE / script))["Model"](file=file)
    return opened


def obey(model: Task, data: str | None, outputs: str | None) -> None:
    """Tell what the model is and score it, or write its outputs, or the file in an archive, by what was asked for."""
    if outputs is not None:
        np.save(outputs, model.outputs(*arrays(str(data), [("inputs",), ("x_test",)])))
    elif model.file.endswith(".nwz") and str(data).endswith(".onnx"):
        Path(str(data)).write_bytes(model.beside("nwz.py")["decode"](model.path.read_bytes()))
    else:
        files = ", ".join(f"{name} ({one['bytes']:,} bytes)" for name, one in sorted(model.card["files"].items()))
        print(f"{model.card['name']}: {model.file}, input {model.settings['input_shape']}, ", end="")
        print(f"{model.card['gives']}; files: {files}")
        if data is not None:
            score(model, *arrays(data, [("inputs", "targets"), ("x_test", "y_test")]))


def arrays(file: str, choices: Sequence[tuple[str, ...]]) -> list[np.ndarray]:
    """The arrays that an .npz file holds by the first of these choices of names; an .npy file holds one alone."""
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray) and len(choices[0]) == 1:
            return [found]
        held = list(found) if isinstance(found, np.lib.npyio.NpzFile) else ["one array alone"]
        names = next((names for names in choices if set(names) <= set(held)), None)
        if names is not None:
            return [found[name] for name in names]
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise ValueError(
            f"{file} is no .npy or .npz file of numbers or texts, as numpy's save and savez write"
        ) from None
    wanted = ", or ".join(" and ".join(names) for names in choices)
    raise ValueError(f"{file} holds {', '.join(held)}; expected {wanted}")


def arrange(x: np.ndarray, shape: list[int | None]) -> np.ndarray:
    """Raw inputs as [N, *shape]: the channel axis of images is added or moved to the front."""
    given = list(x.shape)
    if x.shape[:1] == (0,):
        raise ValueError("there are no inputs: the first axis is empty")
    if len(shape) == 3 and x.ndim == 3 and shape[0] == 1:
        x = x[:, None]
    elif len(shape) == 3 and x.ndim == 4 and not fits(x, shape):
        x = np.moveaxis(x, 3, 1)
    elif len(shape) == 2 and x.ndim == 2 and shape[1] == 1:
        x = x[:, :, None]
    if not fits(x, shape):
        wanted = ", ".join(map(str, shape))
        images = " or images with channels last," if len(shape) == 3 else ""
        raise ValueError(f"inputs must be [N, {wanted}],{images} not {given}")
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
    places = {name: number for number, name in enumerate(classes)}
    if targets.ndim == 2:
        places[""] = -1  # a step after the end of a sequence
    if unknown := sorted(set(targets.ravel().tolist()) - set(places)):
        raise ValueError(f"{unknown[0]!r} is no class of this model; its classes are {', '.join(classes)}")
    return np.asarray(np.vectorize(places.get)(targets))


def score(model: Task, inputs: np.ndarray, targets: np.ndarray) -> None:
    """Print the scores of a model on raw inputs and targets, and its latency."""
    targets = numbered(targets, model.card["classes"], model.card["answers"].get("values", []))
    if len(targets) != len(inputs):
        raise ValueError(f"there are {len(inputs)} inputs and {len(targets)} targets; each input needs one")
    print(summary(scores(model.outputs(inputs), targets, model.card["answers"]), len(targets)))
    one = model.preprocess(inputs[:1])
    times = []
    for _ in range(120):
        start = time.perf_counter()
        model.run(one)
        times.append(1000 * (time.perf_counter() - start))
    p10, median, p90 = np.quantile(times[20:], (0.1, 0.5, 0.9))
    threads = f"{model.threads} thread, " if model.threads else ""
    print(f"latency {median:.4g} ms per sample, median of 100 (p10 {p10:.4g}, p90 {p90:.4g}), {threads}batch 1")
