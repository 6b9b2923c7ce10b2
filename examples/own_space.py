"""A search space of your own, in this file, and a search of it.

python examples/own_space.py [--out FOLDER] [--trials N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import netwright as nw
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear


class Perceptron(nw.SearchSpace):
    """Fully connected networks: how many layers, how wide each, and with or without normalisation."""

    widths: tuple[int, ...] = (16, 32, 64)

    def decide(self, choose: Chooser) -> tuple[list[int], bool]:
        depth = choose.integer("depth", 1, 3)
        return [int(choose.one_of(f"width{i + 1}", self.widths)) for i in range(depth)], choose.boolean("normalise")

    def lower(self, plan: tuple[list[int], bool], net: GraphBuilder, shapes: Shapes) -> Tensor:
        widths, normalise = plan
        x = net.add(Flatten(), net.input)
        for width in widths:
            x = net.chain(x, Linear(features=width), *([BatchNorm()] if normalise else []), Activation())
        return net.add(Linear(features=shapes.output), x)


def main() -> None:
    """Search the space above by two objectives and print the front."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/example-space"))
    parser.add_argument("--trials", type=int, default=8)
    chosen = parser.parse_args()
    recipe = {
        "name": "own-space",
        "task": "digits",
        # By its dotted path, so that worker processes and later readers of the run find it too.
        "space": {"kind": "own_space:Perceptron", "widths": [16, 32, 64, 96]},
        "objectives": ["accuracy", "params"],
        "search": {
            "trials": chosen.trials,
            "strategy": "random_search",
            "executor": {"kind": "processes", "workers": 1},
            "training": {"epochs": 3, "batch_size": 64, "learning_rate": 0.01},
        },
    }
    run = nw.search(recipe, out=chosen.out)
    print(f"the space has {Perceptron().size()} sets of decisions; {run.counts['done']} of {run.asked} trials are done")
    from netwright.analysis.front import pareto_front

    for trial in pareto_front(run.trials, run.objectives):
        print(f"{trial.value('accuracy'):.4f} with {trial.value('params'):,.0f} parameters: {dict(trial.decisions)}")


if __name__ == "__main__":
    main()
