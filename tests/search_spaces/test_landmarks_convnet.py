"""Well-known convolutional networks as points in `convnet`: their figures, and their outputs with weights copied in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.shapes import Shapes
from netwright.search_spaces.landmark import load_landmark
from tests.search_spaces.weight_copy import copy_tensors, copy_weights, randomize, tensors_in_order

MEASURED = {
    "lenet-5": "LeNet-5 (full C3 connectivity, 32x32)",
    "lenet-5-caffe": "Caffe LeNet-5 20-50-500-10 (Deep Compression)",
    "alexnet": "torchvision alexnet",
    "vgg-16": "torchvision vgg16",
    "resnet-18": "torchvision resnet18 @224",
    "resnet-34": "torchvision resnet34",
    "resnet-50": "torchvision resnet50 (v1.5, stride in 3x3)",
    "resnet-50-original": "resnet50 original (stride in first 1x1, He 2015)",
    "resnet-101": "torchvision resnet101",
    "resnet-152": "torchvision resnet152",
    "cifar-resnet-20": "CIFAR ResNet-20 (option A shortcuts)",
    "cifar-resnet-56": "CIFAR ResNet-56 (option A shortcuts)",
    "resnext-50-32x4d": "torchvision resnext50_32x4d @224",
    "resnext-101-64x4d": "torchvision resnext101_64x4d @224",
    "densenet-121": "torchvision densenet121",
    "inception-v3": "timm inception_v3",
    "xception": "timm legacy_xception (original Xception)",
}
"""The row of reference_counts.csv for every landmark that has one."""
LANDMARKS = [*MEASURED, "se-resnet-50"]
UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}

Reference = Callable[[], nn.Module]


def as_printed(value: int, printed: str) -> set[str]:
    """A figure rounded, and cut off, to as many digits as a printed one such as 22.8M."""
    digits, unit = printed[:-1], printed[-1]
    places = len(digits.partition(".")[2])
    scaled = value / UNITS[unit]
    return {f"{scaled:.{places}f}{unit}", f"{int(scaled * 10**places) / 10**places:.{places}f}{unit}"}


@pytest.mark.parametrize("name", LANDMARKS)
def test_parameters_and_macs_from_decisions_are_the_published_ones(name: str) -> None:
    landmark = load_landmark(name)
    cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    assert any(isinstance(count.params, int) for count in landmark.counts)
    for count in landmark.counts:
        for found, expected in ((cost.params, count.params), (cost.macs, count.macs)):
            if isinstance(expected, int):
                assert found == expected
            elif expected is not None:
                # a note says that the source counts a little more
                near = float(expected[:-1]) * UNITS[expected[-1]]
                assert expected in as_printed(found, expected) or (
                    count.note and near == pytest.approx(found, rel=2e-3)
                )


@pytest.mark.parametrize("name", MEASURED)
def test_the_published_figures_are_those_of_the_reference_table(name: str, data_folder: Path) -> None:
    with (data_folder / "reference_counts.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["model"] == MEASURED[name])
    landmark = load_landmark(name)
    assert row["input"] == "x".join(map(str, landmark.input))
    cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    assert cost.params == int(row["params"])
    # rows of `@224` are rounded to 100,000
    assert round(cost.macs, -5 if "@" in row["model"] else None) == int(row["macs"])


@pytest.mark.parametrize("name", LANDMARKS)
def test_the_built_model_has_these_parameters_and_macs(name: str) -> None:
    landmark = load_landmark(name)
    cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    with torch.device("meta"):
        model = landmark.search_space.build(landmark.resolved(), landmark.shapes).eval()
        with FlopCounterMode(display=False) as counter:
            outputs = model(torch.empty(2, *landmark.input))
    assert outputs.shape == (2, landmark.output)
    assert sum(p.numel() for p in model.parameters()) == cost.params
    assert counter.get_total_flops() == 2 * 2 * cost.macs


def vision(name: str, **settings: Any) -> Reference:
    """A network of torchvision without trained weights."""

    def build() -> nn.Module:
        models = pytest.importorskip("torchvision").models
        model = getattr(models, name)(weights=None, **settings)
        assert isinstance(model, nn.Module)
        return model

    return build


def timm(name: str) -> Reference:
    """A network of timm without trained weights."""

    def build() -> nn.Module:
        model = pytest.importorskip("timm").create_model(name, pretrained=False)
        assert isinstance(model, nn.Module)
        return model

    return build


def resnet50_original() -> nn.Module:
    """The ResNet-50 of torchvision with its strides moved to where the paper has them."""
    model = vision("resnet50")()
    for stage in ("layer2", "layer3", "layer4"):
        block: Any = model.get_submodule(f"{stage}.0")
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return model


REFERENCES: dict[str, tuple[Reference, int]] = {
    "alexnet": (vision("alexnet"), 96),
    "vgg-16": (vision("vgg16"), 64),
    "resnet-18": (vision("resnet18"), 64),
    "resnet-34": (vision("resnet34"), 64),
    "resnet-50": (vision("resnet50"), 64),
    "resnet-50-original": (resnet50_original, 64),
    "resnet-101": (vision("resnet101"), 64),
    "resnet-152": (vision("resnet152"), 64),
    "resnext-50-32x4d": (vision("resnext50_32x4d"), 64),
    "resnext-101-64x4d": (vision("resnext101_64x4d"), 64),
    "se-resnet-50": (timm("seresnet50"), 64),
    "densenet-121": (vision("densenet121"), 64),
    "inception-v3": (vision("inception_v3", aux_logits=False, init_weights=False), 107),
    "xception": (timm("legacy_xception"), 107),
}
"""A reference network and the height and width, smaller than the published, at which outputs are compared."""


@pytest.mark.parametrize("name", REFERENCES)
def test_with_the_weights_of_the_reference_it_gives_the_same_outputs(name: str) -> None:
    make, size = REFERENCES[name]
    landmark, reference = load_landmark(name), randomize(make(), seed=1)
    inputs = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    shapes = Shapes((3, size, size), landmark.shapes.classes)
    model = landmark.search_space.build(landmark.resolved(), shapes).eval()
    copy_weights(reference, model, inputs)
    with torch.inference_mode():
        expected, found = reference(inputs), model(inputs)
    scale = float(expected.std())
    assert scale > 0
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_has_the_same_parameters_and_macs(name: str) -> None:
    landmark = load_landmark(name)
    with torch.device("meta"):
        reference = REFERENCES[name][0]().eval()
        with FlopCounterMode(display=False) as counter:
            reference(torch.empty(1, *landmark.input))
    cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    assert sum(p.numel() for p in reference.parameters()) == cost.params
    assert counter.get_total_flops() == 2 * cost.macs


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "right"), [(20, 9173), (56, 9339)])
def test_trained_cifar_weights_reach_their_accuracy(depth: int, right: int, data_folder: Path) -> None:
    """All 10,000 test images; the arrays are those of the published networks, in the order of their layers."""
    landmark = load_landmark(f"cifar-resnet-{depth}")
    model = landmark.search_space.build(landmark.resolved(), landmark.shapes).eval()
    trained = np.load(data_folder / "pretrained" / f"resnet{depth}_cifar10.npz")
    copy_tensors(
        [torch.from_numpy(trained[name]) for name in trained], tensors_in_order(model, torch.ones(1, 3, 32, 32))
    )
    images, labels = cifar_test(data_folder)
    with torch.inference_mode():
        answers = torch.cat([model(part).argmax(1) for part in torch.split(images, 500)])
    assert int((answers == labels).sum()) == right


def cifar_test(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The test images of CIFAR-10, normalised with the mean and deviation of ImageNet, and their labels."""
    image = pytest.importorskip("PIL.Image")
    packed = np.load(folder / "cifar10" / "cifar10_test_lossless.npz")
    tiles = [
        np.asarray(image.open(io.BytesIO(packed["tiles"][start:end].tobytes())))
        for start, end in pairwise(packed["offsets"])
    ]
    images = np.concatenate(
        [t.reshape(50, 32, 50, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3) for t in tiles]
    )
    mean, deviation = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    normal = (images.astype(np.float32) / 255 - mean) / deviation
    return torch.from_numpy(normal).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(
        packed["labels"].astype(np.int64)
    )
