"""The budget solver: tries settings of a recipe's open fields until its trials are used up, then takes the best one.

Sensitivities cut off what is hopeless, predicted costs end a try before it is trained, and tries that begin alike
share their first passes through the store. All tries are on record, so that a killed solver goes on.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from netwright.compression.judging import figure_of
from netwright.compression.open_field import OpenField
from netwright.compression.open_recipe import OpenRecipe
from netwright.compression.planning import FIGURES
from netwright.compression.recipe import Recipe, RecipeResult
from netwright.compression.sensitivity import (
    Bearing,
    bearable_until,
    fragile_groups,
    hopeless_from,
    measure_sensitivity,
    probes_of,
)
from netwright.compression.store import model_identity
from netwright.core.errors import (
    ConfigurationError,
    DataError,
    InfeasibleError,
    InterruptedRunError,
    MissingPackageError,
    Mistake,
    NetwrightError,
)
from netwright.core.files import content_hash
from netwright.core.plugins import build, name_of, spec_of
from netwright.core.progress import Event, Listener, say
from netwright.core.records import Objective, TrialState
from netwright.core.seeds import generator
from netwright.nas.strategy import Proposal, Strategy
from netwright.runs.forecast import Forecast, beyond, forecast
from netwright.runs.rows import settings_text
from netwright.runs.search import OpenRun
from netwright.runs.tries import (
    Try,
    chosen_of,
    front_of,
    missed,
    nearest_of,
    number_text,
    objectives_of,
    plane_of,
    verdict_of,
)
from netwright.runs.workbench import Workbench

ASKS = 20
DRAWS = 100


def strategy_of(recipe: Recipe) -> Strategy:
    """Who proposes settings; raises ConfigurationError for a strategy that does not exist."""
    assert recipe.solve is not None
    try:
        found = build("strategy", recipe.solve.strategy)
    except ConfigurationError as error:
        raise ConfigurationError(
            [Mistake(f"solve.strategy.{m.where}".rstrip("."), m.what) for m in error.mistakes]
        ) from None
    assert isinstance(found, Strategy)
    return found


def sensitivities(
    run: OpenRun, bench: Workbench, recipe: Recipe, *, samples: int = 1000, files: bool = False
) -> list[Bearing]:
    """What each layer group bears, with `files` to all passes on the file too; what is on record, perhaps of a start
    that was cut short, is not measured again.
    """
    # neither bounds nor training change what is read
    asked = recipe.model_dump(mode="json", include={"passes", "open"})
    key = content_hash({"key": _key(bench, asked), "samples": samples})
    stored = run.record.fact("sensitivity") or {}
    known = [Bearing.from_json(row) for row in stored["rows"]] if stored.get("key") == key else []
    if known and stored.get("whole", True) and stored.get("files", False) >= files:
        return known
    about = {"key": key, "files": files, "score": run.specification.task.primary().metric}

    def keep(rows: Sequence[Bearing], *, whole: bool = False) -> None:
        run.record.set_fact("sensitivity", {**about, "whole": whole, "rows": [row.to_json() for row in rows]})

    measure = partial(measure_sensitivity, bench.model, recipe, bench.context, known=known, keep=keep)
    rows = measure(samples=samples, files=files)
    keep(rows, whole=True)
    return rows


def solve(run: OpenRun, bench: Workbench, recipe: Recipe) -> RecipeResult:
    """Search the open fields of a recipe; returns the result of the best setting within all bounds.

    Raises InfeasibleError that says which goal cannot be met and by how much, with everything on record.
    """
    assert recipe.solve is not None
    strategy = strategy_of(recipe)
    first = bench.run(Recipe(fine_tune=recipe.fine_tune, distillation=recipe.distillation)).row
    cuts: list[str] = []
    narrow = recipe
    if recipe.solve.sensitivity:
        rows = sensitivities(run, bench, recipe, samples=recipe.solve.samples)
        narrow, cuts = narrowed(recipe, rows)
        for text in cuts:
            say(bench.context.listener, f"by the sensitivities, {text}")
    objectives = objectives_of(recipe, run.specification.task.primary(), first)
    quiet = dataclasses.replace(bench, context=dataclasses.replace(bench.context, listener=_of_passes(bench)))
    solver = _Solver(run, quiet, narrow, strategy, objectives, first, _key(bench, _searched(recipe)), tuple(cuts))
    tries = solver.search()
    last = [one for one in tries if one.phase == tries[-1].phase]
    chosen = chosen_of(last, objectives)
    verdict = "" if chosen is not None else verdict_of(last, objectives)
    solver.record(tries, chosen=None if chosen is None else chosen.number, verdict=verdict)
    if chosen is None:
        raise InfeasibleError(verdict)
    plain = narrow.model_dump(mode="json", exclude={"passes", "open", "solve"})
    final = Recipe.parse({**plain, "passes": list(chosen.passes)})
    say(bench.context.listener, f"try {chosen.number} is chosen: {settings_text(chosen.decisions)}")
    return bench.run(final, baseline_ms=first.get("latency_ms"))


def narrowed(recipe: Recipe, rows: Sequence[Bearing]) -> tuple[Recipe, list[str]]:
    """The recipe without what its sensitivities show to be hopeless, and a sentence for each cut."""
    assert recipe.solve is not None
    hopeless = recipe.solve.hopeless
    opened, specs, texts = list(recipe.open), recipe.specs(), []
    for probe in probes_of(recipe):
        place = next((i for i, f in enumerate(opened) if (f.number, f.field) == (probe.number, probe.field)), None)
        falling = probe.one.strength == f"-{probe.field}"
        if place is not None and (falling or probe.one.strength == probe.field):
            limit = hopeless_from(rows, stage=probe.stage, hopeless=hopeless, falling=falling)
            cut = _cut(opened[place], rows, probe.stage, limit, hopeless=hopeless, falling=falling)
            if cut != opened[place]:
                texts.append(
                    f"{cut.name} is cut to {cut.domain().describe()}: at {limit:g} most groups alone, untrained, "
                    f"lose more than {hopeless:.0%} of the score"
                )
                opened[place] = cut
        fragile = fragile_groups(rows, stage=probe.stage, hopeless=hopeless)
        groups = {row.group for row in rows if row.stage == probe.stage and row.group}
        if fragile and len(fragile) < len(groups):
            spec = specs[probe.number]
            specs[probe.number] = {**spec, probe.ignore: [*spec[probe.ignore], *fragile]}
            texts.append(
                f"{probe.stage} leaves {', '.join(fragile)} alone: they lose more than {hopeless:.0%} at any strength"
            )
    data = {**recipe.model_dump(mode="json", exclude={"passes", "open"}), "passes": specs}
    return Recipe.parse({**data, "open": [one.model_dump(mode="json") for one in opened]}), texts


def _cut(
    one: OpenField, rows: Sequence[Bearing], stage: str, limit: float | None, *, hopeless: float, falling: bool
) -> OpenField:
    """A range up to about the strength from which most groups lose too much."""
    if limit is None:
        return one
    end = bearable_until(rows, stage=stage, limit=limit, hopeless=hopeless, falling=falling)
    if end is None:
        return one
    return one.between(end, math.inf) if falling else one.between(-math.inf, end)


@dataclass
class _Solver:
    run: OpenRun
    bench: Workbench
    recipe: Recipe
    strategy: Strategy
    objectives: Sequence[Objective]
    first: Mapping[str, Any]
    key: str
    cuts: tuple[str, ...]

    def search(self) -> list[Try]:
        """All tries, those on record included."""
        known = self.run.record.fact("solver")
        tries = [Try.from_json(one) for one in known["tries"]] if known and known["key"] == self.key else []
        tries = [one for one in tries if one.state is not TrialState.RUNNING]
        phases = self._phases()
        for phase, (space, quota) in enumerate(phases):
            fixed = self._best_decisions([one for one in tries if one.phase == phase - 1]) if phase else {}
            if fixed is None:
                break
            here = space.model_copy(update={"fixed": fixed})
            if len(phases) > 1:
                passes = ", ".join(name_of(one) for one in space.recipe.passes)
                text = f"{quota} tries of {passes}" + (f" with {settings_text(fixed)}" if fixed else "")
                say(self.bench.context.listener, text)
            last = phase == len(phases) - 1
            while sum(one.phase == phase for one in tries) < quota:
                begun = self._next(here, [one for one in tries if one.phase == phase], len(tries), phase)
                if begun is None:
                    say(self.bench.context.listener, "no other setting is left to try")
                    break
                self.record([*tries, begun])
                tries.append(self._run(begun, here.resolve(begun.decisions), tries, judged=last))
                self.record(tries)
                self._tell(tries[-1])
        return tries

    def record(self, tries: Sequence[Try], *, chosen: int | None = None, verdict: str = "") -> None:
        """Put the state of the search on record."""
        assert self.recipe.solve is not None
        ended = [one for one in tries if tries and one.phase == tries[-1].phase]
        self.run.record.set_fact(
            "solver",
            {
                "key": self.key,
                "trials": self.recipe.solve.trials,
                "strategy": spec_of(self.strategy),
                "open": {one.name: one.domain().describe() for one in self.recipe.open},
                "objectives": [one.model_dump(mode="json") for one in self.objectives],
                "plane": [one.metric for one in plane_of(self.recipe, self.objectives)],
                "original": {o.metric: self.first.get(o.metric) for o in self.objectives},
                "cuts": list(self.cuts),
                "tries": [one.to_json() for one in tries],
                "front": front_of(ended, self.recipe, self.objectives),
                "chosen": chosen,
                "verdict": verdict,
            },
        )

    def _phases(self) -> list[tuple[OpenRecipe, int]]:
        """The spaces to search one after the other, each with its number of tries."""
        assert self.recipe.solve is not None
        trials = self.recipe.solve.trials
        numbers = sorted({one.number for one in self.recipe.open})
        if self.recipe.solve.order == "joint" or len(numbers) == 1:
            return [(OpenRecipe(recipe=self.recipe), trials)]
        found = []
        for place, number in enumerate(numbers):
            end = len(self.recipe.passes) if number == numbers[-1] else number + 1
            part = {
                "passes": self.recipe.passes[:end],
                "open": tuple(one for one in self.recipe.open if one.number < end),
            }
            quota = trials // len(numbers) + (place < trials % len(numbers))
            found.append((OpenRecipe(recipe=self.recipe.model_copy(update=part)), quota))
        return found

    def _best_decisions(self, tries: Sequence[Try]) -> dict[str, Any] | None:
        """The decisions that the next pass is searched with: the best within the bounds, else the nearest to them."""
        best = chosen_of(tries, self.objectives) or nearest_of(tries, self.objectives, self._score)
        return None if best is None else dict(best.decisions)

    def _next(self, space: OpenRecipe, tries: Sequence[Try], number: int, phase: int) -> Try | None:
        """A try that differs from all others; None when there seems to be none left."""
        known = {one.identity for one in tries}
        trials = [dataclasses.replace(one.trial(), decisions=_open(one.decisions, space)) for one in tries]
        for draw in range(ASKS + DRAWS):
            rng = generator(self.run.specification.seed, "solve", number, draw)
            if draw < ASKS:
                proposal = self.strategy.proposed(space, trials, self.objectives, rng)
            else:
                proposal = Proposal(space.sample(rng), "random, the strategy repeats itself")
            passes = space.resolve(proposal.decisions).specs()
            decisions = {**space.fixed, **proposal.decisions}
            found = Try(number=number, phase=phase, decisions=decisions, passes=passes, origin=proposal.origin)
            if found.identity not in known:
                return found
        return None

    def _run(self, begun: Try, recipe: Recipe, tries: Sequence[Try], *, judged: bool) -> Try:
        """What came of a try after others; goals for the result are judged only where it has all passes."""
        assert self.recipe.solve is not None
        count = f"{begun.number + 1} of {self.recipe.solve.trials}"
        text = f"try {begun.number} ({count}, {begun.origin}): {settings_text(begun.decisions)}"
        say(self.bench.context.listener, text)
        began = time.monotonic()
        recipe = recipe.model_copy(update={"retry": 0})
        certain = partial(beyond, objectives=self.objectives, margin=self.recipe.solve.margin, tries=tries)
        try:
            found = forecast(self.bench, recipe, self.first, broken=certain) if judged else Forecast()
            begun = dataclasses.replace(begun, predicted=found.figures, ends=found.ends)
            if broken := certain(found):
                reason = f"predicted before training: {missed(found.figures, broken)}"
                spent = time.monotonic() - began
                return dataclasses.replace(begun, state=TrialState.INFEASIBLE, reason=reason, seconds=spent)
            result = self.bench.run(recipe, stop_at_break=True, baseline_ms=self.first.get("latency_ms"))
        except (InterruptedRunError, MissingPackageError, DataError):
            raise
        except NetwrightError as error:
            return dataclasses.replace(begun, state=TrialState.FAILED, reason=str(error))
        ended = self._ended(begun, result, judged=judged)
        return dataclasses.replace(ended, seconds=time.monotonic() - began)

    def _ended(self, begun: Try, result: RecipeResult, *, judged: bool) -> Try:
        last = result.stages[-1]
        row = last.row if last.broke else result.row
        names = dict.fromkeys([*(o.metric for o in self.objectives), *FIGURES, "latency_ms"])
        figures = {name: value for name in names if (value := figure_of(row, name)) is not None}
        stages = [
            {"stage": s.name, "kept": s.kept, "reason": s.reason, "seconds": s.seconds} for s in result.stages[1:]
        ]
        found = dataclasses.replace(begun, figures=figures, stages=stages)
        if last.broke:
            return dataclasses.replace(found, state=TrialState.INFEASIBLE, reason=f"{last.name}: {last.reason}")
        asked = self.objectives if judged else [o for o in self.objectives if o.metric == self._score.metric]
        reason = missed(figures, asked)
        return dataclasses.replace(found, state=TrialState.INFEASIBLE if reason else TrialState.DONE, reason=reason)

    @property
    def _score(self) -> Objective:
        return self.run.specification.task.primary()

    def _tell(self, one: Try) -> None:
        figures = ", ".join(
            f"{o.metric} {number_text(one.figures[o.metric])}" for o in self.objectives if o.metric in one.figures
        )
        outcome = figures if one.state is TrialState.DONE else f"{one.state}: {one.reason}"
        say(self.bench.context.listener, f"try {one.number}: {outcome}")


def _searched(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe a search depends on; more trials go on with the same one."""
    return recipe.model_dump(mode="json", exclude={"solve": {"trials"}})


def _key(bench: Workbench, asked: Mapping[str, Any]) -> str:
    """What something that was asked of a network depends on."""
    context = bench.context
    return content_hash(
        {
            "recipe": dict(asked),
            "model": model_identity(bench.model),
            "data": context.task.data().fingerprint,
            "seed": context.seed,
            "salt": bench.salt,
        }
    )


def _of_passes(bench: Workbench) -> Listener:
    """The listener without the input's own stage, which every try begins with."""

    def told(event: Event) -> None:
        if event.name != "compress.stage" or event.facts.get("number"):
            bench.context.listener(event)

    return told


def _open(decisions: Mapping[str, Any], space: OpenRecipe) -> dict[str, Any]:
    """The decisions that a space still asks for."""
    return {name: value for name, value in decisions.items() if name not in space.fixed}
