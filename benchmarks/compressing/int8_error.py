"""How far int8 files are from their float files, with our default settings and with the runtime's own.

Networks are trained briefly on real data; errors are the norm of the difference of the outputs over the norm of the
float outputs, on test samples that calibration did not see. Which of the runtime's defaults go wrong depends on the
CPU: without VNNI or AMX, full-range products saturate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compressing._resnet import Cifar10, data_folder
from netwright.core.errors import DataError
from netwright.evaluation.machine import this_machine
from netwright.export.onnx_runtime import Session
from netwright.export.quantization import prepared
from netwright.export.quantization_static import Static, quantize_static
from netwright.export.to_onnx import export_onnx
from netwright.tasks.data import Arrays
from netwright.tasks.settings import Training
from netwright.tasks.task import Task
from netwright.tasks.training import fit

BOUND = 0.05
TESTED, TRAINED, EPOCHS = 1000, 5000, 2


class Mnist(Task):
    """Handwritten digits."""

    samples: int = 10000

    def load(self) -> Arrays:
        path = data_folder() / "mnist" / "mnist.npz"
        if not path.is_file():
            raise DataError(f"no data at {path}: set NETWRIGHT_DATA to the folder that holds mnist/mnist.npz")
        with np.load(path) as stored:
            parts = {name: stored[name] for name in ("x_train", "y_train", "x_test", "y_test")}
        images = {name: parts[f"x_{name}"].reshape(-1, 1, 28, 28) for name in ("train", "test")}
        train = (images["train"][: self.samples], parts["y_train"][: self.samples].astype(np.int64))
        return Arrays(train=train, test=(images["test"], parts["y_test"].astype(np.int64)))


def lenet_300_100() -> nn.Module:
    """LeCun et al. 1998: two hidden layers."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def lenet_5() -> nn.Module:
    """The LeNet-5 of Caffe, with 431,080 parameters."""
    features = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))


def _block(inside: int, outside: int, *, stride: int = 1, groups: int = 1, size: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outside), nn.ReLU()]


def depthwise() -> nn.Module:
    """Depthwise convolutions and 1x1 convolutions in turn, as in MobileNet."""
    layers = _block(3, 16, stride=2)
    for inside, outside, stride in ((16, 32, 1), (32, 64, 2), (64, 64, 1), (64, 96, 2)):
        layers += [*_block(inside, inside, stride=stride, groups=inside), *_block(inside, outside, size=1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))


def vgg_like() -> nn.Module:
    """Six 3x3 convolutions with pooling after every second one, and two Linear layers."""
    layers: list[nn.Module] = []
    for inside, outside in ((3, 16), (16, 32), (32, 48)):
        layers += [*_block(inside, outside), *_block(outside, outside), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU(), nn.Linear(64, 10))


NETWORKS = {
    "LeNet-300-100": (lenet_300_100, Mnist),
    "LeNet-5": (lenet_5, Mnist),
    "depthwise": (depthwise, Cifar10),
    "VGG-like": (vgg_like, Cifar10),
}


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row per network; `stages` are the ways of quantizing it."""
    train(folder)
    return [errors(folder, name) for name in NETWORKS]


def train(folder: Path) -> None:
    """Leaves the float file of every network in `folder`, with its calibration and test samples."""
    for name, (make, kind) in NETWORKS.items():
        task = kind(samples=TRAINED)
        torch.manual_seed(0)
        net = make()
        fit(net, task, training=Training(epochs=EPOCHS), seed=0)
        data = task.data()
        inputs = data.preprocessing(task.test_split().inputs[:TESTED])
        calibration = np.asarray(data.preprocessing(data.calibration.inputs), np.float32)
        export_onnx(net.eval(), folder / f"{name}.onnx", example=calibration[:16])
        np.savez(folder / f"{name}.npz", inputs=inputs, calibration=calibration)


def errors(folder: Path, name: str) -> dict[str, Any]:
    """The row of a network that `train` left in `folder`, on the CPU that this process runs on."""
    machine = this_machine()
    source = folder / f"{name}.onnx"
    with np.load(folder / f"{name}.npz") as samples:
        inputs, calibration = samples["inputs"], samples["calibration"]
    stages = _ours(source, folder, calibration, inputs) + _runtimes(source, folder, calibration, inputs)
    error = stages[0]["relative_error"]
    return {
        "name": name,
        "relative_error": error,
        "within_bound": error <= BOUND,
        "runtime_default_error": stages[-1]["relative_error"],
        "cpu": machine.cpu,
        "vnni": not machine.int8_products_saturate,
        "stages": stages,
    }


def _ours(source: Path, folder: Path, calibration: np.ndarray, inputs: np.ndarray) -> list[dict[str, Any]]:
    """Our default settings, and each that can be chosen beside them."""
    choices = {
        "ours": Static(),
        "ours, 7-bit weights": Static(reduce_range=True),
        "ours, unsigned weights": Static(weights="uint8"),
        "ours, percentile": Static(method="percentile"),
        "ours, entropy": Static(method="entropy"),
        "ours, mse": Static(method="mse"),
        "ours, one scale per layer": Static(per_channel=False),
        "ours, one scale per layer, equalized": Static(per_channel=False, equalize=True),
        "ours, bias correction": Static(bias_correction=True),
    }
    stages = []
    for name, settings in choices.items():
        found = quantize_static(source, folder / "int8.onnx", calibration=calibration, settings=settings)
        stage = {"stage": name, "relative_error": _error(source, found.path, inputs), "scheme": "/".join(found.scheme)}
        stages.append({**stage, "reduce_range": found.reduce_range, "coverage_macs": found.coverage_macs})
    return stages


def _runtimes(source: Path, folder: Path, calibration: np.ndarray, inputs: np.ndarray) -> list[dict[str, Any]]:
    """What `onnxruntime.quantization.quantize_static` gives when it is told nothing but the data."""
    from onnxruntime import quantization as q

    path = prepared(source, folder)
    feeds = iter([{"input": calibration[start : start + 64]} for start in range(0, len(calibration), 64)])

    class Reader(q.CalibrationDataReader):  # type: ignore[misc]  # the runtime has no types
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(feeds, None)

    target = folder / "runtime.onnx"
    q.quantize_static(str(path), str(target), Reader())
    return [{"stage": "the runtime's defaults", "relative_error": _error(source, target, inputs)}]


def _error(source: Path, target: Path, inputs: np.ndarray) -> float:
    wanted, found = Session(source)(inputs), Session(target)(inputs)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
