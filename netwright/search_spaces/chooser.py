"""The chooser: what a space's `decide` asks. Every use of a space is another chooser.

`decide(choose)` is plain Python, so a conditional or repeated decision is an `if` or a `for`, and a
decision that was not asked for does not exist.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

from netwright.core.errors import SpaceError
from netwright.core.records import Scalar
from netwright.search_spaces.domain import Categorical, Domain, Integer, Real, Subset, Value


class RejectedDecisionsError(SpaceError):
    """Decisions that break a constraint of their space."""


Option = TypeVar("Option", bound=Scalar)
Item = TypeVar("Item")
BOOLEAN = Categorical((False, True))


class Chooser(ABC):
    """Answers the questions of `decide` and notes every decision with its domain.

    Names are paths: inside `with choose.scope("stage1")` the name `width` becomes `stage1/width`.
    A name that starts with `/` is absolute. Asking for the same name again gives the same answer,
    which is how one decision is shared by several places.
    """

    def __init__(self) -> None:
        self._scopes: list[str] = []
        self.decisions: dict[str, Value] = {}
        self.domains: dict[str, Domain] = {}

    @abstractmethod
    def draw(self, name: str, domain: Domain) -> Value:
        """The value of a decision that is asked for the first time."""

    def one_of(self, name: str, options: Sequence[Option]) -> Option:
        """One of the options."""
        held = _CHOICES.get(id(options))
        domain = self._domain(name, _choice, options) if held is None else held[1]
        return self._answer(name, domain)  # type: ignore[return-value]  # a choice's value is one of its options

    def integer(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """A whole number from low to high, both included."""
        value = self._answer(name, self._domain(name, Integer, low, high, step))
        assert isinstance(value, int)
        return value

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high."""
        value = self._answer(name, self._domain(name, Real, low, high, log))
        assert isinstance(value, (int, float))
        return float(value)

    def boolean(self, name: str) -> bool:
        """True or False."""
        return bool(self._answer(name, BOOLEAN))

    def subset(
        self, name: str, options: Sequence[Scalar], *, least: int = 0, most: int | None = None
    ) -> tuple[Scalar, ...]:
        """Some of the options, in their order."""
        most = len(options) if most is None else most
        value = self._answer(name, self._domain(name, Subset, tuple(options), least, most))
        assert isinstance(value, tuple)
        return value

    def require(self, condition: bool, reason: str) -> None:
        """State a constraint next to the decisions it is about; random choosers try again when it fails."""
        if not condition:
            raise RejectedDecisionsError(f"these decisions are not allowed: {reason}")

    @contextmanager
    def scope(self, name: str | int) -> Iterator[None]:
        """Names asked inside are put under `name/`."""
        self._scopes.append(str(name))
        try:
            yield
        finally:
            self._scopes.pop()

    def each(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items one after another, what is asked for each under a scope of its own: `name1`, `name2`, ..."""
        for number, item in enumerate(items, start=1):
            with self.scope(f"{name}{number}"):
                yield item

    def _domain(self, name: str, kind: Callable[..., Domain], *arguments: object) -> Domain:
        try:
            return kind(*arguments)
        except SpaceError as error:
            raise SpaceError(f"the decision {self._path(name)!r} cannot be asked for: {error}") from None

    def _path(self, name: str) -> str:
        if name[:1] == "/":
            return name[1:]
        return "/".join([*self._scopes, name]) if self._scopes else name

    def _answer(self, name: str, domain: Domain) -> Value:
        path = self._path(name)
        if path in self.decisions:
            if self.domains[path] != domain:
                raise SpaceError(f"the decision {path!r} is asked for twice, with different options")
            return self.decisions[path]
        value = self.draw(path, domain)
        self.decisions[path] = value
        self.domains[path] = domain
        return value


@lru_cache(maxsize=4096)
def _categorical(options: tuple[Scalar, ...], kinds: tuple[type, ...]) -> Categorical:
    """The choice among these options; `kinds` tells 1 from True and 1.0, which Python calls equal."""
    del kinds
    return Categorical(options)


_CHOICES: dict[int, tuple[Sequence[Scalar], Categorical]] = {}
"""Choices by the identity of their tuple of options, which is held so that no other can take its place."""


def _choice(options: Sequence[Scalar]) -> Categorical:
    """The choice among these options, held to be found at once when they are a tuple."""
    try:
        found = _categorical(tuple(options), tuple(map(type, options)))
    except TypeError:  # options that cannot be hashed, which are none
        return Categorical(tuple(options))
    if type(options) is tuple:
        if len(_CHOICES) > 4096:
            _CHOICES.clear()
        _CHOICES[id(options)] = options, found
    return found
