"""Optuna's samplers as strategies: a study rebuilt from the record answers a space's questions."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from netwright.core.errors import SpaceError
from netwright.core.records import Objective, Trial
from netwright.nas.evidence import PENDING, Entry, Evidence, Key, Record, draw_new, gather, key_of, read
from netwright.nas.parameters import Encoded, Range, covers, decode, encode, joined, parameters_of
from netwright.nas.ranking import best_and_youngest, ranking
from netwright.nas.scalar import random_weights, scalarised
from netwright.nas.strategy import Proposal
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.domain import Categorical, Domain, Integer, Value
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import optuna

_EPOCH = datetime(1970, 1, 1)
ATTEMPTS = 3
NUDGES = 20
MODELLED = 500
"""So many trials a sampler is told, the best half and the youngest: more take long and hardly help."""
BATCHES = 4
BATCH = 64
PARENTS = 8
REDRAWN = 1.5
"""A Gaussian process compares so many batches of points; children redraw so many parameters of a parent on average."""

Sampler = Callable[[int], "optuna.samplers.BaseSampler"]
"""Makes a sampler from a seed."""


def tpe_sampler(*, startup: int, candidates: int) -> Sampler:
    """Tree-structured Parzen estimator, over all decisions at once and aware of conditional ones."""

    def make(seed: int) -> optuna.samplers.BaseSampler:
        import optuna

        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=startup,
            n_ei_candidates=candidates,
            multivariate=True,
            group=True,
            constant_liar=True,
        )

    return make


def genetic_sampler(kind: str, *, population: int, crossover: float, swap: float) -> Sampler:
    """`NSGAIISampler` or `NSGAIIISampler`: sorts by non-domination; its crossover swaps whole decisions."""

    def make(seed: int) -> optuna.samplers.BaseSampler:
        import optuna

        operator = optuna.samplers.nsgaii.UniformCrossover(swap)
        found: optuna.samplers.BaseSampler = _filled_type(kind)(
            seed=seed, population_size=population, crossover=operator, crossover_prob=crossover
        )
        return found

    return make


def gp_sampler(*, startup: int, exact: bool) -> Sampler:
    """Gaussian process, searched in batches; `exact` says that measurements have no noise."""

    def make(seed: int) -> optuna.samplers.BaseSampler:
        found: optuna.samplers.BaseSampler = _batched_gp_type()(
            seed=seed, n_startup_trials=startup, deterministic_objective=exact, warn_independent_sampling=False
        )
        return found

    return make


def propose(
    space: SearchSpace,
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    rng: random.Random,
    *,
    sampler: Sampler,
    origin: str,
    generation: int | None = None,
    flat: bool = False,
    most: int = MODELLED,
) -> Proposal:
    """What a sampler suggests after the recorded trials.

    The sampler is told at most so many trials: the best half and the youngest. With `flat`, decisions that an
    architecture does not have are filled in, so that all have the same parameters, and objectives and bounds become
    one loss by weights drawn anew at every ask (Knowles, 2006): what one model of flat vectors needs.
    With `generation` decisions are filled in too, and trials are dealt to generations of that size in the order in
    which they were started: the sampler is told the one that is not full, and the best `most` of all before, who may
    become parents.

    Raises SpaceError when the space itself allows nothing.
    """
    record = read(space, trials)
    known = record.known
    with quiet():
        made = sampler(rng.getrandbits(32))
        told = _told(gather(record.own, objectives), generation=generation, most=most)
        told = _weighted(told, rng) if flat and told else told
        study, ranges = _study(space, record, told, made, generations=generation is not None, fill=flat)
        for _ in range(ATTEMPTS):
            chooser = _SuggestChooser(study.ask(), ranges, rng)
            try:
                space.decide(chooser)
            except RejectedDecisionsError:
                continue
            if key_of(chooser.decisions) not in known:
                return Proposal(dict(chooser.decisions), origin)
    return beside(space, chooser.decisions, known, rng, origin=origin)


class _SuggestChooser(Chooser):
    """Answers with what an Optuna trial suggests; a decision never seen before is drawn at random."""

    def __init__(self, trial: optuna.Trial, ranges: Mapping[str, Range], rng: random.Random) -> None:
        super().__init__()
        self._trial = trial
        self._ranges = ranges
        self._rng = rng

    def draw(self, name: str, domain: Domain) -> Value:
        needed = parameters_of(name, domain)
        if not all(p in self._ranges and covers(self._ranges[p], narrow) for p, narrow in needed):
            return domain.draw(self._rng)
        suggested = {parameter: self._suggest(parameter) for parameter, _ in needed}
        return decode(name, domain, suggested, self._rng)

    def _suggest(self, parameter: str) -> str | int | float:
        allowed = self._ranges[parameter]
        if isinstance(allowed, Categorical):
            return str(self._trial.suggest_categorical(parameter, [str(o) for o in allowed.options]))
        if isinstance(allowed, Integer):
            return self._trial.suggest_int(parameter, allowed.low, allowed.high, step=allowed.step)
        return self._trial.suggest_float(parameter, allowed.low, allowed.high, log=allowed.log)


def beside(
    space: SearchSpace, decisions: Mapping[str, Any], known: Container[Key], rng: random.Random, *, origin: str
) -> Proposal:
    """A neighbour of a suggestion that was tried before or is not allowed."""
    try:
        for _ in range(NUDGES):
            neighbour = space.mutate(decisions, rng)
            if key_of(neighbour) not in known:
                return Proposal(neighbour, f"{origin}, then a mutation")
    except SpaceError:  # the suggestion is not allowed, or has no neighbours
        pass
    return Proposal(draw_new(space, known, rng), "random")


def _told(evidence: Sequence[Evidence], *, generation: int | None, most: int) -> list[tuple[Evidence, int]]:
    """What a sampler is told, each with its generation: 0 for possible parents, 1 for the one that is not full."""
    if generation is None:
        return [(item, 0) for item in best_and_youngest(evidence, most=most)]
    full = len(evidence) // generation * generation
    best = {item.trial.number for item in ranking(evidence[:full], most=most)}
    return [(e, int(p >= full > 0)) for p, e in enumerate(evidence) if p >= full or e.trial.number in best]


def _weighted(told: Sequence[tuple[Evidence, int]], rng: random.Random) -> list[tuple[Evidence, int]]:
    """The same with one loss in the place of all objectives and bounds."""
    weights = random_weights(len(told[0][0].losses), rng)
    losses = scalarised([item for item, _ in told], weights)
    return [(replace(i, losses=(loss,), violation=0.0), g) for (i, g), loss in zip(told, losses, strict=True)]


def _study(
    space: SearchSpace,
    record: Record,
    told: Sequence[tuple[Evidence, int]],
    sampler: optuna.samplers.BaseSampler,
    *,
    generations: bool,
    fill: bool,
) -> tuple[optuna.Study, dict[str, Range]]:
    """An in-memory study that holds what is told and what runs, and the range of every parameter."""
    import optuna

    pending = [trial for trial in record.own if trial.state in PENDING]
    entries = {id(entry.trial): entry for entry in record.entries}
    encoded = [encode_entry(space, entries[id(t)]) for t in [*(item.trial for item, _ in told), *pending]]
    ranges = joined(encoded)
    rows = _Rows(ranges, fill=fill or generations)
    objectives = len(told[0][0].losses) if told else 1
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(
        storage=storage, sampler=sampler, study_name="record", directions=["minimize"] * objectives
    )
    study_id = storage.get_study_id_from_name("record")
    constrained = any(item.violation for item, _ in told)
    for (item, generation), own in zip(told, encoded, strict=False):
        row = rows.finished(own, item, constrained=constrained)
        if generations:
            row.system_attrs[f"{type(sampler).__name__}:generation"] = generation
        storage.create_new_trial(study_id, template_trial=row)
    for trial, own in zip(pending, encoded[len(told) :], strict=True):
        storage.create_new_trial(study_id, template_trial=rows.running(own, trial.number))
    return study, ranges


class _Rows:
    """Makes Optuna's trials from ours; equal lists of parameters share one mapping of ranges."""

    def __init__(self, ranges: Mapping[str, Range], *, fill: bool) -> None:
        self._ranges = ranges
        self._distributions = {name: _distribution(allowed) for name, allowed in ranges.items()}
        self._fill = fill
        self._shared: dict[tuple[str, ...], dict[str, Any]] = {}

    def finished(self, encoded: Encoded, item: Evidence, *, constrained: bool) -> optuna.trial.FrozenTrial:
        """A complete trial; `constrained` says whether any trial of the record breaks a bound."""
        from optuna.trial import TrialState

        row = self._row(encoded, item.trial.number, TrialState.COMPLETE, item.losses)
        if constrained:
            row.set_constraint("bounds", item.violation)
        return row

    def running(self, encoded: Encoded, number: int) -> optuna.trial.FrozenTrial:
        """A trial without result, which a sampler keeps away from."""
        from optuna.trial import TrialState

        return self._row(encoded, number, TrialState.RUNNING, None)

    def _row(
        self, encoded: Encoded, number: int, state: optuna.trial.TrialState, values: Sequence[float] | None
    ) -> optuna.trial.FrozenTrial:
        params: dict[str, Any] = dict(zip(encoded.names, encoded.values, strict=True))
        if self._fill and len(params) < len(self._ranges):
            rng = random.Random(number)
            params = {n: params[n] if n in params else r.draw(rng) for n, r in self._ranges.items()}
        names = tuple(params)
        if names not in self._shared:
            self._shared[names] = {name: self._distributions[name] for name in names}
        return _row_type()(
            number, state, None, _EPOCH, _EPOCH, params, self._shared[names], {}, {}, {}, number, values=values
        )


@lru_cache(maxsize=3)
def _filled_type(kind: str) -> Any:
    """A sampler that takes the parameters of any one row as those of all, which `fill` ensures."""
    import optuna

    def infer_relative_search_space(
        self: object, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        complete = [optuna.trial.TrialState.COMPLETE]
        rows = study.get_trials(deepcopy=False, states=complete)
        return {n: d for n, d in rows[-1].distributions.items() if not d.single()} if rows else {}

    base = getattr(optuna.samplers, kind)
    return type(f"Filled{kind}", (base,), {"infer_relative_search_space": infer_relative_search_space})


@lru_cache(maxsize=1)
def _batched_gp_type() -> Any:
    """The Gaussian process with another search for the point of largest gain, which Optuna lets be overridden.

    Its own climbs from ten points by one parameter at a time: hundreds of small evaluations. This one makes few large
    ones: a batch from the whole space, then batches of the best points so far with one or two parameters drawn anew.
    """
    import numpy as np

    def optimize(self: Any, gain: Any, best: np.ndarray | None) -> np.ndarray:
        rng = self._rng.rng
        points, *drawn = np.split(gain.search_space.sample_normalized_params(BATCH * BATCHES, rng), BATCHES)
        points = points if best is None else np.vstack([best, points])
        gains = gain.eval_acqf_no_grad(points)
        for fresh in drawn:
            parents = points[np.argsort(-gains, kind="stable")[:PARENTS]]
            anew = rng.random_sample(fresh.shape) < REDRAWN / fresh.shape[1]
            children = np.where(anew, fresh, parents[rng.randint(len(parents), size=len(fresh))])
            points = np.vstack([points, children])
            gains = np.append(gains, gain.eval_acqf_no_grad(children))
        return np.asarray(points[np.argmax(gains)])

    return type("BatchedGPSampler", (_filled_type("GPSampler"),), {"_optimize_acqf": optimize})


@lru_cache(maxsize=1)
def _row_type() -> type[optuna.trial.FrozenTrial]:
    """Optuna's trial, whose deep copy is itself: the storage copies what it is given, and nobody else has it here."""
    from optuna.trial import FrozenTrial

    class Row(FrozenTrial):
        def __deepcopy__(self, memo: object) -> FrozenTrial:
            return self

    return Row


@lru_cache(maxsize=4096)
def _distribution(allowed: Range) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if isinstance(allowed, Categorical):
        return distributions.CategoricalDistribution([str(option) for option in allowed.options])
    if isinstance(allowed, Integer):
        return distributions.IntDistribution(allowed.low, allowed.high, step=allowed.step)
    return distributions.FloatDistribution(allowed.low, allowed.high, log=allowed.log)


def encode_entry(space: SearchSpace, entry: Entry) -> Encoded:
    """An entry's decisions as parameters, in the order of the questions."""
    try:
        return _encoded(space, entry.key)
    except TypeError:  # a space that cannot be hashed
        return _encode_key(space, entry.key)


def _encode_key(space: SearchSpace, key: Key) -> Encoded:
    values = dict(key)
    return encode((name, values[name], domain) for name, domain in space.trace(values).domains.items())


_encoded = lru_cache(maxsize=16384)(_encode_key)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's messages about new studies and experimental arguments; restored afterwards."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
