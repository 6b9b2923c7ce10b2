"""A trial of a run as a trained network, for passes that learn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netwright.core.errors import CompressionError
from netwright.runs.artifacts import Artifacts
from netwright.runs.winner import build_trial, weights_of

if TYPE_CHECKING:
    from torch import nn

    from netwright.runs.search import OpenRun


def trained_trial(run: OpenRun, number: int) -> nn.Module:
    """The network of a trial with its stored weights: those of its full training if it is the winner's.

    Raises CompressionError when there is no such trial or no weights of it.
    """
    trials = run.record.all_trials()
    if not 0 <= number < len(trials):
        raise CompressionError(f"the run has no trial {number}; give a number below {len(trials)}")
    weights, seed, _ = weights_of(run, trials[number])
    if weights is None:
        kept = [one.number for one in trials if "weights" in one.artifacts]
        raise CompressionError(f"trial {number} has no weights to learn from; trials with weights: {kept}")
    module = build_trial(run.specification, trials[number].decisions, seed=seed)
    return Artifacts(run.folder.path).load_weights(weights, module).eval()
