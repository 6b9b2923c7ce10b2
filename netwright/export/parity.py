"""Proof that an exported model computes what the original does, at several batch sizes and lengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.core.errors import ParityError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far two models' outputs are apart on the same inputs.

    Differences are absolute, `scale` is the largest absolute output of the original, `agreement` the share of
    samples with the same highest output, or of what else is an answer; None where outputs are no classes. Accuracies
    are shares from 0 to 1, given when targets are known. `score` names what else both were judged by, with both values.
    `by_shape` has the largest difference at each batch size and length, by its name.
    """

    max_difference: float
    mean_difference: float
    scale: float
    agreement: float | None
    n: int
    batch_sizes: tuple[int, ...]
    lengths: tuple[int, ...] = ()
    tolerance: float | None = None
    accuracy_original: float | None = None
    accuracy_exported: float | None = None
    score: str = ""
    score_original: float | None = None
    score_exported: float | None = None
    by_shape: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The proof as it is stored."""
        return dataclasses.asdict(self)


def same_highest(outputs: np.ndarray, others: np.ndarray) -> float:
    """The share of samples whose highest output is the same one."""
    return float((_best(outputs) == _best(others)).mean())


def check_parity(
    session: Callable[[np.ndarray], np.ndarray],
    model: nn.Module,
    inputs: np.ndarray,
    *,
    targets: np.ndarray | None = None,
    tolerance: float | None = 1e-4,
    sizes: Sequence[int] = (1, 2, 7),
    lengths: Sequence[int] = (),
    same: Callable[[np.ndarray, np.ndarray], float | None] = same_highest,
    score: tuple[str, Callable[[np.ndarray], float]] | None = None,
) -> Parity:
    """Compare an exported model with the original on preprocessed float32 inputs [n, *shape].

    Every batch size in `sizes`, and for sequences [n, time, ...] every `lengths` of the time axis, is tried too.
    `tolerance` bounds the largest difference, relative to the largest output where that is above 1; None
    reports without judging, as for int8. `same` gives the share of equal answers of two outputs; `score` is a name
    and what gives the score of outputs, instead of the accuracy. Where the network takes signs, as after `binarize`,
    rounding can turn one that is next to zero, with all that follows: the median sample is then judged, by a hundred
    times the tolerance. Raises ParityError beyond the tolerance, or when outputs are not finite.
    """
    from netwright.tasks.prediction import predict

    if len(inputs) == 0:
        raise ParityError("parity needs at least one input, came none")
    exported = _in_batches(session, inputs)
    original = predict(model, inputs)
    _require_shape(exported, original, "")
    rows, mean = _differences(exported, original)
    scale = float(np.abs(original).max())
    batches = {f"batch size {size}": np.resize(inputs, (size, *inputs.shape[1:])) for size in sizes}
    batches |= {f"length {length}": np.resize(inputs[:2], (2, length, *inputs.shape[2:])) for length in lengths}
    shaped = {name: _one(session, model, batch, name) for name, batch in batches.items()}
    by_shape = {name: float(found.max()) for name, found in shaped.items()}
    rows = np.concatenate([rows, *shaped.values()])
    worst = float(rows.max())
    if not np.isfinite(worst):
        raise ParityError("the outputs are not finite: they cannot be compared")
    signs = _takes_signs(model)
    apart, allowed = (float(np.median(rows)), 100 * max(1.0, scale)) if signs else (worst, max(1.0, scale))
    if tolerance is not None and apart > tolerance * allowed:
        raise ParityError(
            f"the exported model differs from the original by {apart:.3g} {'in the median' if signs else 'at most'} "
            f"(allowed: {tolerance * allowed:.3g}, largest output {scale:.3g})"
        )
    known = targets is not None and score is None
    name, judged = score or ("", None)
    return Parity(
        max_difference=worst,
        mean_difference=mean,
        scale=scale,
        agreement=same(exported, original),
        n=len(inputs),
        batch_sizes=tuple(sizes),
        lengths=tuple(lengths),
        tolerance=tolerance,
        accuracy_original=float((_best(original) == targets).mean()) if known else None,
        accuracy_exported=float((_best(exported) == targets).mean()) if known else None,
        score=name,
        score_original=judged(original) if judged else None,
        score_exported=judged(exported) if judged else None,
        by_shape=by_shape,
    )


def _takes_signs(model: nn.Module) -> bool:
    """Whether a traced part of a network calls torch.sign."""
    import torch
    from torch import fx

    graphs = (layer.graph for layer in model.modules() if isinstance(layer, fx.GraphModule))
    return any(node.target is torch.sign for graph in graphs for node in graph.nodes)


def _in_batches(session: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray) -> np.ndarray:
    return np.concatenate([session(inputs[start : start + 256]) for start in range(0, len(inputs), 256)])


def _one(session: Callable[[np.ndarray], np.ndarray], model: nn.Module, batch: np.ndarray, what: str) -> np.ndarray:
    from netwright.tasks.prediction import predict

    exported, original = session(batch), predict(model, batch)
    _require_shape(exported, original, f" at {what}")
    return _differences(exported, original)[0]


def _require_shape(exported: np.ndarray, original: np.ndarray, where: str) -> None:
    if exported.shape != original.shape:
        raise ParityError(
            f"the exported model's output{where} has the shape {exported.shape}, the original's {original.shape}"
        )


def _differences(exported: np.ndarray, original: np.ndarray) -> tuple[np.ndarray, float]:
    """The largest difference of each sample [n], infinite where one is not finite, and the mean of all."""
    difference = np.abs(exported.astype(np.float64) - original)
    rows = difference.reshape(len(difference), -1).max(axis=1)
    return np.where(np.isfinite(rows), rows, np.inf), float(difference.mean())


def _best(outputs: np.ndarray) -> np.ndarray:
    return np.asarray(outputs.reshape(len(outputs), -1).argmax(axis=1))
