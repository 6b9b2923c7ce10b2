"""Known good architectures first, then another strategy."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from netwright.core.errors import ConfigurationError, Mistake, SpaceError
from netwright.core.plugins import built
from netwright.core.records import Objective, Trial
from netwright.nas.earlier_run import RECORD, finished
from netwright.nas.evidence import key_of, read
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace

Given = Mapping[str, Any] | str


def _strategy(spec: object) -> Strategy:
    return built(Strategy, spec)


class WarmStart(Strategy):
    """Tries given architectures first, in their order, then goes on with another strategy, which learns from them.

    An architecture of another space is carried over: decisions that this space allows are kept, others are drawn.
    A file has one architecture a line in JSON: decisions, a genotype, or an object with `decisions`. The folder of an
    earlier run gives its finished trials, best first by the objectives of this search.
    """

    architectures: tuple[Given, ...] = Field(default=(), description="decisions, or genotypes of the space")
    file: Path | None = Field(
        default=None, description="more of them: one JSON value a line, or a run folder; read when a search asks"
    )
    most: int | None = Field(default=None, ge=1, description="try so many of them; default: all")
    then: Annotated[SerializeAsAny[Strategy], BeforeValidator(_strategy)] = Field(
        default="evolution", validate_default=True, description="the strategy that goes on"
    )

    @field_validator("file")
    @classmethod
    def _found_again(cls, file: Path | None) -> Path | None:
        """The search may go on in another folder than the one it began in."""
        return None if file is None else file.absolute()

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        known = read(space, trials).known
        given = [*self.architectures, *(_read(self.file, tuple(objectives)) if self.file else ())][: self.most]
        # every trial passes one by, or a known network written otherwise would be proposed for ever
        for place in range(len(trials), len(given)):
            decisions = _carried_over(space, given[place], rng)
            if decisions is not None and key_of(decisions) not in known:
                return Proposal(decisions, f"given {place + 1} of {len(given)}")
        return self.then.proposed(space, trials, objectives, rng)


def _carried_over(space: SearchSpace, given: Given, rng: random.Random) -> dict[str, Any] | None:
    """Decisions of the space that are as near to the given as it allows; None when it allows nothing."""
    try:
        if isinstance(given, str):
            return space.from_genotype(given)
        return space.crossover(given, given, rng)
    except SpaceError:
        return None


def _read(path: Path, objectives: tuple[Objective, ...]) -> tuple[Given, ...]:
    try:
        if path.is_dir():
            return finished(path, (path / RECORD).stat().st_mtime_ns, objectives)
        return _parsed(path, path.stat().st_mtime_ns)
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        raise ConfigurationError([Mistake("file", f"cannot be read: {error}")], source=str(path)) from None


@lru_cache(maxsize=8)
def _parsed(path: Path, changed_ns: int) -> tuple[Given, ...]:
    """The architectures of a file; `changed_ns` is its time of change, so that a new one is read anew."""
    del changed_ns
    found: list[Given] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ConfigurationError([Mistake(f"line {number}", f"is no JSON: {error}")], source=str(path)) from None
        if isinstance(value, dict) and isinstance(value.get("decisions"), dict):
            value = value["decisions"]
        if not isinstance(value, (dict, str)):
            expected = "expected decisions, a genotype, or an object with decisions"
            raise ConfigurationError([Mistake(f"line {number}", f"{expected}; came {line:.80}")], source=str(path))
        found.append(value)
    return tuple(found)
