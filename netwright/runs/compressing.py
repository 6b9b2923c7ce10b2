"""Compress a run's winner, or a user's own model, and record what every stage is worth."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from netwright.compression import proof
from netwright.compression.model import Model
from netwright.compression.planning import plan_passes
from netwright.compression.recipe import Recipe, RecipeResult
from netwright.core.errors import CompressionError, ConfigurationError, Mistake
from netwright.core.files import content_hash
from netwright.core.progress import Listener, say, silent
from netwright.runs.artifacts import Artifacts
from netwright.runs.own_models import built_model, is_from_collection
from netwright.runs.search import OpenRun
from netwright.runs.solving import sensitivities, solve, strategy_of
from netwright.runs.specification import RunSpecification
from netwright.runs.stages import StageMeter
from netwright.runs.winner import Winner, build_trial, choose, trained_winner, weights_of
from netwright.runs.workbench import context_of, open_workbench
from netwright.tasks.training import evaluate

logger = logging.getLogger(__name__)


def recipe_of(run: OpenRun) -> Recipe:
    """The run's own recipe; raises ConfigurationError when it has none."""
    if run.specification.compress is None:
        raise ConfigurationError(
            [Mistake("compress", "this run has no compression recipe; give one with --recipe recipe.yaml")]
        )
    return run.specification.compress


def compress(run: OpenRun, winner: Winner, *, recipe: Recipe, listener: Listener = silent) -> RecipeResult:
    """Run a recipe on a trained network, its open fields searched first. A killed recipe goes on at the pass it was in.

    Raises InfeasibleError when no setting of the open fields keeps all bounds, with every try on record.
    """
    if recipe.solve is not None:
        strategy_of(recipe)
    run.record.set_fact("state", "compressing")
    run.record.set_fact("compressed", None)
    run.record.clear_stages()
    bench = open_workbench(run, winner, recipe=recipe, listener=listener)
    result = solve(run, bench, recipe) if recipe.open else bench.run(recipe)
    if not recipe.open:
        run.record.set_fact("solver", None)
    say(listener, "measuring the latency of all stages side by side")
    _record_stages(run, result, bench.meter)
    run.record.set_fact("recipe", recipe.model_dump(mode="json"))
    goals = [{"metric": g.metric, "bound": g.bound, "value": g.value, "met": g.met} for g in result.goals]
    run.record.set_fact("goals", goals)
    run.record.set_fact("state", "compressed")
    return result


def measure_bearing(
    run: OpenRun, winner: Winner, *, recipe: Recipe, samples: int, listener: Listener = silent
) -> list[dict[str, Any]]:
    """The sensitivity of every layer group to the recipe's passes, as rows; put on the run's record."""
    bench = open_workbench(run, winner, recipe=recipe, listener=listener)
    return [row.to_json() for row in sensitivities(run, bench, recipe, samples=samples, files=True)]


def plan(
    specification: RunSpecification, module: nn.Module, *, recipe: Recipe, listener: Listener = silent
) -> list[dict[str, Any]]:
    """What every pass of a recipe would do to a network, as rows, without training and without writing anything.

    Open fields are planned at the first value of their range.
    """
    with tempfile.TemporaryDirectory(prefix="netwright-plan-") as folder:
        context = context_of(specification, module, recipe=recipe, workspace=Path(folder), listener=listener)
        return [planned.row() for planned in plan_passes(Model(module), recipe.passes, context)]


def winner_of(run: OpenRun, trial: str, *, listener: Listener = silent) -> Winner:
    """The network of a run to compress: a trial trained in full, or the model that the run was made for."""
    stored = run.record.fact("winner")
    if run.specification.space is None and stored:
        return Winner(_own_module(run, stored), stored)
    return trained_winner(run, trial, listener=listener)


def module_as_it_is(run: OpenRun, trial: str) -> nn.Module:
    """A network with the weights there are: those of the winner if it is the one, else the trial's own, else random.

    Only reads the run. Raises RunError when there is no such trial.
    """
    if run.specification.space is None and (own := run.record.fact("winner")):
        return _own_module(run, own)
    chosen, _ = choose(run, trial)
    weights, seed, _ = weights_of(run, chosen)
    module = build_trial(run.specification, chosen.decisions, seed=seed)
    return module.eval() if weights is None else Artifacts(run.folder.path).load_weights(weights, module).eval()


def _own_module(run: OpenRun, stored: Mapping[str, Any]) -> nn.Module:
    """The model that a run was made for, with the weights it came with."""
    module = built_model(stored["model"], outputs=run.specification.task.shapes().output_shape[0])
    return Artifacts(run.folder.path).load_weights(stored["weights"], module).eval()


def _record_stages(run: OpenRun, result: RecipeResult, meter: StageMeter) -> None:
    files = {s.name: run.folder.path / s.row["file"] for s in result.stages if s.row.get("file")}
    latencies = meter.measure_together(files)
    for position, stage in enumerate(result.stages):
        row = {
            **stage.row,
            **latencies.get(stage.name, {}),
            "stage": stage.name,
            "kept": stage.kept,
            "reason": stage.reason,
            "attempt": stage.attempt,
            "seconds": stage.seconds,
            "settings": dict(stage.spec),
            "notes": [note.to_json() for note in stage.notes],
        }
        run.record.put_stage(position, row)


def load_own_model(build: str, weights: Path | None, *, outputs: int | None = None) -> nn.Module:
    """A user's own trained network: `package.module:build`, `torchvision:NAME` or `timm:NAME`, and a file of weights.

    The file is of safetensors, or of `torch.save` with nothing but tensors in it. `outputs` is the number of classes
    of a network of torchvision or timm; without a file its weights are random, which a warning says: nothing is
    downloaded. Raises ConfigurationError when it cannot be built and CheckpointError when the weights do not fit.
    """
    module = built_model(build, outputs=outputs, weights=weights)
    if weights is None and is_from_collection(build):
        logger.warning("%s has random weights: give trained ones with --weights, nothing is downloaded", build)
    return module


def check_own_model(module: nn.Module, specification: RunSpecification, *, build: str) -> None:
    """Run a network on a few of the task's inputs; raises CompressionError when it does not give what the task scores.

    Nothing is written: a run folder is made only for a network that fits.
    """
    context = context_of(specification, module, recipe=Recipe(), workspace=Path())
    found = proof.outputs(module, context.example_tensor())
    if not found.isfinite().all():
        raise CompressionError(
            f"{build} gives outputs that are no finite numbers for the task's inputs: its weights are damaged, or "
            "it was trained on inputs of another scale"
        )


def own_winner(run: OpenRun, module: nn.Module, *, build: str) -> Winner:
    """A user's own network as the one to compress; recorded as the run's winner."""
    facts: Mapping[str, Any] = {
        "trial": None,
        "identity": content_hash({"model": build}),
        "rule": "a model of your own",
        "model": build,
        "decisions": {},
        "curve": [],
        "scores": dict(evaluate(module, run.specification.task, "validation")),
        "weights": Artifacts(run.folder.path).put_weights(module),
    }
    run.record.set_fact("winner", facts)
    return Winner(module, facts)
