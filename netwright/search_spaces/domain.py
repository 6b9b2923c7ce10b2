"""What one decision may be: a choice among options, an integer, a real number, a subset."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from netwright.core.errors import SpaceError
from netwright.core.records import Scalar

Value: TypeAlias = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of a few options, each a bool, int, float or str; their order means nothing."""

    options: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise SpaceError("a choice needs at least one option")
        _check_scalars(self.options)
        if len(set(map(repr, self.options))) != len(self.options):
            raise SpaceError(f"a choice needs options that differ, came {list(self.options)}")

    @property
    def size(self) -> float:
        return len(self.options)

    def values(self) -> list[Value]:
        return list(self.options)

    def draw(self, rng: random.Random) -> Value:
        return rng.choice(self.options)

    def holds(self, value: object) -> bool:
        # 1, 1.0 and True are equal in Python but not the same option
        options = self.options
        if value not in options:
            return False
        if type(value) is type(options[options.index(value)]):
            return True
        return any(type(value) is type(option) and value == option for option in options)

    def describe(self) -> str:
        return "one of " + ", ".join(repr(option) for option in self.options)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `low` to `high`, both included, in steps of `step`; order means something."""

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        if not (isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int)):
            raise SpaceError(f"a range has whole numbers, came {self.low!r}..{self.high!r} by {self.step!r}")
        if self.low > self.high or self.step < 1:
            raise SpaceError(f"a range needs low <= high and step >= 1, came {self.low}..{self.high} by {self.step}")

    @property
    def size(self) -> float:
        return (self.high - self.low) // self.step + 1

    def values(self) -> list[Value]:
        return list(range(self.low, self.high + 1, self.step))

    def draw(self, rng: random.Random) -> Value:
        return rng.randrange(self.low, self.high + 1, self.step)

    def holds(self, value: object) -> bool:
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def describe(self) -> str:
        by = f" by {self.step}" if self.step != 1 else ""
        return f"a whole number from {self.low} to {self.high}{by}"


@dataclass(frozen=True, slots=True)
class Real:
    """A number from `low` to `high`, drawn evenly on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if self.low > self.high or (self.log and self.low <= 0):
            raise SpaceError(f"a range needs low <= high (and low > 0 when log), came {self.low}..{self.high}")

    @property
    def size(self) -> float:
        return 1 if self.low == self.high else math.inf

    def values(self) -> list[Value]:
        if self.low == self.high:
            return [self.low]
        raise SpaceError("a real-valued decision cannot be enumerated; use integer or one_of")

    def draw(self, rng: random.Random) -> Value:
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = rng.uniform(self.low, self.high)
        return min(max(drawn, self.low), self.high)

    def holds(self, value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def describe(self) -> str:
        return f"a number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Subset:
    """Between `least` and `most` of a few options, in the order of the options."""

    options: tuple[Scalar, ...]
    least: int
    most: int

    def __post_init__(self) -> None:
        _check_scalars(self.options)
        if not 0 <= self.least <= self.most <= len(self.options):
            raise SpaceError(f"a subset of {len(self.options)} options cannot have {self.least} to {self.most} of them")

    @property
    def size(self) -> float:
        return sum(math.comb(len(self.options), count) for count in range(self.least, self.most + 1))

    def values(self) -> list[Value]:
        return [c for count in range(self.least, self.most + 1) for c in combinations(self.options, count)]

    def draw(self, rng: random.Random) -> Value:
        counts = list(range(self.least, self.most + 1))
        weights = [math.comb(len(self.options), count) for count in counts]
        count = rng.choices(counts, weights)[0]
        chosen = sorted(rng.sample(range(len(self.options)), count))
        return tuple(self.options[index] for index in chosen)

    def holds(self, value: object) -> bool:
        if not isinstance(value, (tuple, list)):
            return False
        return self.least <= len(value) <= self.most and tuple(value) == tuple(o for o in self.options if o in value)

    def describe(self) -> str:
        count = f"{self.least} to {self.most}" if self.least < self.most else self.most
        return f"a list of {count} of {', '.join(repr(option) for option in self.options)}, in this order"


def _check_scalars(options: Sequence[object]) -> None:
    for option in options:
        if not isinstance(option, (int, float, str)):
            raise SpaceError(f"an option is a bool, int, float or str, came {option!r:.100} ({type(option).__name__})")


Domain: TypeAlias = Categorical | Integer | Real | Subset
