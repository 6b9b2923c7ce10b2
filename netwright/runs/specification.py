"""The description of a run: what is searched, how, and what becomes of the winner. Validated in full."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from netwright.compression.recipe import Recipe
from netwright.core.config import Settings, read_yaml, with_overrides
from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.plugins import field_of, given, load
from netwright.core.records import Objective
from netwright.evaluation.latency import LatencyProtocol
from netwright.evaluation.metric import Metric
from netwright.nas.fidelity import Fidelity
from netwright.nas.stopper import Stopper
from netwright.nas.stoppers.never import Never
from netwright.nas.strategy import Strategy
from netwright.runs.executor import Executor
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.settings import BALANCED_NEEDS, Training, usual
from netwright.tasks.task import Task

SCORE = "score"
"""As an objective: what the task judges models by."""
BRIEF = Training(epochs=3, steps=200)
FULL = Training(epochs=12, steps=500)


def _objective(value: object) -> object:
    return {"metric": value} if isinstance(value, str) else value


TaskField = Annotated[Task, *field_of(Task)]
SpaceField = Annotated[SearchSpace, *field_of(SearchSpace)]
StrategyField = Annotated[Strategy, *field_of(Strategy)]
StopperField = Annotated[Stopper, *field_of(Stopper)]
ExecutorField = Annotated[Executor, *field_of(Executor)]
ObjectiveField = Annotated[Objective, BeforeValidator(_objective)]


class Search(Settings):
    """How the space is searched."""

    strategy: StrategyField = Field(default="auto", validate_default=True, description="who is tried next")
    trials: int = Field(default=50, ge=1, description="architectures to try in all")
    executor: ExecutorField = Field(default="ray_tune", validate_default=True, description="where trials run")
    stopper: StopperField = Field(
        default="median", validate_default=True, description="when a trial is not worth its epochs"
    )
    training: Annotated[Training, usual(BRIEF)] = Field(default=BRIEF, description="how every candidate is trained")
    fidelity: Fidelity | None = Field(
        default=None, description="begin every trial short or small and promote the promising; default: train in full"
    )
    repeats: int = Field(
        default=1, ge=1, description="train each candidate so often, with other seeds; its values are means"
    )
    ordered: bool = Field(
        default=False, description="the same record for any number of workers: results are used in a fixed order"
    )
    lag: int = Field(
        default=3, ge=0, description="in ordered mode, how many trainings before one are not yet known to it"
    )
    latency: LatencyProtocol = Field(
        default_factory=LatencyProtocol.screening, description="how candidates are timed, quickly"
    )
    latency_table: Path | None = Field(
        default=None,
        description="a device's table, by `netwright latency build`, from which `predicted_latency_ms` is predicted",
    )
    trial_limit_s: float = Field(default=1800, gt=0, description="a trial that takes longer is ended")
    retries: int = Field(default=1, ge=0, description="how often a trial whose worker died is tried again")
    budget_s: float | None = Field(
        default=None,
        gt=0,
        description="start no new trial after this many seconds; --resume counts from zero again",
    )
    reuse: tuple[Path, ...] = Field(
        default=(), description="runs whose finished trials are taken over where they were measured in the same way"
    )

    @field_validator("latency_table")
    @classmethod
    def _from_anywhere(cls, path: Path | None) -> Path | None:
        """Workers may run in another folder than the one the recipe was read in."""
        return None if path is None else path.absolute()

    @field_validator("reuse")
    @classmethod
    def _found_again(cls, runs: tuple[Path, ...]) -> tuple[Path, ...]:
        """The search may go on in another folder than the one it began in."""
        return tuple(path.absolute() for path in runs)

    @model_validator(mode="after")
    def _fits_fidelity(self) -> Self:
        """The last rung says the epochs, and rungs take the stopper's place, unless both are given."""
        if self.fidelity is None:
            return self
        own = self.__dict__  # the object is frozen only once it is made
        if "stopper" not in self.model_fields_set:
            own["stopper"] = Never()
        if self.fidelity.axis != "epochs":
            if not isinstance(self.stopper, Never):
                what = f"must be never when the fidelity is {self.fidelity.axis}: curves of several cannot be compared"
                raise ConfigurationError([Mistake("stopper", what)])
            return self
        epochs = int(self.fidelity.rungs[-1])
        if "training" not in self.model_fields_set or "epochs" not in self.training.model_fields_set:
            own["training"] = self.training.model_copy(update={"epochs": epochs})
        elif self.training.epochs != epochs:
            what = f"is {self.training.epochs}, but the last rung is {epochs}; leave it out, or make them equal"
            raise ConfigurationError([Mistake("training.epochs", what)])
        return self

    @property
    def rungs(self) -> tuple[float, ...]:
        """The fidelities of a trial in ascending order; without a declared axis, its epochs alone."""
        return self.fidelity.rungs if self.fidelity else (float(self.training.epochs),)


class Winner(Settings):
    """Which trial of the front is taken, and how it is trained in full."""

    metric: str | None = Field(default=None, description="best value of this wins; default: the first objective")
    training: Annotated[Training, usual(FULL)] = Field(default=FULL, description="the full training of the winner")
    seeds: int = Field(
        default=1, ge=1, description="race the front first: train it with up to so many seeds and take the best mean"
    )


class RunSpecification(Settings):
    """A whole run. The same as a YAML file: see `recipes/` for complete ones."""

    name: str = Field(default="run", description="of the run and its Optuna study")
    seed: int = Field(default=0, ge=0, description="everything random in the run follows from it")
    task: TaskField = Field(description="the data, and what is to be learnt from it")
    space: SpaceField | None = Field(default=None, description="what is searched; none when a trained model is given")
    objectives: tuple[ObjectiveField, ...] = Field(
        default=("score",),
        min_length=1,
        validate_default=True,
        description="what is optimised; each may have a bound; score is what the task judges by, such as accuracy",
    )
    constraints: tuple[ObjectiveField, ...] = Field(
        default=(), description="metrics that are bounded but not optimised; each needs a bound"
    )
    device: str = Field(
        default="auto", description="where networks are trained: cpu, cuda, or auto for the best there is"
    )
    search: Search = Field(default_factory=Search, description="how the space is searched")
    winner: Winner = Field(default=Winner(), description="which trial is taken, and its full training")
    compress: Recipe | None = Field(default=None, description="how the winner is made smaller")
    latency: LatencyProtocol = Field(default_factory=LatencyProtocol.full, description="protocol of the final tables")

    @field_validator("name")
    @classmethod
    def _fits_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError("expected 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
        return name

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError("expected auto, cpu, cuda or cuda:0")
        return device

    @field_validator("objectives")
    @classmethod
    def _known_metrics(cls, objectives: tuple[Objective, ...], info: ValidationInfo) -> tuple[Objective, ...]:
        task = info.data.get("task")
        if not isinstance(task, Task):  # what is wrong with the task is told; its score cannot be known
            return tuple(with_direction(objective) for objective in objectives if objective.metric != SCORE)
        objectives = tuple(_of_task(objective, task) for objective in objectives)
        names = [objective.metric for objective in objectives]
        if len(set(names)) != len(names):
            raise ConfigurationError([Mistake("", f"the objectives name a metric twice: {names}")])
        return tuple(with_direction(objective) for objective in objectives)

    @field_validator("constraints")
    @classmethod
    def _bounded(cls, constraints: tuple[Objective, ...]) -> tuple[Objective, ...]:
        for constraint in constraints:
            if constraint.bound is None:
                raise ConfigurationError([Mistake("", f"the constraint on {constraint.metric!r} needs a bound")])
        return tuple(with_direction(constraint) for constraint in constraints)

    @model_validator(mode="after")
    def _drop_of_its_score(self) -> Self:
        score = self.task.primary().metric
        if score != "accuracy" and self.compress is not None and self.compress.bounds.accuracy_drop is not None:
            why = f"the task is judged by {score}, not by accuracy; give `max_drop` in the unit of {score} instead"
            raise ConfigurationError([Mistake("compress.bounds.accuracy_drop", why)])
        return self

    @model_validator(mode="after")
    def _balanced_over_classes(self) -> Self:
        """Told here, for a search may train for hours before the winner's or the compression's training begins."""
        trainings = {"search.training": self.search.training, "winner.training": self.winner.training}
        if self.compress is not None:
            trainings["compress.fine_tune"] = self.compress.fine_tune
        wrong = [where for where, training in trainings.items() if training.balanced]
        if wrong and not self.task.targets().one_class:
            raise ConfigurationError([Mistake(f"{where}.balanced", BALANCED_NEEDS) for where in wrong])
        return self

    @model_validator(mode="after")
    def _winner_is_objective(self) -> Self:
        names = [objective.metric for objective in self.objectives]
        if self.winner.metric is not None and self.winner.metric not in names:
            raise ConfigurationError(
                [Mistake("winner.metric", f"{self.winner.metric!r} is not one of the objectives {names}")]
            )
        return self

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        """A scheduler of the executor knows one objective, no rungs, and no order but that of arrival."""
        several = {
            f"the {len(self.objectives)} objectives need `search.fidelity` with a promotion": len(self.objectives) > 1,
            "`search.fidelity` says who goes on": self.search.fidelity is not None,
            "`search.ordered` wants the same record every time": self.search.ordered,
        }
        wrong = [why for why, holds in several.items() if holds]
        if self.search.executor.judges and wrong:
            what = f"an executor's scheduler ends trials by one objective as they arrive, but {' and '.join(wrong)}"
            raise ConfigurationError([Mistake("search.executor.scheduler", f"{what}; leave it out")])
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain data that `parse` reads back."""
        return self.model_dump(mode="json")

    def training_device(self) -> str:
        """The device that training uses in this process; `auto` is a GPU where this process may use one."""
        if self.device != "auto":
            return self.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def limits(self) -> tuple[Objective, ...]:
        """Everything that may have a bound: objectives and constraints."""
        return (*self.objectives, *self.constraints)

    @property
    def searched(self) -> SearchSpace:
        """The search space; raises ConfigurationError when the run has none, as with a model of the user's own."""
        if self.space is None:
            raise ConfigurationError([Mistake("space", "is missing; `netwright list spaces` shows what there is")])
        return self.space

    @property
    def chosen_by(self) -> Objective:
        """The objective whose best value within all bounds makes the winner."""
        name = self.winner.metric or self.objectives[0].metric
        return next(objective for objective in self.objectives if objective.metric == name)


def _of_task(objective: Objective, task: Task) -> Objective:
    """The objective with the task's own score in the place of `score`."""
    if objective.metric != SCORE:
        return objective
    return objective.model_copy(update={"metric": given(task, "primary", Objective).metric})


def with_direction(objective: Objective) -> Objective:
    """The objective with the direction its metric has by nature, when none is given."""
    metric = load("metric", objective.metric)
    assert issubclass(metric, Metric)
    if objective.direction is not None:
        return objective
    return objective.model_copy(update={"direction": metric.direction})


def load_specification(path: Path, *, overrides: Sequence[str] = ()) -> RunSpecification:
    """The run that a YAML file describes, with `a.b=value` texts applied to it.

    Raises ConfigurationError listing every mistake, with the nearest valid name of each.
    """
    data = with_overrides(read_yaml(path), overrides)
    return RunSpecification.parse(data, source=str(path))
