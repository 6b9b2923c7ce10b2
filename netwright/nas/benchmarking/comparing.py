"""Many contestants on one table, each with many seeds, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from netwright.core.errors import NetwrightError
from netwright.core.own_code import own_place
from netwright.core.progress import Event, Listener, silent
from netwright.core.seeds import derive_seed
from netwright.nas.benchmarking.contestant import Contestant, peer_of
from netwright.nas.benchmarking.goals import Goals
from netwright.nas.benchmarking.promoting import search_promoting
from netwright.nas.benchmarking.searching import TableSearch, search_table, search_with_peer
from netwright.nas.benchmarking.table import BenchmarkTable
from netwright.nas.promotion import Promotion
from netwright.nas.stopper import Stopper
from netwright.search_spaces.refusal import told_in_a_line

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Contest:
    """What every contestant is given: the table, what is sought, and how much may be paid for."""

    table: BenchmarkTable
    goals: Goals
    budget: int
    stopper: Stopper | None = None
    epochs: int | None = None
    """No new architecture is begun after so many epochs in all."""
    promotion: Promotion | None = None
    """Who goes on from the shorter trainings in `goals`; the budget then is that many whole trainings' epochs."""

    def search(self, contestant: Contestant, seed: int) -> TableSearch:
        """One search by one contestant."""
        if contestant.strategy is None:
            own = derive_seed("peer", seed)
            peer = peer_of(contestant, self.table, self.goals.objectives, seed=own)
            return search_with_peer(peer, self.table, self.goals, budget=self.budget, cache=contestant.cache)
        if self.promotion is not None and self.goals.epochs is not None:
            epochs = min(self.budget * self.goals.epochs, self.epochs or sys.maxsize)
            return search_promoting(
                contestant.strategy, self.table, self.goals, promotion=self.promotion, epochs=epochs, seed=seed
            )
        return search_table(
            contestant.strategy,
            self.table,
            self.goals,
            budget=self.budget,
            seed=seed,
            stopper=self.stopper,
            epochs=self.epochs,
        )


def compare(
    contest: Contest,
    contestants: Sequence[Contestant],
    *,
    seeds: Sequence[int],
    workers: int = 1,
    listener: Listener = silent,
) -> dict[str, list[TableSearch]]:
    """The searches of every contestant by name, one per seed in their order; equal however many workers.

    A program of your own that asks for more than one worker needs the usual `if __name__ == "__main__":`.
    """
    contest.table.prepare()
    jobs = [(place, seed) for seed in range(len(seeds)) for place in range(len(contestants))]
    found: dict[tuple[int, int], TableSearch] = {}
    listener(Event("benchmark.search", {"done": 0, "wanted": len(jobs), "strategy": ""}))
    for job, search in _done(contest, contestants, seeds, jobs, workers):
        found[job] = search
        facts = {"done": len(found), "wanted": len(jobs), "strategy": contestants[job[0]].name}
        listener(Event("benchmark.search", facts))
    return {c.name: [found[place, seed] for seed in range(len(seeds))] for place, c in enumerate(contestants)}


Job = tuple[int, int]


def _done(
    contest: Contest, contestants: Sequence[Contestant], seeds: Sequence[int], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, TableSearch]]:
    """The searches as they end."""
    if min(workers, len(jobs)) <= 1:
        for place, seed in jobs:
            yield (place, seed), contest.search(contestants[place], seeds[seed])
        return
    with _one_thread_each(), _pool(contest, min(workers, len(jobs))) as pool:
        futures: dict[Future[TableSearch], Job] = {
            pool.submit(_search, contestants[place], seeds[seed]): (place, seed) for place, seed in jobs
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _pool(contest: Contest, workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_hold, initargs=(contest,))


_held: dict[str, Any] = {}
"""What a worker process was given once for all its searches; empty in every other process."""


def _hold(contest: Contest) -> None:
    _held["contest"] = contest


def _search(contestant: Contestant, seed: int) -> TableSearch:
    contest = _held["contest"]
    assert isinstance(contest, Contest)
    try:
        return contest.search(contestant, seed)
    except NetwrightError:
        raise
    except Exception as error:  # on its way to the parent process an error loses its place
        own = own_place(error)
        if not own:
            raise
        raise NetwrightError(f"your own code stopped at {own}: {told_in_a_line(error)}") from None


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Worker processes share the cores, so each computes with one thread."""
    before: Mapping[str, str | None] = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
