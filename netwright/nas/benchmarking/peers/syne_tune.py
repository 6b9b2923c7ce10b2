"""Syne Tune's schedulers as peers, through its AskTellScheduler; syne-tune must be installed beside netwright."""

from __future__ import annotations

import importlib
import inspect
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

from netwright.core.errors import ConfigurationError, MissingPackageError, Mistake, UnknownNameError
from netwright.core.records import Decisions, Objective
from netwright.nas.benchmarking.peer import Peer
from netwright.nas.parameters import Parameters, Range, decode, encode, joined, parameters_of
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.domain import Categorical, Domain, Integer, Value
from netwright.search_spaces.space import SearchSpace

SCHEDULERS: Mapping[str, str] = {
    "random": "RandomSearch",
    "rea": "REA",
    "tpe": "TPE",
    "bore": "BORE",
    "cqr": "CQR",
    "botorch": "BOTorch",
    "ehvi": "EHVI",
}
SAMPLES = 1000
"""Architectures drawn to learn all parameters of a space: Syne Tune wants them before it starts."""


def make(
    method: str, *, settings: Mapping[str, Any], space: SearchSpace, objectives: Sequence[Objective], seed: int
) -> Peer:
    """The scheduler of that name; `settings` are its own arguments."""
    if method not in SCHEDULERS:
        raise UnknownNameError("scheduler of Syne Tune", method, SCHEDULERS)
    baselines, ask_tell = _modules()
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    ranges = _ranges(space)
    scheduler = getattr(baselines, SCHEDULERS[method])
    names = [f"loss{index}" for index in range(len(objectives))]
    several = "metrics" in inspect.signature(scheduler).parameters
    if len(names) > 1 and not several:
        raise ConfigurationError([Mistake(f"--peer syne-tune:{method}", "serves one objective only")])
    arguments = {"metrics": names} if several else {"metric": names[0]}
    try:
        made = scheduler(
            {name: _domain(allowed) for name, allowed in ranges.items()},
            **arguments,
            do_minimize=True,
            random_seed=seed,
            **settings,
        )
    except (ImportError, NameError) as error:  # it uses names of optional packages without having imported them
        raise MissingPackageError(
            f"--peer syne-tune:{method} needs an optional part of Syne Tune ({error}): pip install 'syne-tune[botorch]'"
        ) from None
    except (TypeError, AssertionError) as error:
        raise ConfigurationError([Mistake(f"--peer syne-tune:{method}", str(error))]) from None
    return SyneTunePeer(ask_tell.AskTellScheduler(base_scheduler=made), space, names)


class SyneTunePeer(Peer):
    """A scheduler over one flat configuration with every parameter of the space; unused ones mean nothing."""

    def __init__(self, scheduler: Any, space: SearchSpace, names: Sequence[str]) -> None:
        self._scheduler = scheduler
        self._space = space
        self._names = names
        self._trial: Any = None

    def ask(self) -> Decisions | None:
        self._trial = self._scheduler.ask()
        chooser = _Configured(self._trial.config, random.Random(self._trial.trial_id))
        try:
            self._space.decide(chooser)
        except RejectedDecisionsError:
            return None
        return dict(chooser.decisions)

    def tell(self, losses: Sequence[float] | None) -> None:
        if losses is None:
            self._scheduler.base_scheduler.on_trial_error(self._trial)
        else:
            self._scheduler.tell(self._trial, dict(zip(self._names, losses, strict=True)))


class _Configured(Chooser):
    """Answers with a configuration; a value that is not allowed becomes the nearest that is."""

    def __init__(self, parameters: Parameters, rng: random.Random) -> None:
        super().__init__()
        self._parameters = parameters
        self._rng = rng

    def draw(self, name: str, domain: Domain) -> Value:
        if any(parameter not in self._parameters for parameter, _ in parameters_of(name, domain)):
            return domain.draw(self._rng)
        return decode(name, domain, self._parameters, self._rng)


def _modules() -> tuple[Any, Any]:
    try:
        return (
            importlib.import_module("syne_tune.optimizer.baselines"),
            importlib.import_module("syne_tune.optimizer.schedulers.ask_tell_scheduler"),
        )
    except ImportError:
        raise MissingPackageError(
            "--peer syne-tune:... needs Syne Tune: pip install syne-tune, in an environment for benchmarks"
        ) from None


def _ranges(space: SearchSpace) -> dict[str, Range]:
    rng = random.Random(0)
    traces = (space.trace(space.sample(rng)) for _ in range(SAMPLES))
    return joined(encode((name, t.decisions[name], domain) for name, domain in t.domains.items()) for t in traces)


def _domain(allowed: Range) -> Any:
    space = importlib.import_module("syne_tune.config_space")
    if isinstance(allowed, Categorical):
        return space.choice([str(option) for option in allowed.options])
    if isinstance(allowed, Integer):
        count = (allowed.high - allowed.low) // allowed.step + 1
        return space.finrange(allowed.low, allowed.high, count, cast_int=True)
    return space.loguniform(allowed.low, allowed.high) if allowed.log else space.uniform(allowed.low, allowed.high)
