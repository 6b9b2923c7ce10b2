"""A field of a pass that may be one of several values: how it is written in a recipe, and its domain.

In YAML a range stands where a value would stand, `ratio: {low: 0.2, high: 0.6}` (also `step`, `log`), or a choice,
`bits: {choice: [4, 5, 6]}`; a pass with `optional: true` may be left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field

from netwright.core.config import Settings
from netwright.core.errors import ConfigurationError, Mistake, NetwrightError
from netwright.core.plugins import load
from netwright.core.records import Scalar

if TYPE_CHECKING:
    from netwright.search_spaces.domain import Domain

RANGE = frozenset({"low", "high", "step", "log"})
CHOICE = frozenset({"choice"})
OPTIONAL = "optional"
USED = "used"


class OpenField(Settings):
    """A decision of a recipe that is searched.

    `name` is `pass/field`, or `pass/used` for a pass that may be left out.
    """

    number: int = Field(ge=0, description="place of the pass in the recipe, from 0")
    name: str = Field(description="of the decision")
    field: str = Field(description="the field, dotted when nested; empty for the pass as a whole")
    kind: Literal["integer", "real", "choice", "optional"] = Field(description="what it may be")
    low: float = Field(default=0, description="smallest value")
    high: float = Field(default=0, description="largest value")
    step: float | None = Field(default=None, description="distance between values; any value when not given")
    log: bool = Field(default=False, description="values are spread evenly over powers")
    choice: tuple[Scalar, ...] = Field(default=(), description="the values")

    def domain(self) -> Domain:
        """What a decision may be; a real range with a step is a choice among its values."""
        from netwright.search_spaces.domain import Categorical, Integer, Real

        if self.kind == "optional":
            return Categorical((False, True))
        if self.kind == "choice":
            return Categorical(self.choice)
        if self.kind == "integer":
            return Integer(int(self.low), int(self.high), int(self.step or 1))
        if self.step is None:
            return Real(self.low, self.high, self.log)
        return Categorical(tuple(self._steps(self.step)))

    def ends(self) -> tuple[Scalar, ...]:
        """The values that must all be valid for the whole range to be: both ends, or every choice."""
        if self.kind == "optional":
            return (True,)
        if self.kind == "choice":
            return self.choice
        if self.kind == "integer":
            return (int(self.low), int(self.high))
        return (self.low, self.high)

    def probes(self) -> tuple[Scalar, ...]:
        """Few values across the whole range, the first and the last included."""
        if self.kind in ("choice", "optional"):
            return self.ends()
        middle = (self.low * self.high) ** 0.5 if self.log else (self.low + self.high) / 2
        if self.kind == "integer":
            return tuple(dict.fromkeys((int(self.low), int(self._on_grid(middle)), int(self.high))))
        return (self.low, float(f"{self._on_grid(middle):.6g}"), self.high)

    def between(self, least: float, most: float) -> OpenField:
        """The same range with nothing below `least` or above `most`; as it is where nothing would be left."""
        if self.kind == "choice":
            kept = tuple(one for one in self.choice if not isinstance(one, (int, float)) or least <= one <= most)
            return self.model_copy(update={"choice": kept or self.choice})
        low, high = self._on_grid(max(self.low, least), up=True), self._on_grid(min(self.high, most))
        return self.model_copy(update={"low": low, "high": high}) if low <= high else self

    def _on_grid(self, value: float, *, up: bool = False) -> float:
        """The next value of the range at or below, or with `up` at or above, a number; itself where all are values."""
        step = self.step or (1.0 if self.kind == "integer" else None)
        if step is None:
            return value
        steps = (value - self.low) / step
        count = math.ceil(steps - 1e-9) if up else math.floor(steps + 1e-9)
        return float(f"{self.low + count * step:.10g}")

    def _steps(self, step: float) -> Iterator[float]:
        count = int((self.high - self.low) / step + 1e-9)
        for number in range(count + 1):
            yield float(f"{self.low + number * step:.10g}")


def split_open(passes: Sequence[object]) -> tuple[list[object], list[dict[str, Any]]]:
    """The passes with the first value of every range in its place, and the ranges as data of OpenField.

    Raises ConfigurationError for a range that is not one.
    """
    plain: list[object] = []
    found: list[dict[str, Any]] = []
    mistakes: list[Mistake] = []
    names: list[str] = []
    for number, spec in enumerate(passes):
        kind = str(spec.get("kind", "")) if isinstance(spec, Mapping) else str(spec)
        name = unique(kind, names)
        names.append(name)
        if not isinstance(spec, Mapping):
            plain.append(spec)
            continue
        settings = {key: value for key, value in spec.items() if key != OPTIONAL}
        here = {"number": number}
        if OPTIONAL in spec:
            if not isinstance(spec[OPTIONAL], bool):
                mistakes.append(
                    Mistake(f"passes.{number}.{OPTIONAL}", f"expected true or false, came {spec[OPTIONAL]!r}")
                )
            elif spec[OPTIONAL]:
                found.append({**here, "name": f"{name}/{USED}", "field": "", "kind": "optional"})
        for path, value in list(_ranges(settings)):
            where = f"passes.{number}.{path}"
            entry, wrong = _read(value, reals=_is_real(kind, path))
            mistakes += [Mistake(where, why) for why in wrong]
            if not wrong:
                found.append({**here, "name": f"{name}/{path}", "field": path, **entry})
                first = entry["choice"][0] if entry["kind"] == "choice" else entry["low"]
                settings = with_value(settings, path, first)
        plain.append(settings)
    if mistakes:
        raise ConfigurationError(mistakes)
    return plain, found


def with_value(settings: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of nested settings with the value at a dotted path."""
    head, dot, rest = path.partition(".")
    return {**settings, head: with_value(settings[head], rest, value) if dot else value}


def unique(name: str, names: Sequence[str]) -> str:
    """The name, numbered from 2 when it is taken already."""
    number, found = 1, name
    while found in names:
        number += 1
        found = f"{name}_{number}"
    return found


def _ranges(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            if set(value) <= RANGE or set(value) == CHOICE:
                yield f"{prefix}{key}", value
            elif all(isinstance(one, str) for one in value):
                yield from _ranges(value, f"{prefix}{key}.")


def _read(value: Mapping[str, Any], *, reals: bool) -> tuple[dict[str, Any], list[str]]:
    """A range as data of OpenField, and what is wrong with it."""
    if set(value) == CHOICE:
        options = value["choice"]
        if (
            not isinstance(options, list)
            or not options
            or not all(isinstance(o, (bool, int, float, str)) for o in options)
        ):
            return {}, [f"a choice is a list of numbers or words, such as {{choice: [4, 5, 6]}}; came {options!r}"]
        if len(set(map(repr, options))) < len(options):
            return {}, [f"the choice names a value twice: {options}"]
        return {"kind": "choice", "choice": options}, []
    low, high, step, log = value.get("low"), value.get("high"), value.get("step"), value.get("log", False)
    if not (_is_number(low) and _is_number(high)):
        return {}, [f"a range needs numbers `low` and `high`, such as {{low: 0.2, high: 0.6}}; came {dict(value)}"]
    wrong = []
    if low > high:  # type: ignore[operator]  # both are numbers here
        wrong.append(f"a range needs low <= high; came {low} and {high}")
    if step is not None and not (_is_number(step) and step > 0):
        wrong.append(f"`step` must be a number above 0; came {step!r}")
    if not isinstance(log, bool) or (log and (low <= 0 or step is not None)):  # type: ignore[operator]  # as above
        wrong.append("`log: true` needs low > 0 and goes without `step`")
    whole = all(isinstance(one, int) for one in (low, high)) and (step is None or isinstance(step, int))
    kind = "integer" if whole and not reals and not log else "real"
    return {"kind": kind, "low": low, "high": high, "step": step, "log": log}, wrong


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0


def _is_real(kind: str, path: str) -> bool:
    """Whether a field takes fractions; an unknown pass or field is refused elsewhere."""
    try:
        field = load("pass", kind).model_fields.get(path)
    except NetwrightError:
        return False
    return field is not None and float in (field.annotation, *get_args(field.annotation))
