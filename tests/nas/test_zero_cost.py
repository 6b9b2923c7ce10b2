"""The zero_cost strategy: ranks by proxies, filters another strategy, keeps bounds, and pays once for a score."""

from __future__ import annotations

import random

import numpy as np
import pytest

from netwright.core.plugins import build, load
from netwright.core.records import Objective
from netwright.evaluation.proxy import Proxy
from netwright.nas.context import SearchContext
from netwright.nas.strategies.zero_cost import ZeroCost
from netwright.tasks.kinds.image_classification import ImageClassification
from tests.nas.searching import done

ACCURACY = Objective(metric="accuracy", direction="maximize")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (80, 1, 8, 8)).astype(np.float32)
    return ImageClassification.from_arrays(images, np.arange(80) % 2, folder=tmp_path_factory.mktemp("noise"))


@pytest.fixture
def space():
    return build("space", {"kind": "cells", "nodes": 3, "widths": [4, 6], "depths": [1, 2], "stages": 1})


def test_by_multiply_accumulates_the_largest_of_the_pool_comes_first(task, space, tmp_path):
    strategy = ZeroCost(proxies=["macs"], pool=40).prepare(SearchContext(task, tmp_path))
    trials, sizes = [], []
    for number in range(5):
        proposal = strategy.ask(space, trials, [ACCURACY], random.Random(number))
        identity, cost = space.describe(proposal.decisions, task.shapes())
        trials.append(done(number, proposal.decisions, {"accuracy": 0.5}, identity=identity))
        sizes.append(cost.macs)
    assert sizes == sorted(sizes, reverse=True)
    assert len({trial.identity for trial in trials}) == 5


def test_bounds_on_costs_come_before_proxies(task, space, tmp_path):
    bound = Objective(metric="macs", direction="minimize", bound=20_000.0)
    strategy = ZeroCost(proxies=["macs"], pool=40).prepare(SearchContext(task, tmp_path))
    free = strategy.ask(space, [], [ACCURACY], random.Random(0))
    held = strategy.ask(space, [], [ACCURACY, bound], random.Random(0))
    macs = [space.cost(proposal.decisions, task.shapes()).macs for proposal in (free, held)]
    assert macs[0] > 20_000 >= macs[1]


def test_scores_are_kept_and_not_worked_out_again(task, space, tmp_path, monkeypatch):
    context = SearchContext(task, tmp_path / "one")
    settings = {"kind": "zero_cost", "proxies": ["synflow", "naswot"], "pool": 6}
    first = build("strategy", settings).prepare(context).ask(space, [], [ACCURACY], random.Random(0))
    from netwright.nas import proxy_scoring

    proxy_scoring._scores_in.cache_clear()  # as in another process
    monkeypatch.setattr(Proxy, "parts", lambda *given: pytest.fail("scored again"))
    again = build("strategy", settings).prepare(context).ask(space, [], [ACCURACY], random.Random(1))
    assert again == first
    assert again.origin == "place 1 of 6 by synflow and naswot"


def test_a_proxy_that_can_score_nothing_counts_for_nothing_and_is_told_once(task, tmp_path):
    heard = []
    context = SearchContext(task, tmp_path, listener=lambda event: heard.append(event.facts["text"]))
    recurrent = build("space", {"kind": "recurrent", "depth": [1, 1], "widths": [4, 8]})
    first, alone = (
        ZeroCost(proxies=proxies, pool=6).prepare(context).ask(recurrent, [], [ACCURACY], random.Random(0))
        for proxies in (["naswot", "synflow"], ["synflow"])
    )
    assert first == alone
    assert first.origin == "place 1 of 6 by synflow"
    (said,) = heard
    assert said.startswith("naswot gives no score to some architectures, which rank last by it: ")


def test_the_pool_is_ranked_once_for_a_search(task, space, tmp_path, monkeypatch):
    strategy = ZeroCost(proxies=["macs"], pool=10).prepare(SearchContext(task, tmp_path))
    first = strategy.ask(space, [], [ACCURACY], random.Random(0))
    trials = [done(0, first.decisions, {"accuracy": 0.5})]
    monkeypatch.setattr(type(space), "sample", lambda *given: pytest.fail("drawn again"))
    assert strategy.ask(space, trials, [ACCURACY], random.Random(1)).origin.startswith("place 2 of ")


def test_as_a_filter_it_passes_on_the_most_promising_answer(task, space, tmp_path):
    context = SearchContext(task, tmp_path)
    plain, shapes = load("strategy", "random_search")(), task.shapes()
    filtered = ZeroCost(proxies=["macs"], inner="random_search", asks=6).prepare(context)

    def mean_macs(strategy) -> float:
        drawn = [strategy.ask(space, [], [ACCURACY], random.Random(seed)).decisions for seed in range(30)]
        return sum(space.cost(decisions, shapes).macs for decisions in drawn) / len(drawn)

    assert mean_macs(filtered) > 1.3 * mean_macs(plain)
    assert filtered.ask(space, [], [ACCURACY], random.Random(0)).origin.startswith("random, first of ")


def test_without_a_task_it_ranks_by_cost(space):
    origin = ZeroCost(proxies=["synflow", "params"], pool=8).ask(space, [], [ACCURACY], random.Random(0)).origin
    assert origin.startswith("place 1 of")
    assert origin.endswith("by params")


def test_a_nested_strategy_is_given_and_written_as_plain_data():
    spec = {"kind": "zero_cost", "proxies": ["synflow"], "inner": {"kind": "evolution", "population": 7}}
    strategy = build("strategy", spec)
    assert strategy.inner.population == 7
    assert build("strategy", strategy.model_dump(mode="json")) == strategy
