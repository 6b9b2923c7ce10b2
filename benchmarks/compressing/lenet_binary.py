"""LeNet-5 on MNIST with binary and ternary weights, stored in 2 bits and entropy-coded.

The network is trained here first, for 3 epochs on all training images, as is each of the trained ways;
`NETWRIGHT_LONG=1` takes 10 epochs instead. Accuracy is that of the files with integer weights, on all 10,000 test
images.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from compressing._stored import row
from compressing.int8_error import Mnist, lenet_5
from netwright.compression.context import Context, make_context
from netwright.compression.model import Model
from netwright.compression.passes.binarize import Binarize
from netwright.compression.passes.quantize_weights import QuantizeWeights
from netwright.tasks.settings import Training
from netwright.tasks.training import fit

EPOCHS = 10 if os.environ.get("NETWRIGHT_LONG") == "1" else 3


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row; `stages` are the ways of storing the network."""
    task = Mnist(samples=60000)
    training = Training(epochs=EPOCHS, learning_rate=2e-3)
    torch.manual_seed(0)
    net = lenet_5()
    fit(net, task, training=training, seed=0, checkpoint=folder / f"trained-{EPOCHS}.safetensors")
    context = make_context(task, net.eval(), workspace=folder, training=training)
    model, edges = Model(net), ("0", "7")
    ways = {
        "ternary, rounded": _stored(Binarize(values="ternary", epochs=0).apply(model, context), context, edges),
        "ternary, trained": _stored(Binarize(values="ternary").apply(model, context), context, edges),
        "ternary, two sizes, trained": _stored(
            Binarize(values="ternary", two_sided=True).apply(model, context), context, edges
        ),
        "binary, rounded": _stored(Binarize(epochs=0).apply(model, context), context, edges),
        "binary, trained": _stored(Binarize().apply(model, context), context, edges),
        "binary, trained, first and last layer too": _stored(Binarize(edges=True).apply(model, context), context, ()),
    }
    return [row("LeNet-5, MNIST", model, ways, context)]


def _stored(model: Model, context: Context, edges: tuple[str, ...]) -> Model:
    return QuantizeWeights(bits=2, exclude=edges).apply(model, context)
