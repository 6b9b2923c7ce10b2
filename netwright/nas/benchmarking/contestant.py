"""Who takes part in a comparison: a strategy of ours with its settings, or a peer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netwright.core.config import with_overrides
from netwright.core.errors import ConfigurationError, Mistake, NetwrightError
from netwright.core.plugins import build, names
from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.core.seeds import generator
from netwright.nas.benchmarking.peer import Peer, libraries, make_peer
from netwright.nas.benchmarking.table import BenchmarkTable
from netwright.nas.strategy import Strategy

CACHED = "+cache"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A strategy, or a peer as library, method and settings; `name` is how it was asked for.

    A peer pays for every ask, as its library does; with `cache` only for what it has not paid for before.
    """

    name: str
    strategy: Strategy | None = None
    library: str = ""
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    cache: bool = True


def parse_strategy(text: str) -> Contestant:
    """`evolution` or `evolution:population=50,tournament=10` or `pkg.mod:Class`; raises ConfigurationError."""
    name, settings = with_settings(text)
    try:
        strategy = build("strategy", {"kind": name, **settings})
    except ConfigurationError as error:
        raise ConfigurationError(error.mistakes, source=f"--strategy {text}") from None
    assert isinstance(strategy, Strategy)
    return Contestant(text, strategy)


def parse_peer(text: str) -> Contestant:
    """`optuna:tpe`, `optuna:tpe+cache` or `optuna:tpe+cache:multivariate=true`; raises ConfigurationError."""
    name, settings = with_settings(text)
    library, colon, method = name.partition(":")
    if not colon or not method:
        known = ", ".join(libraries())
        raise ConfigurationError([Mistake("--peer", f"expected LIBRARY:METHOD (libraries: {known}), came {text!r}")])
    cache = method.endswith(CACHED)
    return Contestant(text, None, library, method.removesuffix(CACHED), settings, cache)


def check(contestant: Contestant, table: BenchmarkTable, objectives: Sequence[Objective]) -> None:
    """Raises a NetwrightError where a contestant cannot serve the space or that many objectives."""
    if contestant.strategy is None:
        peer_of(contestant, table, objectives, seed=0)
        return
    trials: list[Trial] = []
    for (key, row), number in zip(table.rows.items(), range(3), strict=False):
        contestant.strategy.proposed(table.space, trials, objectives, generator(0, "check", number))
        values = {o.metric: Measurement(metric=o.metric, value=table.value(row, o.metric)) for o in objectives}
        identity = table.identity(dict(key))
        trials.append(
            Trial(number=number, decisions=dict(key), identity=identity, state=TrialState.DONE, measurements=values)
        )


def all_strategies(table: BenchmarkTable, objectives: Sequence[Objective]) -> tuple[list[Contestant], dict[str, str]]:
    """Every strategy with its default settings that can serve, and why each of the others cannot.

    A strategy that prepares itself by looking at a task is left out: a table has no task, and without one it would
    pass for another strategy. It takes part when it is named.
    """
    able: list[Contestant] = []
    reasons: dict[str, str] = {}
    for name in names("strategy"):
        try:
            contestant = parse_strategy(name)
            if _looks_at_a_task(contestant):
                reasons[name] = f"it looks at a task's data, and a table has none; --strategy {name} tries it as it is"
                continue
            check(contestant, table, objectives)
        except NetwrightError as error:
            reasons[name] = str(error)
        else:
            able.append(contestant)
    return able, reasons


def _looks_at_a_task(contestant: Contestant) -> bool:
    return contestant.strategy is not None and contestant.strategy.looks_at_data


def peer_of(contestant: Contestant, table: BenchmarkTable, objectives: Sequence[Objective], *, seed: int) -> Peer:
    """The peer, at the start of a search."""
    return make_peer(
        contestant.library,
        contestant.method,
        settings=contestant.settings,
        space=table.space,
        objectives=objectives,
        seed=seed,
    )


def with_settings(text: str) -> tuple[str, dict[str, Any]]:
    """`name:a=1,b=[1,2]` as the name and its settings; a comma parts only before another `name=`."""
    name, colon, rest = text.rpartition(":")
    if not colon or "=" not in rest:
        return text, {}
    return name, with_overrides({}, re.split(r",(?=[\w.]+=)", rest))
