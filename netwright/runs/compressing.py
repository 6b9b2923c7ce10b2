"""Compress a run's winner, or a user's own model, and record what every stage is worth."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.recipe import Recipe, RecipeResult, run_recipe
from netwright.compression.store import FolderStore
from netwright.core.errors import CompressionError, ConfigurationError, Mistake
from netwright.core.files import content_hash
from netwright.core.progress import Event, Listener, silent
from netwright.core.seeds import derive_seed
from netwright.runs.artifacts import Artifacts, load_state
from netwright.runs.own_models import built_model, is_from_collection, read_state
from netwright.runs.search import OpenRun
from netwright.runs.stages import StageMeter
from netwright.runs.winner import Winner
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
    """Run a recipe on a trained network. A killed recipe goes on at the pass it was in."""
    specification = run.specification
    task = specification.task
    run.record.set_fact("state", "compressing")
    run.record.clear_stages()
    meter = StageMeter(task, run.folder.path / "models", specification.latency)
    context = make_context(
        task,
        winner.module,
        workspace=run.folder.scratch / "compress",
        training=recipe.fine_tune,
        distillation=recipe.distillation,
        seed=derive_seed(specification.seed, "compress"),
        listener=listener,
    )
    context = dataclasses.replace(context, device=specification.training_device())
    salt = content_hash({"latency": specification.latency.model_dump(mode="json"), "folder": str(meter.folder)})
    store = FolderStore(run.folder.scratch / "stages")
    meter.begin(Model(winner.module))
    result = run_recipe(Model(winner.module), recipe, context, meter.measure, store=store, salt=salt)
    listener(Event("step", {"text": "measuring the latency of all stages side by side"}))
    _record_stages(run, result, meter)
    run.record.set_fact("recipe", recipe.model_dump(mode="json"))
    goals = [{"metric": g.metric, "bound": g.bound, "value": g.value, "met": g.met} for g in result.goals]
    run.record.set_fact("goals", goals)
    run.record.set_fact("state", "compressed")
    return result


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
    module = built_model(build, outputs=outputs)
    if weights is not None:
        load_state(module, read_state(weights), source=str(weights))
    elif is_from_collection(build):
        logger.warning("%s has random weights: give trained ones with --weights, nothing is downloaded", build)
    return module.eval()


def own_winner(run: OpenRun, module: nn.Module, *, build: str) -> Winner:
    """A user's own network as the one to compress; recorded as the run's winner."""
    facts: Mapping[str, Any] = {
        "trial": None,
        "identity": content_hash({"model": build}),
        "rule": "a model of your own",
        "model": build,
        "decisions": {},
        "curve": [],
        "scores": _scores(run, module, build),
        "weights": Artifacts(run.folder.path).put_weights(module),
    }
    run.record.set_fact("winner", facts)
    return Winner(module, facts)


def _scores(run: OpenRun, module: nn.Module, build: str) -> dict[str, float]:
    shapes = run.specification.task.shapes()
    try:
        return dict(evaluate(module, run.specification.task, "validation"))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CompressionError(f"{build} does not run on the task's inputs of shape {shapes.input}: {text}") from error
