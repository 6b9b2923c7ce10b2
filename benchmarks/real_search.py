"""The two arms of `search_real.py`: searches in two processes that note when they had which network."""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from netwright.analysis.front import volume
from netwright.core.progress import Event
from netwright.core.records import TrialState
from netwright.core.seeds import derive_seed
from netwright.nas.benchmarking.peers.optuna import Suggesting
from netwright.nas.parameters import Range
from netwright.runs.reading import reading
from netwright.runs.search import create_run, search
from netwright.runs.specification import RunSpecification

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Point:
    """A network that was trained in full: when its result came, and the epochs all had been trained for by then."""

    at_s: float
    epochs: int
    accuracy: float
    params: float


@dataclass(frozen=True, slots=True)
class Budget:
    """When an arm ends; what is in training then is given up."""

    seconds: float
    epochs: int | None

    def spent(self, seconds: float, epochs: int) -> bool:
        return seconds >= self.seconds or (self.epochs is not None and epochs >= self.epochs)


@dataclass(slots=True)
class Arm:
    """What a search found, in the order in which results came, and the epochs it trained in all."""

    points: list[Point] = field(default_factory=list)
    epochs: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "points": [asdict(point) for point in self.points]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """Hypervolume beyond an accuracy and below a number of parameters, of which the logarithm may be taken."""

    floor: float
    params: float
    logarithmic: bool = False

    def of(self, points: Sequence[Point]) -> float:
        """Accuracy times the share of the parameters saved, or times decades of them; 0 without points."""
        losses = np.array([(-point.accuracy, self._size(point.params)) for point in points]).reshape(-1, 2)
        return volume(losses, [-self.floor, self._size(self.params)])

    def first(self, points: Sequence[Point], goal: float) -> Point | None:
        """The point with which a hypervolume was reached; None when it never was."""
        return next((p for place, p in enumerate(points) if self.of(points[: place + 1]) >= goal - 1e-12), None)

    def _size(self, params: float) -> float:
        return math.log10(params) if self.logarithmic else params / self.params


class _OverError(Exception):
    """The arm's budget is spent, or it has what it was to find."""


def our_arm(spec: RunSpecification, *, budget: Budget, folder: Path, enough: Callable[[Sequence[Point]], bool]) -> Arm:
    """A run of netwright, watched from its events; everything from the making of its folder on is counted."""
    arm, began = Arm(), time.monotonic()

    def listen(event: Event) -> None:
        seconds = time.monotonic() - began
        if event.name == "search.epoch":
            arm.epochs += 1
        if event.name == "search.trial" and event.facts["state"] == TrialState.DONE:
            with reading(folder) as run:
                trial = next(t for t in run.record.all_trials() if t.number == event.facts["trial"])
            accuracy, params = trial.value("accuracy"), trial.value("params")
            assert accuracy is not None
            assert params is not None
            arm.points.append(Point(seconds, arm.epochs, accuracy, params))
            if enough(arm.points):
                raise _OverError
        if budget.spent(seconds, arm.epochs):
            raise _OverError

    try:
        create_run(spec, folder)
        search(folder, specification=spec, listener=listen)
    except _OverError:
        pass
    return arm


def peer_arm(spec: RunSpecification, *, budget: Budget, population: int) -> Arm:
    """Optuna's NSGA-II, asked and told as any script would: no cache, no bounds, every network trained in full."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    began = time.monotonic()
    study = optuna.create_study(
        sampler=optuna.samplers.NSGAIISampler(population_size=population, seed=spec.seed),
        directions=["maximize", "minimize"],
    )
    arm, ranges = Arm(), dict[str, list[Range]]()
    context = multiprocessing.get_context("spawn")
    counter = context.Value("l", 0)
    workers = {}
    for _ in range(WORKERS):
        pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, json.dumps(spec.to_json()), counter), daemon=True)
        process.start()
        workers[pipe] = process
    try:
        asked = {pipe: _ask(study, spec, pipe, ranges) for pipe in workers}
        while (left := budget.seconds - (time.monotonic() - began)) > 0:
            for ready in wait(list(workers), timeout=min(left, 1.0)):
                assert isinstance(ready, Connection)
                accuracy, params = ready.recv()
                arm.points.append(Point(time.monotonic() - began, int(counter.value), accuracy, params))
                study.tell(asked[ready], [accuracy, params])
                asked[ready] = _ask(study, spec, ready, ranges)
            if budget.spent(time.monotonic() - began, int(counter.value)):
                break
    finally:
        for process in workers.values():
            process.kill()
            process.join()
    arm.epochs = int(counter.value)
    return arm


def _ask(study: optuna.Study, spec: RunSpecification, pipe: Connection, ranges: dict[str, list[Range]]) -> optuna.Trial:
    trial = study.ask()
    chooser = Suggesting(trial, ranges)
    spec.searched.decide(chooser)
    pipe.send(dict(chooser.decisions))
    return trial


def _serve(pipe: Connection, text: str, counter: Any) -> None:
    """Train what comes, with the seed that netwright would give it."""
    import torch

    from netwright.tasks.training import evaluate, fit

    torch.set_num_threads(1)
    spec = RunSpecification.parse(json.loads(text))
    space, task = spec.searched, spec.task

    def count(row: object) -> bool:
        del row
        with counter.get_lock():
            counter.value += 1
        return True

    while True:
        decisions = pipe.recv()
        identity, cost = space.describe(decisions, task.shapes())
        seed = derive_seed(spec.seed, identity, 0)
        model = space.build(decisions, task.shapes(), seed=seed)
        fit(model, task, training=spec.search.training, seed=seed, on_epoch=count)
        pipe.send((evaluate(model, task, "validation")["accuracy"], float(cost.params)))
