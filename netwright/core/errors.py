"""The errors netwright raises on purpose; what only one file raises and catches is a subclass there.

NetwrightError                 a person can mend it: one clear sentence, exit code 2
├── ConfigurationError         a specification with one or more mistakes, all of them at once
├── UnknownNameError           no plugin, trial, metric or run of that name
├── MissingPackageError        an optional package is not installed
├── DataError                  the task's data is missing, empty, mismatched or out of range
├── SpaceError                 decisions or a search space that make no network
│   └── ShapeError             an operation that cannot serve the shape it is given
├── InfeasibleError            nothing satisfies the bounds
├── RunError                   a run folder that is missing, foreign, damaged or in use
├── CheckpointError            weights that do not fit or cannot be trusted
├── CompressionError           a pass or recipe that cannot be applied
├── ExportError                a model that the target format or runtime refuses
│   └── ParityError            an exported model that does not compute what the original does
└── InterruptedRunError        the user stopped the run; it can be resumed
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class NetwrightError(Exception):
    """A mistake that a person can mend; the text says what came, what was expected, what to do."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration: where it is, and a sentence about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class ConfigurationError(NetwrightError, ValueError):
    """A configuration with mistakes; `mistakes` lists all of them."""

    def __init__(self, mistakes: Sequence[Mistake], *, source: str = "") -> None:
        self.mistakes = tuple(mistakes)
        self.source = source
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.source}: " if self.source else ""
        if len(self.mistakes) == 1:
            return f"{head}{self.mistakes[0]}"
        lines = "\n".join(f"  - {mistake}" for mistake in self.mistakes)
        return f"{head}{len(self.mistakes)} mistakes\n{lines}"


class UnknownNameError(NetwrightError, ValueError):
    """A name that nothing answers to; the text suggests the nearest one that exists."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(f"no {what} is called {name!r}{suggestion(name, self.known)}")


class MissingPackageError(NetwrightError):
    """An optional package is needed; the text gives the line that installs it."""


class DataError(NetwrightError):
    """Data that is missing, empty, mismatched or out of range."""


class SpaceError(NetwrightError):
    """Decisions or a search space that make no network."""


class ShapeError(SpaceError):
    """An operation that cannot serve the shape it is given."""


class InfeasibleError(NetwrightError):
    """Nothing satisfies the bounds."""


class RunError(NetwrightError):
    """A run folder that is missing, foreign, damaged or in use."""


class CheckpointError(NetwrightError):
    """Weights that do not fit the model or cannot be trusted."""


class CompressionError(NetwrightError):
    """A compression pass or recipe that cannot be applied."""


class ExportError(NetwrightError):
    """A model that the target format or its runtime refuses."""


class ParityError(ExportError):
    """An exported model that does not compute what the original does."""


class InterruptedRunError(NetwrightError):
    """The user stopped the run; everything recorded is kept and the run can be resumed."""


def suggestion(name: str, known: Sequence[str]) -> str:
    """The tail of a message about an unknown name: the nearest known name, then all of them."""
    near = get_close_matches(name, known, n=1, cutoff=0.6) or [
        one for one in known if one.split("_")[0] == name.split("_")[0]
    ]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(known) if known else "none"
    return f"{hint} (known: {listed})"
