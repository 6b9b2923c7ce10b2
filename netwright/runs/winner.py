"""From the front to one trained network: which trial is taken, and its full training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from torch import nn

from netwright.analysis.front import best_within_bounds
from netwright.core.errors import CheckpointError, RunError
from netwright.core.progress import Event, Listener, say, silent
from netwright.core.records import Decisions, Trial, TrialState
from netwright.core.text import readable
from netwright.runs.artifacts import Artifacts
from netwright.runs.racing import lost_seeds, raced, winner_checkpoint, winner_seed
from netwright.runs.reduced import helped
from netwright.runs.search import OpenRun
from netwright.runs.specification import RunSpecification
from netwright.tasks.training import FitResult, Training, evaluate, fit


@dataclass(frozen=True, slots=True)
class Winner:
    """The chosen network, trained: its module and what is recorded of it."""

    module: nn.Module
    facts: Mapping[str, Any]


def rule_of(specification: RunSpecification) -> str:
    """The rule by which the winner is chosen, as a sentence."""
    chosen = specification.chosen_by
    bounds = [
        f"{o.metric} {'at least' if o.direction == 'maximize' else 'at most'} {readable(o.bound)}"
        for o in specification.limits
        if o.bound is not None
    ]
    best = "highest" if chosen.direction == "maximize" else "lowest"
    within = f" with {' and '.join(bounds)}" if bounds else ""
    return f"the {best} {chosen.metric} on the front{within}"


def choose(run: OpenRun, name: str) -> tuple[Trial, str]:
    """The trial of that number, or the best one by the run's rule; with a sentence that says why.

    Raises RunError when there is no such trial, or none that can be trained.
    """
    if run.specification.space is None and run.record.fact("winner") is None:
        again = f"give `netwright compress --model` with its recipe and `--out {run.folder.path}` again"
        raise RunError(f"{run.folder.path} was cut short before its network was recorded; {again}")
    trials = run.record.all_trials()
    if name != "best":
        if not name.isdecimal() or int(name) >= len(trials):
            raise RunError(f"{run.folder.path} has no trial {name!r}; give a number below {len(trials)}, or `best`")
        trial = trials[int(name)]
        if trial.state is TrialState.INFEASIBLE and not trial.measurements:
            raise RunError(f"trial {name} makes no network: {trial.reason}")
        return trial, "chosen by its number"
    race = run.record.fact("race")
    if race is not None and run.specification.winner.seeds > 1:
        lost = f", {len(lost)} of which failed" if (lost := lost_seeds(race)) else ""
        return trials[race["winner"]], f"{rule_of(run.specification)}, by the mean over {race['seeds']} seeds{lost}"
    best = best_within_bounds(trials, run.specification.objectives, metric=run.specification.chosen_by.metric)
    if best is None:
        raise RunError(
            f"{run.folder.path} has no finished trial within the bounds, so there is none to take; "
            "search on with --resume and more trials, or name one with --trial"
        )
    return best, rule_of(run.specification)


def build_trial(specification: RunSpecification, decisions: Decisions, *, seed: int) -> nn.Module:
    """The untrained network of some decisions."""
    return specification.searched.build(decisions, specification.task.shapes(), seed=seed)


def weights_of(run: OpenRun, trial: Trial) -> tuple[str | None, int, bool]:
    """The stored weights of a trial, the seed of their training, and whether that was the winner's, in full."""
    winner = run.record.fact("winner")
    if winner is not None and winner["trial"] == trial.number:
        return winner["weights"], winner["seed"], True
    return trial.artifacts.get("weights"), trial.seed, False


def trained_winner(run: OpenRun, name: str, *, listener: Listener = silent) -> Winner:
    """The chosen trial trained in full; weights that were trained before, by the same settings, are taken up.

    An interrupted training goes on from its last epoch. With `winner.seeds` the front is raced first; the network is
    that of the first seed whose training did not fail.
    """
    specification = run.specification
    race = raced(run, listener=listener) if name == "best" and specification.winner.seeds > 1 else None
    trial, rule = choose(run, name)
    repeat = 0 if race is None else next(n for n in count() if n not in lost_seeds(race))
    seed = winner_seed(specification, trial.identity, repeat)
    module = build_trial(specification, trial.decisions, seed=seed)
    artifacts = Artifacts(run.folder.path)
    training = specification.winner.training
    stored = run.record.fact("winner")
    if stored and stored["identity"] == trial.identity and Training.parse(stored["training"]) == training:
        try:
            return Winner(artifacts.load_weights(stored["weights"], module).eval(), stored)
        except CheckpointError:
            say(listener, "the stored weights of the winner are lost or damaged; they are made anew")
    length = training.told(len(specification.task.data().train))
    say(listener, f"trial {trial.number} is the winner: {rule}; training it in full: {length}")
    result = _fitted(run, module, trial, repeat=repeat, listener=listener)
    facts = {
        "trial": trial.number,
        "identity": trial.identity,
        "rule": rule,
        "decisions": dict(trial.decisions),
        "training": training.model_dump(mode="json"),
        "seed": seed,
        "curve": [dict(row) for row in result.rows],
        "scores": evaluate(module, specification.task, "validation"),
        "weights": artifacts.put_weights(module),
        "seconds": result.seconds,
        **({"race": race} if race is not None else {}),
    }
    run.record.set_fact("winner", facts)
    return Winner(module.eval(), facts)


def _fitted(run: OpenRun, module: nn.Module, trial: Trial, *, repeat: int, listener: Listener) -> FitResult:
    specification = run.specification
    told = {"epochs": specification.winner.training.epochs, "score": specification.task.primary().metric}

    def on_epoch(row: Mapping[str, Any]) -> bool:
        listener(Event("winner.epoch", {**row, **told}))
        return True

    training = specification.winner.training
    seed = winner_seed(specification, trial.identity, repeat)
    return fit(
        module,
        specification.task,
        training=training,
        seed=seed,
        on_epoch=on_epoch,
        auxiliary=helped(specification, trial.decisions, module, training=training, seed=seed),
        checkpoint=winner_checkpoint(run, trial.identity, repeat),
        device=specification.training_device(),
    )
