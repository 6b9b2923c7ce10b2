"""Strategies on made-up landscapes that no table of cells has: the best value after 20, 50 and 100 trials.

    python benchmarks/landscapes.py [--landscapes few all wide together deceptive noisy numbers]
        [--strategies auto tpe ...] [--peers optuna:tpe] [--seeds 10] [--budget 100] [--json]

few        40 decisions of 4 options, of which 5 matter
all        36 decisions of 4 options that add up
wide       32 decisions of 4 options, each worth what it is with the two after it
together   16 decisions of 4 options, each worth what it is with the three after it (Kauffman's NK landscape, K = 3)
deceptive  24 yes or no, in six blocks of four: all four yes is best, else the fewer the better
noisy      12 decisions of 5 options that add up, seen with noise; the value printed is the one without
numbers    up to five layers with widths and operations, a learning rate, a dropout share, an optional weight

An architecture is paid for once; a peer's repeated asks are answered for nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
from abc import abstractmethod
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.core.seeds import generator
from netwright.nas.benchmarking.contestant import Contestant, parse_peer, parse_strategy
from netwright.nas.benchmarking.peer import make_peer
from netwright.nas.evidence import key_of
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace

QUALITY = Objective(metric="quality", direction="maximize")
AFTER = (20, 50, 100)
ASKS = 20

Decisions = dict[str, Any]


class Landscape(SearchSpace):
    """A space whose architectures are judged by their decisions alone."""

    noise: float = 0

    def lower(self, plan: Any, net: Any, shapes: Any) -> Any:
        return net.chain(net.input, Flatten(), Linear(features=shapes.output))

    @abstractmethod
    def quality(self, decisions: Decisions) -> float:
        """What an architecture is worth."""


class Few(Landscape):
    """Five of forty decisions matter."""

    def decide(self, choose: Any) -> Any:
        return [choose.one_of(f"n{i}", (1, 2, 3, 4)) for i in range(40)]

    def quality(self, decisions: Decisions) -> float:
        a, b, c, d, e = (decisions[f"n{i}"] for i in (3, 11, 17, 28, 36))
        return (a * b / 16 + (4 - abs(c - d)) / 4 * (c / 4) + (e == 3)) / 3


class All(Landscape):
    """Decisions that add up."""

    count: int = 36
    options: str = "pqrs"

    def decide(self, choose: Any) -> Any:
        return [choose.one_of(f"o{i}", tuple(self.options)) for i in range(self.count)]

    def quality(self, decisions: Decisions) -> float:
        return mean(_worth("ad", name, value) for name, value in decisions.items())


class Together(Landscape):
    """Every decision is worth what it is with those after it."""

    count: int = 16
    reach: int = 4

    def decide(self, choose: Any) -> Any:
        return [choose.one_of(f"e{i}", ("a", "b", "c", "d")) for i in range(self.count)]

    def quality(self, decisions: Decisions) -> float:
        ring = [decisions[f"e{i}"] for i in range(self.count)]
        return mean(
            _worth("nk", i, tuple(ring[(i + j) % self.count] for j in range(self.reach))) for i in range(self.count)
        )


class Wide(Together):
    """Twice as many, each with the two after it."""

    count: int = 32
    reach: int = 3


class Deceptive(Landscape):
    """Blocks whose slope leads away from the best."""

    def decide(self, choose: Any) -> Any:
        return [choose.boolean(f"b{i}") for i in range(24)]

    def quality(self, decisions: Decisions) -> float:
        blocks = [sum(decisions[f"b{4 * k + j}"] for j in range(4)) for k in range(6)]
        return mean(1.0 if yes == 4 else 0.2 * (3 - yes) for yes in blocks)


class Noisy(All):
    """Decisions that add up, seen with noise."""

    noise: float = 0.06
    count: int = 12
    options: str = "pqrst"


class Numbers(Landscape):
    """Decisions that are numbers, some only where others allow them."""

    def decide(self, choose: Any) -> Any:
        depth = choose.integer("depth", 1, 5)
        for _ in choose.each("l", range(depth)):
            choose.integer("w", 8, 512)
            choose.one_of("op", ("conv", "sep", "dw"))
        choose.real("lr", 1e-5, 1e-1, log=True)
        choose.real("drop", 0.0, 0.7)
        if choose.boolean("aux"):
            choose.real("weight", 0.0, 1.0)

    def quality(self, decisions: Decisions) -> float:
        found = 0.0
        for i in range(1, decisions["depth"] + 1):
            width, kind = decisions[f"l{i}/w"], {"conv": 1.0, "sep": 0.9, "dw": 0.6}[decisions[f"l{i}/op"]]
            found += (1 - math.exp(-width / 90)) * kind / i**0.7
        found /= 1 + 0.25 * max(0, decisions["depth"] - 3)
        found -= 0.06 * (math.log10(decisions["lr"]) + 2.7) ** 2 + 1.2 * (decisions["drop"] - 0.25) ** 2
        return found + (0.12 - 0.5 * (decisions["weight"] - 0.4) ** 2 if decisions["aux"] else 0)


LANDSCAPES: dict[str, type[Landscape]] = {
    found.__name__.lower(): found for found in (Few, All, Wide, Together, Deceptive, Noisy, Numbers)
}


def _worth(*key: object) -> float:
    """A fixed number from 0 to 1 that looks random."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") / 2**64


class Record:
    """What one search has paid for, in order: each architecture once, as it looked and what it is worth."""

    def __init__(self, landscape: Landscape, seed: int) -> None:
        self._landscape = landscape
        self._seed = seed
        self.results: dict[Any, tuple[float, float]] = {}

    def pay(self, decisions: Decisions) -> float:
        """What an architecture looks like; for nothing where it is on record."""
        key = key_of(decisions)
        if key not in self.results:
            worth = self._landscape.quality(decisions)
            seen = worth + self._landscape.noise * random.Random(f"{self._seed}{key!r}").gauss(0, 1)
            self.results[key] = (seen, worth)
        return self.results[key][0]

    def best(self) -> list[float]:
        """What the architecture that looks best is worth, after each of `AFTER`."""
        return [max(list(self.results.values())[:count])[1] for count in AFTER if count <= len(self.results)]


def search(contestant: Contestant, landscape: Landscape, *, budget: int, seed: int) -> list[float]:
    """One search; the best after each of `AFTER` within the budget."""
    record = Record(landscape, seed)
    if contestant.strategy is None:
        _with_peer(contestant, landscape, record, budget=budget, seed=seed)
    else:
        _with_strategy(contestant.strategy, landscape, record, budget=budget, seed=seed)
    return record.best()


def _with_strategy(strategy: Strategy, space: Landscape, record: Record, *, budget: int, seed: int) -> None:
    told, trials = strategy.expecting(budget), []
    while len(trials) < budget:
        for ask in range(ASKS):
            proposal = told.proposed(space, trials, [QUALITY], generator(seed, "ask", len(trials), ask))
            if key_of(proposal.decisions) not in record.results:
                break
        else:
            proposal = Proposal(space.sample(generator(seed, "draw", len(trials))), "random")
        value = Measurement(metric="quality", value=record.pay(proposal.decisions))
        trials.append(
            Trial(
                number=len(trials),
                decisions=proposal.decisions,
                identity=repr(key_of(proposal.decisions)),
                state=TrialState.DONE,
                origin=proposal.origin,
                measurements={"quality": value},
            )
        )


def _with_peer(contestant: Contestant, space: Landscape, record: Record, *, budget: int, seed: int) -> None:
    peer = make_peer(
        contestant.library,
        contestant.method,
        settings=contestant.settings,
        space=space,
        objectives=[QUALITY],
        seed=seed,
    )
    for _ in range(ASKS * budget):
        decisions = peer.ask()
        peer.tell(None if decisions is None else [QUALITY.loss(record.pay(decisions))])
        if len(record.results) == budget:
            return


def main() -> None:
    """What `python benchmarks/landscapes.py` does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landscapes", nargs="+", choices=list(LANDSCAPES), default=list(LANDSCAPES))
    parser.add_argument("--strategies", nargs="*", default=["auto", "predictor", "tpe", "evolution", "random_search"])
    parser.add_argument("--peers", nargs="*", default=["optuna:tpe"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print one JSON list and nothing else")
    options = parser.parse_args()
    contestants = [*map(parse_strategy, options.strategies), *map(parse_peer, options.peers)]
    rows: list[dict[str, Any]] = []
    for name in options.landscapes:
        for contestant in contestants:
            landscape = LANDSCAPES[name]()
            found = [search(contestant, landscape, budget=options.budget, seed=seed) for seed in range(options.seeds)]
            row = {"landscape": name, "strategy": contestant.name, "best": _summary(found)}
            rows.append(row)
            if not options.json:
                print(_line(row), flush=True)
    if options.json:
        print(json.dumps(rows, indent=1))


def _summary(found: Sequence[Sequence[float]]) -> list[dict[str, float]]:
    """Mean and standard error over the searches, for each number of trials."""
    columns = list(zip(*found, strict=False))
    return [
        {"after": after, "mean": mean(values), "error": stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0}
        for after, values in zip(AFTER, columns, strict=False)
    ]


def _line(row: dict[str, Any]) -> str:
    best = "  ".join(f"{one['after']}: {one['mean']:.3f} ± {one['error']:.3f}" for one in row["best"])
    return f"{row['landscape']:10s} {row['strategy']:24s} {best}"


if __name__ == "__main__":
    main()
