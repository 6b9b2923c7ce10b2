"""What a search on a table is after: columns to optimise, columns to report, columns of shorter trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.records import Objective

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
    `epochs` is the length of the whole one, None where it is not known.
    """

    objectives: tuple[Objective, ...]
    reported: tuple[Objective, ...]
    fidelities: tuple[Fidelity, ...] = ()
    epochs: int | None = None

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
) -> Goals:
    """Goals from texts such as `max:accuracy` and `accuracy_12@12`; `names` are short names of columns.

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
    return Goals(searched, shown + searched[len(shown) :], shorter, whole[0] if whole else None)


def _objective(text: str, option: str, names: Mapping[str, str]) -> Objective:
    direction, colon, column = text.partition(":")
    if not colon or not column or direction not in DIRECTIONS:
        raise ConfigurationError([Mistake(option, f"expected max:COLUMN or min:COLUMN, came {text!r}")])
    return Objective(metric=names.get(column, column), direction=DIRECTIONS[direction])


def _fidelity(text: str, names: Mapping[str, str]) -> Fidelity:
    column, at, epochs = text.rpartition("@")
    if not at or not column or not epochs.isdigit() or int(epochs) < 1:
        raise ConfigurationError([Mistake("--fidelity", f"expected COLUMN@EPOCHS, came {text!r}")])
    return Fidelity(names.get(column, column), int(epochs))
