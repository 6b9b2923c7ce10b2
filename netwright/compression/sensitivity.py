"""What each layer group bears: the score after compressing that group alone, without training."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.compression.compression_pass import Pass
from netwright.compression.model import Model
from netwright.compression.open_field import OpenField, unique
from netwright.core.errors import ConfigurationError, InterruptedRunError, NetwrightError
from netwright.core.plugins import built, name_of, spec_of
from netwright.core.progress import Event, say

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.recipe import Recipe
    from netwright.core.records import Objective
    from netwright.tasks.data import Split

Probed = tuple[str, str, str, float | None]
"""A stage, one of its groups, the field that is tried and its value."""

IGNORE = ("ignore", "exclude")
"""The field with the groups that a pass leaves alone: of passes on the module, on the file."""
WHOLE = ""
_IN_FILE = ("quantized", "measured")
"""What passes on the file say of layers that they work on, those that a bound made them leave included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """One group compressed alone by one pass at one strength: the score after it, or why there is none.

    `group` is empty for the network as a whole. `loss` is how much worse the score got, as a share of the
    network's own score; below 0 it got better. `n` is the number of samples behind the score.
    """

    stage: str
    group: str
    field: str
    strength: float | None
    score: float | None
    loss: float | None
    params: int | None
    n: int
    reason: str = ""

    @property
    def probed(self) -> Probed:
        """What the row is about."""
        return self.stage, self.group, self.field, self.strength

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Bearing:
        return cls(**{name: data[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Probe:
    """A pass to measure: its place in the recipe, its name there, and the values of one field to try."""

    number: int
    stage: str
    one: Pass
    field: str
    values: tuple[float | None, ...]

    @property
    def ignore(self) -> str:
        """The field with the groups that the pass leaves alone; empty where it has none."""
        return next((name for name in IGNORE if name in type(self.one).model_fields), "")


def measure_sensitivity(
    model: Model,
    recipe: Recipe,
    context: Context,
    *,
    samples: int = 1000,
    files: bool = False,
    known: Sequence[Bearing] = (),
    keep: Callable[[Sequence[Bearing]], None] | None = None,
) -> list[Bearing]:
    """The score after each group alone was compressed, for passes on the module at several strengths, and for those
    on the file that have an open field; with `files` for all on the file that can leave layers alone.

    Groups are those that a pass applies to, coupled layers together; all others are on its list of what to leave alone.
    A pass without such a list is measured on the whole network. `samples` is the number of validation samples.
    Strengths of an open field go across its range, those of a fixed one are its half and itself. Rows that are `known`
    are not measured again; `keep` is given all rows there are after each that is new.
    """
    measured = {row.probed: row for row in known}
    with tempfile.TemporaryDirectory(prefix="netwright-sensitivity-") as folder:
        dry = replace(context.without_training(), workspace=Path(folder))
        split = _some(context, samples)
        score = context.task.primary()
        start = _score(model, dry, split)
        rows: list[Bearing] = []
        probes = list(probes_of(recipe, files=files))
        for place, probe in enumerate(probes):
            groups = _groups(probe, model, dry)
            many = f"{len(groups)} groups" if len(groups) > 1 else "1 group"
            tells = f"sensitivity of {many} to {probe.stage} ({place + 1} of {len(probes)})"
            say(context.listener, tells)
            for row in _rows(probe, groups, model, dry, split, start=start, score=score, measured=measured):
                rows.append(row)
                if keep is not None and row.probed not in measured:
                    keep(rows)
        return rows


def probes_of(recipe: Recipe, *, files: bool = False) -> Iterator[Probe]:
    """The passes that can be measured without training, each with its field and values.

    A pass on the file writes one for each of its layers, so without `files` only those with an open field are among
    them.
    """
    names: list[str] = []
    for number, one in enumerate(recipe.passes):
        stage = unique(name_of(one), names)
        names.append(stage)
        fields = [f for f in recipe.open if f.number == number and f.field]
        on_file = fields or (files and IGNORE[1] in type(one).model_fields)
        if not (on_file if one.stage == "file" else _changes_structure_or_values(one)):
            continue
        numbers = [f for f in fields if _is_ordered(f)]
        own = (one.strength or "").removeprefix("-")
        chosen = next((f for f in numbers if f.field == own), numbers[0] if numbers else None)
        if chosen is not None:
            values: tuple[float | None, ...] = tuple(float(v) for v in chosen.probes() if not isinstance(v, str))
            yield Probe(number, stage, one, chosen.field, values)
            continue
        milder = one.milder()
        found = [getattr(each, own, None) for each in (milder, one) if each is not None] if own else []
        known = tuple(float(v) for v in found if isinstance(v, (int, float)))
        yield Probe(number, stage, one, own, known) if known else Probe(number, stage, one, "", (None,))


def hopeless_from(rows: Sequence[Bearing], *, stage: str, hopeless: float, falling: bool = False) -> float | None:
    """The mildest strength at which more than half of the groups alone lose more than the share `hopeless`.

    With `falling` smaller values are stronger. None when there is no such strength, or nothing was measured.
    """
    strengths = {row.strength for row in rows if row.stage == stage and row.strength is not None}
    for strength in sorted(strengths, reverse=falling):
        losses = [r.loss for r in rows if r.stage == stage and r.strength == strength and r.loss is not None]
        if losses and sum(loss > hopeless for loss in losses) > len(losses) / 2:
            return strength
    return None


def bearable_until(
    rows: Sequence[Bearing], *, stage: str, limit: float, hopeless: float, falling: bool = False
) -> float | None:
    """The strength between the hopeless `limit` and the next milder one at which the median loss is about `hopeless`.

    None when nothing milder was measured.
    """
    losses: dict[float, list[float]] = {}
    for row in rows:
        if row.stage == stage and row.strength is not None and row.loss is not None:
            losses.setdefault(row.strength, []).append(row.loss)
    milder = [strength for strength in losses if (strength > limit if falling else strength < limit)]
    if not milder:
        return None
    near = min(milder, key=lambda strength: abs(strength - limit))
    low, high = np.median(losses[near]), np.median(losses[limit])
    share = np.clip((hopeless - low) / (high - low), 0.0, 1.0) if high > low else 0.0
    end = float(f"{near + share * (limit - near):.3g}")
    return min(end, near) if falling else max(end, near)


def fragile_groups(rows: Sequence[Bearing], *, stage: str, hopeless: float) -> list[str]:
    """The groups that lose more than the share `hopeless` at every strength that was tried."""
    found = []
    for group in dict.fromkeys(row.group for row in rows if row.stage == stage and row.group):
        losses = [r.loss for r in rows if r.stage == stage and r.group == group and r.loss is not None]
        if losses and min(losses) > hopeless:
            found.append(group)
    return found


def _rows(
    probe: Probe,
    groups: Sequence[str],
    model: Model,
    context: Context,
    split: Split,
    *,
    start: float,
    score: Objective,
    measured: Mapping[Probed, Bearing],
) -> Iterator[Bearing]:
    base: dict[str, Any] = {"stage": probe.stage, "field": probe.field, "n": len(split)}
    for place, group in enumerate(groups or [WHOLE]):
        context.listener(
            Event(
                "compress.sensitivity",
                {"stage": probe.stage, "group": group, "number": place + 1, "of": len(groups) or 1},
            )
        )
        others = [other for other in groups if other != group]
        for value in probe.values:
            if before := measured.get((probe.stage, group, probe.field, value)):
                yield before
                continue
            here = {**base, "group": group, "strength": value}
            try:
                made = _variant(probe, value, others).apply(model, context)
                reached = _score(made, context, split)
            except InterruptedRunError:
                raise
            except NetwrightError as error:
                yield Bearing(**here, score=None, loss=None, params=None, reason=str(error))
                continue
            worse = (score.loss(reached) - score.loss(start)) / (abs(start) or 1.0)
            params = sum(parameter.numel() for parameter in made.module.parameters())
            yield Bearing(**here, score=reached, loss=worse, params=params)


def _variant(probe: Probe, value: float | None, others: Sequence[str]) -> Pass:
    """The pass at one strength with all groups but one on its list of layers to ignore."""
    spec = spec_of(probe.one)
    if probe.field and value is not None:
        old = spec.get(probe.field)
        spec[probe.field] = int(value) if isinstance(old, int) and float(value).is_integer() else value
    if others:
        spec[probe.ignore] = [*spec[probe.ignore], *others]
    return built(Pass, spec)


def _groups(probe: Probe, model: Model, context: Context) -> list[str]:
    """The groups a pass applies to, where it can be told to leave the others alone; else none."""
    if not probe.ignore:
        return []
    try:
        if probe.one.stage == "file":  # layers go by their names in the file
            notes = probe.one.apply(model, context).notes[len(model.notes) :]
            return list(dict.fromkeys(note.layer for note in notes if note.layer and note.verdict in _IN_FILE))
        verdicts = probe.one.check(model, context)
    except (ConfigurationError, InterruptedRunError):
        raise
    except NetwrightError:
        return []
    return list(dict.fromkeys(verdict.layer for verdict in verdicts if verdict.applies and verdict.layer))


def _changes_structure_or_values(one: Pass) -> bool:
    """Whether a pass without its training changes the network at all: one that only trains does not."""
    return IGNORE[0] in type(one).model_fields or one.strength is not None or not one.trains


def _is_ordered(field: OpenField) -> bool:
    """Whether the values of a field are numbers, of which one can be stronger than another."""
    if field.kind == "choice":
        return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in field.choice)
    return field.kind in ("integer", "real") and field.field not in ("epochs", "steps", "learning_rate")


def _some(context: Context, samples: int) -> Split:
    """So many samples of the validation split, spread evenly over it."""
    whole = context.task.data().validation
    if len(whole) <= samples:
        return whole
    return whole.take(np.linspace(0, len(whole) - 1, samples).astype(np.int64))


def _score(model: Model, context: Context, split: Split) -> float:
    """The task's own score of what would be deployed: the file where there is one, else the module."""
    if model.file is None:
        from netwright.tasks.prediction import evaluate_split

        return float(evaluate_split(model.module, context.task, split)[context.task.primary().metric])
    from netwright.export.onnx_runtime import Session
    from netwright.export.scoring import score_file

    return float(score_file(Session(model.file), context.task, split)[context.task.primary().metric])
