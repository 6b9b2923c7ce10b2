"""What n_m_prune, fine_tune, distill and fold do to one network for clothes.

Accuracy is that on all 2,000 test images; what is trained with chance is the mean of three seeds, with the least and
the most of them. `coded_bytes` is the exported file as a lossless archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from compressing._clothes import accuracy, trained
from netwright.compression.compression_pass import Pass
from netwright.compression.context import Context
from netwright.compression.model import Model
from netwright.compression.passes.entropy_code import EntropyCode
from netwright.compression.passes.structured_prune import StructuredPrune
from netwright.core.plugins import build
from netwright.evaluation.profile import profile
from netwright.tasks.settings import Training

SEEDS = range(3)
SHARE = 0.15
"""Of the multiply-accumulates, what pruning leaves for training to mend."""
PATTERNS = ((2, 4), (1, 4), (4, 8))
TRAININGS: Mapping[str, Mapping[str, Any]] = {
    "fine_tune, classes alone": {"kind": "fine_tune", "distill": False},
    "fine_tune": {"kind": "fine_tune"},
    "distill, hints": {"kind": "distill", "features": "hints"},
    "distill, attention": {"kind": "distill", "features": "attention"},
}


def measure(folder: Path) -> list[dict[str, Any]]:
    """A row for each of: patterns of zeros, trainings of a pruned network, folding."""
    net, context = trained(folder, fine_tune=Training(epochs=3, learning_rate=1e-3))
    whole = Model(net)
    first = _stage("whole", [whole], context)

    patterns = [first]
    for n, m in PATTERNS:
        one = {"kind": "n_m_prune", "n": n, "m": m}
        patterns.append(
            _stage(f"{n} of {m}, no training", [_pass(one).apply(whole, context.without_training())], context)
        )
        patterns.append(_stage(f"{n} of {m}", _seeds(one, whole, context), context))

    pruned = StructuredPrune(macs=SHARE, round_to=4).apply(whole, context.without_training())
    mended = [_stage("pruned", [pruned], context)]
    mended += [_stage(name, _seeds(one, pruned, context), context) for name, one in TRAININGS.items()]

    folded = [first, _stage("folded", [_pass({"kind": "fold"}).apply(whole, context)], context)]
    return [
        {"name": "n_m_prune", "stages": patterns},
        {"name": f"pruned to {SHARE:.0%} of the MACs, then", "stages": mended},
        {"name": "fold", "stages": folded},
    ]


def _pass(settings: Mapping[str, Any]) -> Pass:
    made = build("pass", dict(settings))
    assert isinstance(made, Pass)
    return made


def _seeds(settings: Mapping[str, Any], model: Model, context: Context) -> list[Model]:
    return [_pass(settings).apply(model, replace(context, seed=seed)) for seed in SEEDS]


def _stage(name: str, models: list[Model], context: Context) -> dict[str, Any]:
    scores = [accuracy(model.module, context) for model in models]
    cost = profile(models[0].module, context.example_tensor())
    coded = EntropyCode().apply(models[0], context)
    assert coded.archive is not None
    return {
        "stage": name,
        "accuracy": mean(scores),
        "least": min(scores),
        "most": max(scores),
        "params": cost.params,
        "macs": cost.macs,
        "coded_bytes": coded.archive.stat().st_size,
    }
