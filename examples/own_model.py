"""A plain torch network, trained by a plain torch loop, made smaller and handed over.

python examples/own_model.py [--out FOLDER] [--epochs N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

import netwright as nw
from netwright.tasks.kinds.digits import Digits

RECIPE = """\
name: own-model
task: digits
compress:
  bounds: {accuracy_drop: 0.03}
  fine_tune: {epochs: 3, batch_size: 64}
  passes: [{kind: structured_prune, ratio: 0.4}, quantize]
latency: {pairs: 60, seconds: 0.3, warmup_seconds: 0.1}
"""


def build() -> nn.Module:
    """The network; netwright is told its dotted path, `own_model:build`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 48, 3, stride=2, padding=1),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 10),
    )


def train(model: nn.Module, *, epochs: int) -> None:
    """Any training will do, as long as the inputs are preprocessed as the task does it."""
    data = Digits().data()
    inputs = torch.tensor(data.preprocessing(data.train.inputs))
    targets = torch.tensor(data.train.targets)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(64):
            loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def main() -> None:
    """Train, save, compress, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/example-model"))
    parser.add_argument("--epochs", type=int, default=10)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    model = build()
    train(model, epochs=chosen.epochs)
    save_file(model.state_dict(), chosen.out / "weights.safetensors")
    (chosen.out / "recipe.yaml").write_text(RECIPE, encoding="utf-8")

    run = chosen.out / "run"
    result = nw.compress_model(
        "own_model:build", weights=chosen.out / "weights.safetensors", recipe=chosen.out / "recipe.yaml", out=run
    )
    print(result["summary"])
    print("bundle:", nw.export_trial(run)["bundle"])


if __name__ == "__main__":
    main()
