"""ResNet-20 on CIFAR-10 with weights of 4 bits: rounded as published, and after a short training that rounds.

Nothing is trained but what the row says: one epoch over 5,000 training images, taught by the network as published. The
control of what is trained in 4 bits is the same training in float, rounded to the same 4 bits afterwards. Accuracy is
that of the files, on all 10,000 test images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compressing._resnet import Cifar10, pretrained
from compressing._stored import row
from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.passes.fine_tune import FineTune
from netwright.compression.passes.quantize import Quantize
from netwright.compression.passes.quantize_aware import QuantizeAware
from netwright.compression.passes.quantize_weights import QuantizeWeights
from netwright.tasks.settings import Training

IMAGES = 5000


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row; `stages` are the ways of storing the network."""
    task = Cifar10(samples=IMAGES, calibration_samples=256, flip=True, shift=4)
    training = Training(epochs=1, learning_rate=5e-4, batch_size=64)
    net = pretrained(20)
    context = make_context(task, net, workspace=folder, training=training)
    model, edges = Model(net), ("conv1", "linear")
    trained = QuantizeAware(bits=4).apply(model, context)
    control = FineTune().apply(model, context)
    ways = {
        "4 bits, rounded": QuantizeWeights(bits=4).apply(model, context),
        "4 bits, rounded, first and last layer in float": QuantizeWeights(bits=4, exclude=edges).apply(model, context),
        "4 bits, trained in float and then rounded, first and last layer in float": QuantizeWeights(
            bits=4, exclude=edges
        ).apply(control, context),
        "4 bits, trained in 4 bits, first and last layer in float": QuantizeWeights(bits=4, exclude=edges).apply(
            trained, context
        ),
        "4 bits, rounded, then quantize": Quantize().apply(
            QuantizeAware(bits=4, epochs=0).apply(model, context), context
        ),
        "4 bits, trained in 4 bits, then quantize": Quantize().apply(trained, context),
    }
    return [row("ResNet-20, CIFAR-10", model, ways, context)]
