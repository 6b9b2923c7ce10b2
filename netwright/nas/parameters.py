"""Decisions as flat parameters with fixed ranges, for samplers that know no conditional decisions.

The options of a decision may hang on earlier ones (no fewer filters than the layer before), while a
sampler wants one range per name. So a parameter ranges over all that was ever allowed for its name,
and a value that is not allowed here is mended to the nearest that is.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from netwright.core.records import Scalar
from netwright.search_spaces.domain import Categorical, Domain, Integer, Real, Subset, Value

Range = Categorical | Integer | Real
"""What a parameter may be; the options of a Categorical are JSON texts, so that 1 and True differ."""

Parameters = Mapping[str, str | int | float]

MEMBERSHIP = Categorical(("false", "true"))


@dataclass(frozen=True, slots=True)
class Encoded:
    """One architecture as parameters: names, values and ranges, in the order of the questions."""

    names: tuple[str, ...]
    values: tuple[str | int | float, ...]
    ranges: tuple[Range, ...]


@lru_cache(maxsize=65536)
def parameters_of(name: str, domain: Domain) -> tuple[tuple[str, Range], ...]:
    """The parameters that stand for one decision; a subset has one for each of its options."""
    if isinstance(domain, Subset):
        return tuple((f"member:{name}:{_text(option)}", MEMBERSHIP) for option in domain.options)
    if isinstance(domain, Categorical):
        return ((f"choice:{name}", Categorical(tuple(_text(option) for option in domain.options))),)
    if isinstance(domain, Integer):
        return ((f"integer:{name}", domain),)
    return ((f"{'log' if domain.log else 'real'}:{name}", domain),)


def encode(decisions: Iterable[tuple[str, Value, Domain]]) -> Encoded:
    """Decisions with their domains as parameters."""
    names: list[str] = []
    values: list[str | int | float] = []
    ranges: list[Range] = []
    for name, value, domain in decisions:
        for (parameter, allowed), encoded in zip(parameters_of(name, domain), _encoded(value, domain), strict=True):
            names.append(parameter)
            values.append(encoded)
            ranges.append(allowed)
    return Encoded(_shared(tuple(names)), tuple(values), _shared(tuple(ranges)))


@lru_cache(maxsize=4096)
def _shared(one: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first that was equal to it, so that equal ones can be told by being the same object."""
    return one


def decode(name: str, domain: Domain, parameters: Parameters, rng: random.Random) -> Value:
    """The allowed value nearest to what the parameters say."""
    given = [parameters[parameter] for parameter, _ in parameters_of(name, domain)]
    if isinstance(domain, Subset):
        wanted = [o for o, member in zip(domain.options, given, strict=True) if member == "true"]
        return _mended_subset(domain, wanted, rng)
    (value,) = given
    if isinstance(domain, Categorical):
        return _nearest_option(domain, json.loads(str(value)), rng)
    clamped = min(max(float(value), domain.low), domain.high)
    if isinstance(domain, Real):
        return clamped
    return domain.low + round((clamped - domain.low) / domain.step) * domain.step


def joined(encoded: Iterable[Encoded]) -> dict[str, Range]:
    """For every parameter one range that covers all it was ever allowed to be."""
    seen: dict[str, dict[Range, None]] = {}
    for one in {(id(e.names), id(e.ranges)): e for e in encoded}.values():
        for name, allowed in zip(one.names, one.ranges, strict=True):
            seen.setdefault(name, {})[allowed] = None
    return {name: _union(tuple(found)) for name, found in seen.items()}


def covers(wide: Range, narrow: Range) -> bool:
    """Whether every value of `narrow` is one of `wide`."""
    if isinstance(wide, Categorical):
        return isinstance(narrow, Categorical) and set(narrow.options) <= set(wide.options)
    return type(wide) is type(narrow) and _union((wide, narrow)) == wide


@lru_cache(maxsize=4096)
def _union(ranges: tuple[Range, ...]) -> Range:
    if len(ranges) == 1:
        return ranges[0]
    first = ranges[0]
    if isinstance(first, Categorical):
        return Categorical(tuple(dict.fromkeys(option for r in ranges for option in _options(r))))
    low = min(r.low for r in ranges if not isinstance(r, Categorical))
    high = max(r.high for r in ranges if not isinstance(r, Categorical))
    if isinstance(first, Real):
        return Real(low, high, first.log)
    whole = [r for r in ranges if isinstance(r, Integer)]
    step = math.gcd(*(r.step for r in whole), *(r.low - int(low) for r in whole))
    return Integer(int(low), int(high) - (int(high) - int(low)) % step, step)


def _options(allowed: Range) -> Sequence[Scalar]:
    assert isinstance(allowed, Categorical)
    return allowed.options


def _encoded(value: Value, domain: Domain) -> list[str | int | float]:
    if isinstance(domain, Subset):
        assert isinstance(value, tuple)
        return ["true" if option in value else "false" for option in domain.options]
    assert not isinstance(value, tuple)
    if isinstance(domain, Categorical):
        return [_text(value)]
    return [value]


def _nearest_option(domain: Categorical, value: Scalar, rng: random.Random) -> Value:
    if domain.holds(value):
        return value
    if _is_number(value) and all(_is_number(option) for option in domain.options):
        return min(domain.options, key=lambda option: abs(float(option) - float(value)))
    return domain.draw(rng)


def _mended_subset(domain: Subset, wanted: list[Scalar], rng: random.Random) -> Value:
    """The wanted options, with a few added or dropped at random when their number is not allowed."""
    others = [option for option in domain.options if option not in wanted]
    if len(wanted) > domain.most:
        wanted = rng.sample(wanted, domain.most)
    elif len(wanted) < domain.least:
        wanted = wanted + rng.sample(others, domain.least - len(wanted))
    return tuple(option for option in domain.options if option in wanted)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@lru_cache(maxsize=4096, typed=True)
def _text(value: Scalar) -> str:
    return json.dumps(value)
