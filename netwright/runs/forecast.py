"""What a try of the budget solver would cost, known before it is trained: its passes are planned, its file is timed."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netwright.compression.judging import StageRow
from netwright.compression.model import Model
from netwright.compression.planning import FIGURES, Planned, planned_model
from netwright.compression.recipe import Recipe
from netwright.core.errors import ExportError
from netwright.core.progress import silent
from netwright.core.records import Objective
from netwright.runs.tries import Try
from netwright.runs.workbench import Workbench

LATENCY = "latency_ms"
BYTES = ("size_bytes", "coded_bytes")


@dataclass(frozen=True, slots=True)
class Forecast:
    """Costs of a recipe's result by name, and of what was timed the ends of its 95 % interval."""

    figures: Mapping[str, float] = field(default_factory=dict)
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def forecast(
    bench: Workbench, recipe: Recipe, first: StageRow, *, broken: Callable[[Forecast], Sequence[Objective]]
) -> Forecast:
    """The costs that a recipe's bounds ask for, without its training; `first` is the row of the input.

    What is counted is set right by what the input's own file measured. The latency is that of the exported file
    beside the input's; it is absent where that is NOISY or no file can be made, and not timed where bounds are
    `broken` by what is counted.
    """
    goals = recipe.bounds.goals()
    if not goals:
        return Forecast()
    context = dataclasses.replace(bench.context, listener=silent)
    with planned_model(bench.model, recipe.passes, context) as (plan, made):
        counted = Forecast(_counted(plan, recipe, first))
        if LATENCY not in goals or broken(counted):
            return counted
        timed = _latency(bench, made, first)
    if timed is None:
        return counted
    value, low, high = timed
    return Forecast({**counted.figures, LATENCY: value}, {LATENCY: (low, high)})


def _counted(plan: Sequence[Planned], recipe: Recipe, first: StageRow) -> dict[str, float]:
    start, end = plan[0].figures, plan[-1].figures
    done = zip(recipe.passes, plan[1:], strict=True)
    in_file = any(one.stage == "file" and not planned.reason for one, planned in done)
    figures: dict[str, float] = {}
    for name in FIGURES:
        value, own, was = end.get(name), first.get(name), start.get(name)
        if value is None or own is None or not was or (name == "coded_bytes" and not in_file):
            continue  # coded bytes of a module are too rough an estimate to end a try by
        figures[name] = float(value if in_file else value + own - was if name in BYTES else value * own / was)
    return figures


def beyond(found: Forecast, objectives: Sequence[Objective], *, margin: float, tries: Sequence[Try]) -> list[Objective]:
    """The objectives whose bounds a forecast breaks for certain: by more than the margin and its own error.

    The error is the interval of what was timed, and how much less than predicted any of the `tries` came to.
    """
    broken = []
    for one in objectives:
        value = found.figures.get(one.metric)
        if value is None or one.bound is None:
            continue
        least = found.ends.get(one.metric, (value,))[0] * min([1.0, *_shares(one.metric, tries)])
        if least > one.bound * (1 + margin):
            broken.append(one)
    return broken


def _shares(metric: str, tries: Sequence[Try]) -> list[float]:
    """What tries with all of their passes measured, as shares of what was predicted of them."""
    whole = [one for one in tries if one.figures and len(one.stages) == len(one.passes)]
    return [
        one.figures[metric] / one.predicted[metric]
        for one in whole
        if metric in one.figures and one.predicted.get(metric)
    ]


def _latency(bench: Workbench, model: Model, first: StageRow) -> tuple[float, float, float] | None:
    """The latency of a model's file in ms with the ends of its interval; None where there is no result."""
    with tempfile.TemporaryDirectory(prefix="netwright-forecast-") as folder:
        try:
            original, found = bench.meter.screen(model, Path(folder))
        except ExportError:
            return None
    if found.noisy or not (found.speedup and found.speedup_low and found.speedup_high):
        return None
    base = first.get(LATENCY) or original.value_ms
    blur = 1 + (found.resolution or 0.0)
    return base / found.speedup, base / found.speedup_high / blur, base / found.speedup_low * blur
