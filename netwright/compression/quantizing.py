"""Which layers stay in float: those whose 8 bits cost the score most, until a bound holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.export.quantization import QuantizationResult
    from netwright.export.quantization_static import StaticQuantizer


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What 8 bits in one layer alone cost: how much worse the score gets, and the relative error of the outputs."""

    layer: str
    drop: float
    error: float


def score_of(path: Path, context: Context, *, samples: int) -> float:
    """The task's own score of a file, turned so that lower is better, on the first samples of the validation split."""
    from netwright.export.onnx_runtime import Session
    from netwright.export.scoring import score_file

    split = context.task.data().validation
    some = split.take(np.arange(min(samples, len(split))))
    primary = context.task.primary()
    return primary.loss(score_file(Session(path), context.task, some)[primary.metric])


def sensitivities(
    quantizer: StaticQuantizer, layers: Sequence[str], score: Callable[[Path], float]
) -> list[Sensitivity]:
    """Each layer quantized alone, the worst first; `score` is better when lower."""
    start = score(quantizer.path)
    found = []
    for layer in layers:
        path = quantizer.folder / "alone.onnx"
        result = quantizer.write(path, exclude=[other for other in layers if other != layer])
        found.append(Sensitivity(layer, score(path) - start, result.relative_error or 0.0))
    return sorted(found, key=lambda one: (one.drop, one.error), reverse=True)


def within_drop(
    quantizer: StaticQuantizer,
    target: Path,
    *,
    exclude: Sequence[str],
    max_drop: float,
    score: Callable[[Path], float],
) -> tuple[QuantizationResult, list[Sensitivity], list[str]]:
    """The copy with the fewest layers in float, worst first, whose score is at most `max_drop` worse.

    Gives what was written, the sensitivities (none when no layer had to be left) and the layers left in float. When
    no choice holds the bound, the last one, with one layer quantized, is what there is.
    """
    start = score(quantizer.path)
    result = quantizer.write(target, exclude=exclude)
    if score(target) - start <= max_drop + 1e-9:
        return result, [], []
    whole = {one.layer for one in result.layers if one.int8}
    ranked = sensitivities(quantizer, [name for name in quantizer.layers() if name in whole], score)
    left: list[str] = []
    for one in ranked[:-1]:
        left.append(one.layer)
        result = quantizer.write(target, exclude=[*exclude, *left])
        if score(target) - start <= max_drop + 1e-9:
            break
    return result, ranked, left
