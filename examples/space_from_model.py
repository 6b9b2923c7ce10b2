"""A trained network becomes a search space; a search finds smaller ones that begin with its weights.

python examples/space_from_model.py [--out FOLDER] [--epochs N] [--trials N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

import netwright as nw
from netwright.analysis.front import pareto_front
from netwright.search_spaces.from_model import space_from_model
from netwright.tasks.kinds.digits import Digits
from netwright.tasks.training import evaluate


class Residual(nn.Module):
    """A residual block, written as anywhere else."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


def build() -> nn.Module:
    """The network; nothing in it knows of netwright."""
    stem = [nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(
        *stem, Residual(32), Residual(32), nn.MaxPool2d(2), Residual(32), nn.Flatten(), nn.Linear(512, 10)
    )


def train(model: nn.Module, *, epochs: int) -> None:
    """Any training will do, as long as the inputs are preprocessed as the task does it."""
    data = Digits().data()
    inputs = torch.tensor(data.preprocessing(data.train.inputs))
    targets = torch.tensor(data.train.targets)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(64):
            loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def main() -> None:
    """Train, make the space, search it with a short training of each architecture, print the front."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/example-space-from-model"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--trials", type=int, default=8)
    chosen = parser.parse_args()

    torch.manual_seed(0)
    model = build()
    train(model, epochs=chosen.epochs)

    # the network and its weights as files: what the search needs, and all that it needs
    example = torch.tensor(Digits().data().validation.inputs[:4], dtype=torch.float32)
    space = space_from_model(model, example).save(chosen.out / "space")
    whole = evaluate(model, Digits(), "validation")["accuracy"]
    print(f"{len(space.groups)} groups of channels, {len(space.runs)} runs of residual blocks; {space.size()} sets")
    print(f"{whole:.4f} with {sum(p.numel() for p in model.parameters()):,} parameters: the whole network")

    recipe = {
        "name": "space-from-model",
        "task": "digits",
        "space": space.model_dump(mode="json"),
        "objectives": ["accuracy", "params"],
        "search": {
            "trials": chosen.trials,
            "strategy": "random_search",
            "executor": "inline",
            "training": {"epochs": 1, "batch_size": 64, "learning_rate": 0.002},
        },
    }
    run = nw.search(recipe, out=chosen.out / "run")
    for trial in pareto_front(run.trials, run.objectives):
        print(f"{trial.value('accuracy'):.4f} with {trial.value('params'):,.0f} parameters: {dict(trial.decisions)}")


if __name__ == "__main__":
    main()
