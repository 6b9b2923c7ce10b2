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

from netwright.compression.compression_pass import Pass
from netwright.compression.judging import (
    Bounds,
    Goal,
    StageRow,
    broken_bound,
    gained_nothing,
    goals_of,
    judge,
)
from netwright.compression.model import Note
from netwright.compression.open_field import OpenField, split_open, unique, with_value
from netwright.compression.solve import FIGURES, Solve
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
from netwright.core.identity import identity_of
from netwright.core.plugins import build, built, name_of, spec_of
from netwright.core.progress import Event
from netwright.tasks.settings import Distillation, Training, usual

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.model import Model

logger = logging.getLogger(__name__)

__all__ = [
    "Bounds",
    "Goal",
    "Measure",
    "Recipe",
    "RecipeResult",
    "Solve",
    "Stage",
    "StageRow",
    "judge",
    "order_mistakes",
    "run_recipe",
]

Measure = Callable[["Model", str, StageRow], StageRow]
"""The row of a model, given its stage's name and the row of the model it was made from (empty for the input)."""

SHORT = Training(epochs=2, learning_rate=1e-3, steps=50)
VERSION = 2


def _pass(spec: object) -> Pass:
    return built(Pass, spec)


class Recipe(Settings):
    """Compression passes in order, their bounds, and how passes that train do so."""

    passes: tuple[Annotated[SerializeAsAny[Pass], BeforeValidator(_pass)], ...] = Field(
        default=(), description="names or settings of passes; see `netwright list passes`"
    )
    open: tuple[OpenField, ...] = Field(
        default=(), description="search ranges, filled in from the passes, whose fields may each be a range"
    )
    bounds: Bounds = Field(default=Bounds(), description="what must be kept")
    retry: int = Field(
        default=0,
        ge=0,
        le=8,
        description="how often a pass that broke a bound is tried again, half as strong each time",
    )
    solve: Solve | None = Field(default=None, description="how open fields are searched; needs at least one of them")
    fine_tune: Annotated[Training, usual(SHORT)] = Field(default=SHORT, description="training of passes that train")
    distillation: Distillation = Field(
        default=Distillation(), description="how the input network teaches in fine-tuning"
    )

    @model_validator(mode="before")
    @classmethod
    def _with_ranges(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("passes"), (list, tuple)):
            return data
        plain, ranges = split_open(data["passes"])
        return {**data, "passes": plain, "open": ranges} if ranges else data

    @model_validator(mode="after")
    def _legal(self) -> Self:
        mistakes = order_mistakes(self.passes) + open_mistakes(self.passes, self.open)
        if self.open and self.solve is None:
            named = ", ".join(one.name for one in self.open)
            mistakes.append(
                Mistake("solve", f"is missing: {named} are open; say what for, as in {{minimize: size_bytes}}")
            )
        if self.solve is not None and not self.open:
            mistakes.append(
                Mistake("solve", "has nothing to search; write a range as a field, as in {low: 0.2, high: 0.6}")
            )
        if mistakes:
            raise ConfigurationError(mistakes)
        return self

    def specs(self) -> list[dict[str, Any]]:
        """The passes as plain data."""
        return [spec_of(one) for one in self.passes]


def order_mistakes(passes: Sequence[Pass]) -> list[Mistake]:
    """Why passes cannot be run in this order; empty when they can."""
    mistakes: list[Mistake] = []
    file_pass, end = "", ""
    for number, one in enumerate(passes):
        name = name_of(one)
        if end and end != name:
            mistakes.append(Mistake(f"passes.{number}", f"nothing can follow {end}; put {name} before it"))
        elif file_pass and one.stage == "module":
            reason = f"{name} changes the module, but {file_pass} before it already works on the exported file"
            mistakes.append(Mistake(f"passes.{number}", f"{reason}; put {name} first"))
        if one.stage == "file":
            if file_pass == name:
                mistakes.append(Mistake(f"passes.{number}", f"{name} can be there once; the file is already done"))
            elif file_pass and not one.last and not end:
                reason = f"{name} makes a file of the network, and {file_pass} before it has made one"
                mistakes.append(Mistake(f"passes.{number}", f"{reason}; give one of the two"))
            file_pass = name
        end = end or (name if one.last else "")
    return mistakes


def open_mistakes(passes: Sequence[Pass], fields: Sequence[OpenField]) -> list[Mistake]:
    """What is wrong with the ends of the ranges, each tried with all else as it stands."""
    mistakes: list[Mistake] = []
    for one in fields:
        if one.number >= len(passes) or not one.field:
            continue
        spec = spec_of(passes[one.number])
        for value in one.ends():
            try:
                build("pass", with_value(spec, one.field, value))
            except ConfigurationError as error:
                reasons = "; ".join(mistake.what for mistake in error.mistakes)
                mistakes.append(Mistake(f"passes.{one.number}.{one.field}", f"{value!r} is no setting: {reasons}"))
    return mistakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pass of a recipe, done: its specification, whether its result was kept and why not, and its row.

    `model` is the pass's result, also when it was rolled back, or None when the pass gave none. `notes` are
    those of this pass alone. `broke` tells that it was rolled back because of a bound, `attempt` which try at its
    pass it is, from 1. `resumed` tells that it was read from the store.
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
    broke: bool = False
    attempt: int = 1


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
    stop_at_break: bool = False,
) -> RecipeResult:
    """Run the passes in order; each result is measured by `measure(model, stage, before)` and kept or rolled back.

    A pass that broke a bound is tried again, milder, as often as the recipe's `retry` allows; with `stop_at_break`
    the recipe ends there instead.

    With a store, stages already there are read instead of computed; `salt` should change with whatever else
    the rows depend on, such as the latency protocol. Raises ConfigurationError for an illegal order and
    NetwrightError when the input itself cannot be measured.
    """
    mistakes = order_mistakes(recipe.passes)
    if recipe.open:
        mistakes.append(Mistake("open", "the recipe has open fields; resolve it first"))
    if mistakes:
        raise ConfigurationError(mistakes)
    engine = _Engine(model, recipe, context, measure, store, salt)
    stages = [engine.original()]
    for number, one in enumerate(recipe.passes):
        stages += engine.tries(one, stages=stages, number=number)
        if stop_at_break and stages[-1].broke:
            break
    last = next(stage for stage in reversed(stages) if stage.kept)
    assert last.model is not None
    return RecipeResult(tuple(stages), last.model, goals_of(recipe.bounds, last.row))


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
            {"pass": "original"}, self.input, lambda: Outcome(self.input, self._row(self.input, "original", {}))
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

    def tries(self, one: Pass, *, stages: Sequence[Stage], number: int) -> list[Stage]:
        """One pass, and while it breaks a bound milder forms of it."""
        name = unique(name_of(one), [stage.name for stage in stages])
        found = [self.stage(one, name=name, stages=stages, number=number)]
        while found[-1].broke and len(found) <= self.recipe.retry:
            milder = one.milder()
            if milder is None:
                break
            one = milder
            attempt = len(found) + 1
            stage = self.stage(one, name=f"{name}_try{attempt}", stages=stages, number=number)
            found.append(replace(stage, attempt=attempt))
        return found

    def stage(self, one: Pass, *, name: str, stages: Sequence[Stage], number: int) -> Stage:
        """One pass on the last kept model."""
        before = next(stage for stage in reversed(stages) if stage.kept)
        assert before.model is not None
        start = before.model
        self.context.listener(
            Event("compress.pass", {"stage": name, "number": number + 1, "of": len(self.recipe.passes)})
        )
        outcome, resumed = self._stored(spec_of(one), start, lambda: self._apply(one, start, name, before.row))
        row = outcome.row or {"stage": name, **dict.fromkeys(self._figures())}
        score = self.context.task.primary()
        broken = broken_bound(row, before=before.row, first=stages[0].row, bounds=self.recipe.bounds, score=score)
        broken = "" if outcome.error else broken
        reason = outcome.error or broken or gained_nothing(row, before=before.row, gains=self._gains(one), score=score)
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
            broke=bool(broken),
        )
        self._tell(stage, number + 1)
        return stage

    def _gains(self, one: Pass) -> tuple[str, ...]:
        """What a pass is for: where an archive is handed over in the end, fewer bytes in it are a gain as well."""
        coded = "size_bytes" in one.gains and any(other.last for other in self.recipe.passes)
        return (*one.gains, "coded_bytes") if coded else one.gains

    def _apply(self, one: Pass, start: Model, name: str, before: StageRow) -> Outcome:
        try:
            made = one.apply(start, self.context)
            return Outcome(made, self._row(made, name, before))
        except (InterruptedRunError, ConfigurationError, MissingPackageError, DataError):
            raise
        except NetwrightError as error:
            return Outcome(None, {}, error=str(error))

    def _row(self, model: Model, name: str, before: StageRow) -> StageRow:
        row = dict(self.measure(model, name, before))
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
                "task": identity_of(context.task),
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


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
