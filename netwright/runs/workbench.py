"""Where recipes are run on one network: its context, meter and store of finished stages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from netwright.compression.context import Context, make_context
from netwright.compression.model import Model
from netwright.compression.recipe import Recipe, RecipeResult, run_recipe
from netwright.compression.store import FolderStore
from netwright.core.files import content_hash
from netwright.core.progress import Listener, silent
from netwright.core.seeds import derive_seed
from netwright.evaluation.machine import this_machine
from netwright.runs.search import OpenRun
from netwright.runs.specification import RunSpecification
from netwright.runs.stages import StageMeter
from netwright.runs.teachers import trained_trial
from netwright.runs.winner import Winner


@dataclass(frozen=True, slots=True)
class Workbench:
    """One network and all that recipes on it share; finished stages are read from the store, whoever made them."""

    model: Model
    context: Context
    meter: StageMeter
    store: FolderStore
    salt: str

    def run(self, recipe: Recipe, *, stop_at_break: bool = False, baseline_ms: float | None = None) -> RecipeResult:
        """Run a recipe; latencies are told relative to `baseline_ms`, the input's own, where it is known."""
        first = next(iter(self.meter.files))
        meter = dataclasses.replace(
            self.meter, files={first: self.meter.files[first]}, baseline_ms=baseline_ms or self.meter.baseline_ms
        )
        return run_recipe(
            self.model,
            recipe,
            self.context,
            meter.measure,
            store=self.store,
            salt=self.salt,
            stop_at_break=stop_at_break,
        )


def open_workbench(run: OpenRun, winner: Winner, *, recipe: Recipe, listener: Listener = silent) -> Workbench:
    """The workbench of a run's winner; its export, what all latencies are compared with, is made at once."""
    meter = StageMeter(run.specification.task, run.folder.path / "models", run.specification.latency)
    model = Model(winner.module)
    meter.begin(model)
    workspace = run.folder.scratch / "compress"
    context = context_of(run.specification, winner.module, recipe=recipe, workspace=workspace, listener=listener)
    context = dataclasses.replace(context, trial=partial(trained_trial, run))
    return Workbench(model, context, meter, FolderStore(run.folder.scratch / "stages"), salt_of(run))


def context_of(
    specification: RunSpecification,
    module: nn.Module,
    *,
    recipe: Recipe,
    workspace: Path,
    listener: Listener = silent,
) -> Context:
    """What the passes of a recipe may use in a run."""
    context = make_context(
        specification.task,
        module,
        workspace=workspace,
        training=recipe.fine_tune,
        distillation=recipe.distillation,
        seed=derive_seed(specification.seed, "compress"),
        listener=listener,
    )
    return dataclasses.replace(context, device=specification.training_device())


def salt_of(run: OpenRun) -> str:
    """What stages depend on beside the recipe: the latency protocol, this machine's CPU, and the threads."""
    return content_hash(
        {
            "latency": run.specification.latency.model_dump(mode="json"),
            "machine": dataclasses.asdict(this_machine()),
            "threads": torch.get_num_threads(),
            "device": run.specification.training_device(),
        }
    )
