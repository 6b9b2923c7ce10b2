"""What a search on a table is after: columns to optimise, columns to report, columns of shorter trainings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.records import Objective

OBJECTIVE = re.compile(r"^(max|min):(.+?)(?:(<=|>=)(.+))?$")
DIRECTIONS: Mapping[str, Literal["maximize", "minimize"]] = {"max": "maximize", "min": "minimize"}


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The column that holds the first objective after so many epochs."""

    column: str
    epochs: int


@dataclass(frozen=True, slots=True)
class Goals:
    """The objectives a strategy is told, those its choice is judged by, and the epochs behind them.

    `reported` has one objective for each of `objectives`. `fidelities` are shorter trainings, in order;
    `epochs` is the length of the whole one, None where it is not known. `known` are columns of objectives whose
    values are there before an architecture is paid for, as a count of parameters is.
    """

    objectives: tuple[Objective, ...]
    reported: tuple[Objective, ...]
    fidelities: tuple[Fidelity, ...] = ()
    epochs: int | None = None
    known: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Every column that is read."""
        return [o.metric for o in (*self.objectives, *self.reported)] + [f.column for f in self.fidelities]


def parse_goals(
    objectives: Sequence[str],
    *,
    reported: Sequence[str] = (),
    fidelities: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    known: Sequence[str] = (),
) -> Goals:
    """Goals from texts such as `max:accuracy` and `accuracy_12@12`; `names` are short names of columns.

    An objective may have a bound, such as `min:params<=500000`. `known` are the objectives whose values are known
    before an architecture is paid for: by default those after the first that are minimised, `none` for none.

    Reported columns stand for the objectives in their order; objectives without one are reported themselves. A
    fidelity on the first objective's own column says how long the whole training was. Raises ConfigurationError.
    """
    short = names or {}
    if not objectives:
        raise ConfigurationError([Mistake("--objective", "is missing; give max:COLUMN or min:COLUMN")])
    searched = tuple(_objective(text, "--objective", short) for text in objectives)
    shown = tuple(_objective(text, "--report", short) for text in reported)
    columns = [objective.metric for objective in searched]
    if len(set(columns)) < len(columns):
        raise ConfigurationError([Mistake("--objective", f"names a column twice: {', '.join(columns)}")])
    if len(shown) > len(searched):
        raise ConfigurationError([Mistake("--report", f"{len(shown)} columns for {len(searched)} objectives")])
    found = sorted((_fidelity(text, short) for text in fidelities), key=lambda fidelity: fidelity.epochs)
    whole = [f.epochs for f in found if f.column == searched[0].metric]
    shorter = tuple(f for f in found if f.column != searched[0].metric)
    if whole and shorter and shorter[-1].epochs >= whole[0]:
        wrong = Mistake("--fidelity", f"{shorter[-1].column} is not shorter than the {whole[0]} epochs of {columns[0]}")
        raise ConfigurationError([wrong])
    told = _known(searched, [short.get(name, name) for name in known])
    return Goals(searched, shown + searched[len(shown) :], shorter, whole[0] if whole else None, told)


def _known(objectives: Sequence[Objective], given: Sequence[str]) -> tuple[str, ...]:
    if not given:
        return tuple(o.metric for o in objectives[1:] if o.direction == "minimize")
    if list(given) == ["none"]:
        return ()
    columns = [o.metric for o in objectives]
    for name in given:
        if name not in columns:
            raise ConfigurationError(
                [Mistake("--known", f"{name!r} is none of the objectives ({', '.join(columns)}); name one, or none")]
            )
    return tuple(given)


def _objective(text: str, option: str, names: Mapping[str, str]) -> Objective:
    found = OBJECTIVE.match(text)
    if found is None:
        expected = "expected max:COLUMN or min:COLUMN, with a bound as min:COLUMN<=5 or max:COLUMN>=90"
        raise ConfigurationError([Mistake(option, f"{expected}, came {text!r}")])
    direction, column, sign, bound = found.groups()
    if bound is None:
        return Objective(metric=names.get(column, column), direction=DIRECTIONS[direction])
    if (sign == "<=") != (direction == "min"):
        right = "<=" if direction == "min" else ">="
        raise ConfigurationError(
            [Mistake(option, f"the bound of {direction}:{column} is written {right}, came {sign}")]
        )
    try:
        limit = float(bound)
    except ValueError:
        raise ConfigurationError([Mistake(option, f"the bound of {column} is no number: {bound!r}")]) from None
    return Objective(metric=names.get(column, column), direction=DIRECTIONS[direction], bound=limit)


def _fidelity(text: str, names: Mapping[str, str]) -> Fidelity:
    column, at, epochs = text.rpartition("@")
    if not at or not column or not epochs.isdigit() or int(epochs) < 1:
        raise ConfigurationError([Mistake("--fidelity", f"expected COLUMN@EPOCHS, came {text!r}")])
    return Fidelity(names.get(column, column), int(epochs))
