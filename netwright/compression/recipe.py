"""A recipe: passes in a legal order with bounds, run one after the other, each measured and judged.

A pass whose result breaks a bound or gains nothing is rolled back: its row is kept for the report, and the
next pass starts from the last model that was kept.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from netwright.compression.compression_pass import SCORE, Pass
from netwright.compression.model import Note
from netwright.compression.store import Outcome, Store, model_identity
from netwright.core.config import Settings
from netwright.core.errors import (
    CompressionError,
    ConfigurationError,
    DataError,
    InterruptedRunError,
    MissingPackageError,
    Mistake,
    NetwrightError,
)
from netwright.core.files import content_hash
from netwright.core.plugins import build, name_of, spec_of
from netwright.core.progress import Event
from netwright.core.records import ACCURACY, Objective
from netwright.tasks.settings import Distillation, Training

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.model import Model

logger = logging.getLogger(__name__)

StageRow = Mapping[str, Any]
"""Keys: stage, accuracy, latency_ms, params, macs, size_bytes, peak_activation_bytes; None where not known.
A task that is judged by another score than accuracy has that score beside it, under its own name. Others, such as
spreads and the protocol of the latency, are carried along."""

Measure = Callable[["Model", str], StageRow]

FIGURES = ("accuracy", "latency_ms", "params", "macs", "size_bytes", "peak_activation_bytes")
RELATIVE = ("accuracy_drop", "max_drop", "slowdown")
LATENCY_GAIN = 0.98
VERSION = 2


def _pass(spec: object) -> Pass:
    found = build("pass", spec)
    assert isinstance(found, Pass)
    return found


class Bounds(Settings):
    """What the compressed network must keep; all are optional."""

    accuracy_drop: float | None = Field(
        default=None, ge=0, le=1, description="accuracy that may be lost against the input, checked after each pass"
    )
    max_drop: float | None = Field(
        default=None,
        ge=0,
        description="how much worse the score that the task judges by may get, in its own unit, such as dB of psnr",
    )
    slowdown: float | None = Field(
        default=None, ge=0, description="share by which a pass may raise the latency of what it was given"
    )
    latency_ms: float | None = Field(default=None, gt=0, description="goal for the result: at most this")
    size_bytes: int | None = Field(default=None, gt=0, description="goal for the result: at most this")
    params: int | None = Field(default=None, gt=0, description="goal for the result: at most this")
    macs: int | None = Field(default=None, gt=0, description="goal for the result: at most this")
    peak_activation_bytes: int | None = Field(default=None, gt=0, description="goal for the result: at most this")


class Recipe(Settings):
    """Compression passes in order, their bounds, and how passes that train do so."""

    passes: tuple[Annotated[SerializeAsAny[Pass], BeforeValidator(_pass)], ...] = Field(
        default=(), description="names or settings of passes; see `netwright list passes`"
    )
    bounds: Bounds = Field(default=Bounds(), description="what must be kept")
    fine_tune: Training = Field(
        default=Training(epochs=2, learning_rate=1e-3), description="training of passes that train"
    )
    distillation: Distillation = Field(
        default=Distillation(), description="how the input network teaches in fine-tuning"
    )

    @model_validator(mode="after")
    def _legal_order(self) -> Self:
        mistakes = order_mistakes(self.passes)
        if mistakes:
            raise ConfigurationError(mistakes)
        return self

    def specs(self) -> list[dict[str, Any]]:
        """The passes as plain data."""
        return [spec_of(one) for one in self.passes]


def order_mistakes(passes: Sequence[Pass]) -> list[Mistake]:
    """Why passes cannot be run in this order; empty when they can."""
    mistakes: list[Mistake] = []
    file_pass = ""
    for number, one in enumerate(passes):
        name = name_of(one)
        if file_pass and one.stage == "module":
            reason = f"{name} changes the module, but {file_pass} before it already works on the exported file"
            mistakes.append(Mistake(f"passes.{number}", f"{reason}; put {name} first"))
        if one.stage == "file":
            if file_pass == name:
                mistakes.append(Mistake(f"passes.{number}", f"{name} can be there once; the file is already done"))
            file_pass = name
    return mistakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pass of a recipe, done: its specification, whether its result was kept and why not, and its row.

    `model` is the pass's result, also when it was rolled back, or None when the pass gave none. `notes` are
    those of this pass alone. `resumed` tells that it was read from the store.
    """

    name: str
    spec: Mapping[str, Any]
    kept: bool
    reason: str
    row: StageRow
    model: Model | None
    notes: tuple[Note, ...] = ()
    seconds: float = 0.0
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """A maximum asked for the result, what it came to, and whether it was met."""

    metric: str
    bound: float
    value: float | None
    met: bool


@dataclass(frozen=True, slots=True)
class RecipeResult:
    """All stages, beginning with the input as `original`, the last model that was kept, and the goals."""

    stages: tuple[Stage, ...]
    model: Model
    goals: tuple[Goal, ...]

    @property
    def row(self) -> StageRow:
        """The row of the model that was kept last."""
        return next(stage.row for stage in reversed(self.stages) if stage.kept)


def run_recipe(
    model: Model,
    recipe: Recipe,
    context: Context,
    measure: Measure,
    *,
    store: Store | None = None,
    salt: str = "",
) -> RecipeResult:
    """Run the passes in order; each result is measured by `measure(model, stage)` and kept or rolled back.

    With a store, stages already there are read instead of computed; `salt` should change with whatever else
    the rows depend on, such as the latency protocol. Raises ConfigurationError for an illegal order and
    NetwrightError when the input itself cannot be measured.
    """
    mistakes = order_mistakes(recipe.passes)
    if mistakes:
        raise ConfigurationError(mistakes)
    engine = _Engine(model, recipe, context, measure, store, salt)
    stages = [engine.original()]
    for number, one in enumerate(recipe.passes):
        stage = engine.stage(one, names=[s.name for s in stages], stages=stages, number=number)
        stages.append(stage)
    last = next(stage for stage in reversed(stages) if stage.kept)
    assert last.model is not None
    return RecipeResult(tuple(stages), last.model, _goals(recipe.bounds, last.row))


@dataclass(frozen=True, slots=True)
class _Engine:
    input: Model
    recipe: Recipe
    context: Context
    measure: Measure
    store: Store | None
    salt: str

    def original(self) -> Stage:
        """The input's own row."""
        outcome, resumed = self._stored(
            {"pass": "original"}, self.input, lambda: Outcome(self.input, self._row(self.input, "original"))
        )
        if outcome.error:
            raise CompressionError(f"the network to compress cannot be measured: {outcome.error}")
        stage = Stage(
            name="original",
            spec={},
            kept=True,
            reason="",
            row=outcome.row,
            model=self.input,
            seconds=outcome.seconds,
            resumed=resumed,
        )
        self._tell(stage, 0)
        return stage

    def stage(self, one: Pass, *, names: Sequence[str], stages: Sequence[Stage], number: int) -> Stage:
        """One pass on the last kept model."""
        name = _unique(name_of(one), names)
        before = next(stage for stage in reversed(stages) if stage.kept)
        assert before.model is not None
        start = before.model
        self.context.listener(
            Event("compress.pass", {"stage": name, "number": number + 1, "of": len(self.recipe.passes)})
        )
        outcome, resumed = self._stored(spec_of(one), start, lambda: self._apply(one, start, name))
        row = outcome.row or {"stage": name, **dict.fromkeys(self._figures())}
        reason = outcome.error or judge(
            row,
            before=before.row,
            first=stages[0].row,
            bounds=self.recipe.bounds,
            gains=one.gains,
            score=self.context.task.primary(),
        )
        made = outcome.model
        stage = Stage(
            name=name,
            spec=spec_of(one),
            kept=not reason,
            reason=reason,
            row={**row, "stage": name},
            model=made,
            notes=made.notes[len(start.notes) :] if made else (),
            seconds=outcome.seconds,
            resumed=resumed,
        )
        self._tell(stage, number + 1)
        return stage

    def _apply(self, one: Pass, start: Model, name: str) -> Outcome:
        try:
            made = one.apply(start, self.context)
            return Outcome(made, self._row(made, name))
        except (InterruptedRunError, ConfigurationError, MissingPackageError, DataError):
            raise
        except NetwrightError as error:
            return Outcome(None, {}, error=str(error))

    def _row(self, model: Model, name: str) -> StageRow:
        row = dict(self.measure(model, name))
        return {**row, "stage": name, **{key: _finite(row.get(key)) for key in self._figures()}}

    def _figures(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*FIGURES, self.context.task.primary().metric]))

    def _stored(self, spec: Mapping[str, Any], start: Model, compute: Callable[[], Outcome]) -> tuple[Outcome, bool]:
        """A stage from the store, or computed and stored."""
        key = ""
        if self.store is not None:
            key = self._key(spec, start)
            found = self.store.load(key, base=self.input.module)
            if found is not None:
                return found, True
        began = time.monotonic()
        outcome = replace(compute(), seconds=time.monotonic() - began)
        if self.store is not None:
            try:
                self.store.save(key, outcome, base=self.input.module)
            except CompressionError as error:
                logger.warning("a stage cannot be stored and is computed again on a resume: %s", error)
        shutil.rmtree(self.context.trainings, ignore_errors=True)
        return outcome, False

    def _key(self, spec: Mapping[str, Any], start: Model) -> str:
        context = self.context
        return content_hash(
            {
                "version": VERSION,
                "spec": dict(spec),
                "model": model_identity(start),
                "original": model_identity(self.input),
                "data": context.task.data().fingerprint,
                "task": spec_of(context.task),
                "seed": context.seed,
                "training": context.training.model_dump(mode="json"),
                "distillation": context.distillation.model_dump(mode="json"),
                "salt": self.salt,
            }
        )

    def _tell(self, stage: Stage, number: int) -> None:
        self.context.listener(
            Event(
                "compress.stage",
                {
                    "stage": stage.name,
                    "number": number,
                    "of": len(self.recipe.passes),
                    "kept": stage.kept,
                    "reason": stage.reason,
                    "row": dict(stage.row),
                    "score": self.context.task.primary().metric,
                    "seconds": stage.seconds,
                    "resumed": stage.resumed,
                },
            )
        )


def judge(
    row: StageRow,
    *,
    before: StageRow,
    first: StageRow,
    bounds: Bounds,
    gains: Sequence[str],
    score: Objective = ACCURACY,
) -> str:
    """Why a stage is rolled back, in one sentence, or nothing when it is kept.

    `before` is the row of the last kept model, `first` that of the input, `score` what the task judges models by.
    """
    for objective, allowed in ((ACCURACY, bounds.accuracy_drop), (score, bounds.max_drop)):
        if allowed is not None and (why := _dropped(row, first, objective, allowed=allowed)):
            return why
    latency, was = row.get("latency_ms"), before.get("latency_ms")
    if (
        bounds.slowdown is not None
        and latency is not None
        and was is not None
        and latency > was * (1 + bounds.slowdown)
    ):
        return f"it made the network slower: {was:.4g} → {latency:.4g} ms; at most {bounds.slowdown:.0%} is allowed"
    names = [score.metric if name == SCORE else name for name in gains]
    known = [name for name in names if row.get(name) is not None and before.get(name) is not None]
    if known and not any(_gained(name, row[name], before[name], score) for name in known):
        figures = ", ".join(f"{name} {before[name]:g} → {row[name]:g}" for name in known)
        return f"it gained nothing: {figures}"
    return ""


def _dropped(row: StageRow, first: StageRow, score: Objective, *, allowed: float) -> str:
    """Why a score got worse than allowed against the input, or nothing."""
    name, value, start = score.metric, row.get(score.metric), first.get(score.metric)
    if value is None or start is None:
        return f"its {name} is not known, so the bound on the {name} drop cannot be checked"
    worse = score.loss(value) - score.loss(start)
    if worse <= allowed + 1e-9:
        return ""
    fell, change = ("fell", "drop") if score.direction == "maximize" else ("rose", "rise")
    return f"{name} {fell} from {start:.4f} to {value:.4f}, a {change} of {worse:.4f}; at most {allowed:g} is allowed"


def _gained(name: str, value: float, before: float, score: Objective) -> bool:
    for objective in (score, ACCURACY):
        if name == objective.metric:
            return objective.loss(value) < objective.loss(before)
    return value < before * (LATENCY_GAIN if name == "latency_ms" else 1)


def _goals(bounds: Bounds, row: StageRow) -> tuple[Goal, ...]:
    wanted = {name: value for name, value in bounds if name not in RELATIVE and value is not None}
    return tuple(
        Goal(name, bound, row.get(name), row.get(name) is not None and row[name] <= bound)
        for name, bound in wanted.items()
    )


def _unique(name: str, names: Sequence[str]) -> str:
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name}_{number}"
    return found


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
