"""Supernets are trained the same way each time, rank paths by what they learnt, and lead a search."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from netwright.core.errors import ConfigurationError, SpaceError
from netwright.core.plugins import build
from netwright.core.records import Decisions, Objective, Trial
from netwright.core.seeds import derive_seed
from netwright.core.shapes import Shapes
from netwright.nas.context import SearchContext
from netwright.nas.shrinking import Shrinking
from netwright.nas.strategies.one_shot import OneShot, cut_winner
from netwright.nas.supernet_training import SupernetTraining
from netwright.nas.weight_sharing import calibrated, extremes, score_path, train_supernet
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.supernet import Supernet
from netwright.tasks.kinds.image_classification import ImageClassification
from tests.nas.searching import done

ACCURACY = Objective(metric="accuracy", direction="maximize")
MACS = Objective(metric="macs", direction="minimize")
QUICK = SupernetTraining(epochs=3, batch_size=16, learning_rate=0.05, calibration_samples=48)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Bars that lie or stand, in noise: edges tell them, single pixels do not."""
    rng = np.random.default_rng(0)
    targets = np.arange(160) % 2
    images = rng.normal(0, 0.3, (160, 1, 8, 8))
    for image, target in zip(images, targets, strict=True):
        place = rng.integers(0, 8)
        image[0, place if target else slice(None), slice(None) if target else place] += 2
    return ImageClassification.from_arrays(images.astype(np.float32), targets, folder=tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="module")
def space():
    return build("space", {"kind": "cells", "nodes": 3, "widths": [4], "depths": [1], "stages": 1})


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


WAYS = {"single path": {}, "sandwich": {"sandwich": True}, "shrinking": {"shrinking": (("0-1",),)}}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_the_same_seed_gives_the_same_supernet_also_when_it_was_interrupted(task, space, tmp_path, how):
    training = SupernetTraining(**{**QUICK.model_dump(), **how})
    before = torch.get_rng_state()
    whole = weights(train_supernet(space, task, training=training, seed=1))
    assert torch.equal(torch.get_rng_state(), before)

    def stop(epoch: int, loss: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_supernet(space, task, training=training, seed=1, checkpoint=tmp_path / "net", on_epoch=stop)
    resumed = train_supernet(space, task, training=training, seed=1, checkpoint=tmp_path / "net")
    assert same(weights(resumed), whole)
    assert not same(weights(train_supernet(space, task, training=training, seed=2)), whole)


def test_paths_of_a_trained_supernet_do_well_without_training_of_their_own(task, space):
    training = QUICK.model_copy(update={"epochs": 10})
    trained, rng = train_supernet(space, task, training=training, seed=0), random.Random(0)
    before, paths = weights(trained), [space.sample(rng) for _ in range(6)]

    def accuracy(supernet: Supernet) -> float:
        scores = [score_path(supernet, decisions, task, training=training) for decisions in paths]
        return sum(score["accuracy"] for score in scores) / len(scores)

    assert accuracy(trained) > 0.85
    assert accuracy(space.supernet(task.shapes())) < 0.7
    assert same(weights(trained), before)


def test_calibration_finds_the_statistics_of_the_training_data(task):
    model = nn.Sequential(nn.BatchNorm2d(1, momentum=0.2), nn.Flatten(), nn.Linear(64, 2))
    model[0].running_mean.fill_(7.0)
    calibrated(model, task, samples=96, batch_size=32)
    # inputs are preprocessed to mean 0 and variance 1
    assert float(model[0].running_mean) == pytest.approx(0.0, abs=0.1)
    assert float(model[0].running_var) == pytest.approx(1.0, abs=0.15)
    assert model[0].momentum == 0.2
    assert not model.training


def test_extremes_are_the_cheapest_and_the_dearest(task, space):
    shapes = task.shapes()
    costs = sorted(space.cost(decisions, shapes).macs for decisions in space.enumerate())
    smallest, largest = extremes(space, shapes)
    assert space.cost(smallest, shapes).macs == costs[0]
    assert space.cost(largest, shapes).macs == costs[-1]


@pytest.mark.parametrize(("by", "metric", "choose"), [("loss", "validation_loss", min), ("score", "accuracy", max)])
def test_one_shot_proposes_by_rank_in_the_supernet_and_goes_on(task, space, tmp_path, by, metric, choose):
    strategy = OneShot(training=QUICK, pool=12, inner="random_search", ranked_by=by)
    bound = strategy.prepare(SearchContext(task, tmp_path, seed=3))
    trials: list[Trial] = []
    for number in range(4):
        proposal = bound.ask(space, trials, [ACCURACY], random.Random(number))
        assert proposal.origin == f"place {number + 1} of 12 in the supernet"
        trials.append(done(number, proposal.decisions, {"accuracy": 0.5}))
    (scores,) = tmp_path.glob("one_shot-*/scores-*.json")
    scored = [Trial.from_json(data) for data in json.loads(scores.read_text())]
    best = choose(trial.value(metric) for trial in scored)
    first = next(t for t in scored if dict(t.decisions) == dict(trials[0].decisions))
    assert first.value(metric) == best
    again = strategy.prepare(SearchContext(task, tmp_path, seed=3))
    assert again.ask(space, trials[:2], [ACCURACY], random.Random(9)).decisions == trials[2].decisions


def test_one_shot_spreads_over_the_front_of_two_objectives(task, space, tmp_path):
    bound = OneShot(training=QUICK, pool=20, inner="random_search").prepare(SearchContext(task, tmp_path))
    first = bound.ask(space, [], [ACCURACY, MACS], random.Random(0)).decisions
    second = bound.ask(space, [done(0, first, {"accuracy": 0.5})], [ACCURACY, MACS], random.Random(0)).decisions
    sizes = [space.cost(decisions, task.shapes()).macs for decisions in (first, second)]
    assert sizes[0] != sizes[1]


def test_winners_start_from_the_cut_weights(task, space, tmp_path):
    context = SearchContext(task, tmp_path)
    strategy = OneShot(training=QUICK, pool=2)
    decisions = space.sample(random.Random(1))
    model = cut_winner(strategy, space, context, decisions)
    fresh = space.build(decisions, task.shapes())
    assert weights(model).keys() == weights(fresh).keys()
    assert not same(weights(model), weights(fresh))


class Unfinished(SearchSpace):
    """A third of it has never been written."""

    def decide(self, choose):
        return choose.one_of("kind", ("flat", "unwritten", "deep")), choose.integer("width", 4, 8)

    def lower(self, plan, net, shapes):
        kind, width = plan
        if kind == "unwritten":
            raise RuntimeError("to do")
        x = net.add(Flatten(), net.input)
        for _ in net.each("layer", range(1 + (kind == "deep"))):
            x = net.chain(x, Linear(features=width), Activation())
        return net.add(Linear(features=shapes.classes), x, name="head")


@pytest.mark.parametrize("how", WAYS)
def test_what_makes_no_network_is_passed_over(task, tmp_path, caplog, how):
    ways = {**WAYS, "shrinking": {"shrinking": (("kind",),)}}
    strategy = OneShot(training=SupernetTraining(epochs=2, batch_size=16, **ways[how]), pool=8)
    context = SearchContext(task, tmp_path, 0)
    trials = []
    for number in range(4):
        proposal = strategy.prepare(context).ask(Unfinished(), trials, [ACCURACY], random.Random(number))
        trials.append(done(number, proposal.decisions, {"accuracy": 0.5}))
    assert len({trial.identity for trial in trials}) == 4
    assert "unwritten" not in {trial.decisions["kind"] for trial in trials}
    assert "the supernet passes over architectures that make no network here" in caplog.text


RARE = [True, False, False, True] * 4


class Rare(SearchSpace):
    """One of 65,536 sets of decisions has a layer of its own, which looking over the space does not meet."""

    def decide(self, choose):
        return [choose.boolean(f"more{i}") for i in range(16)] == RARE

    def lower(self, plan, net, shapes):
        x = net.add(Flatten(), net.input)
        x = net.chain(x, Linear(features=4), Activation(), name="rare") if plan else x
        return net.add(Linear(features=shapes.classes), x, name="head")


def test_a_layer_that_is_met_late_is_the_same_whenever_it_is_met():
    rare = {f"more{i}": value for i, value in enumerate(RARE)}
    first, later = (Supernet(Rare(), Shapes((1, 4, 4), 2), seed=3) for _ in range(2))
    torch.rand(5)
    assert not any("rare" in name for name in first.state_dict())
    left = weights(first.cut(rare))
    torch.rand(1)
    assert same(left, weights(later.cut(rare)))


def test_without_a_task_it_draws_at_random(space):
    assert OneShot().ask(space, [], [ACCURACY], random.Random(0)).origin == "random"


def differing(space: SearchSpace, largest: Decisions, decisions: Decisions) -> set[str]:
    """The last parts of the names of shared decisions that two architectures answer differently."""
    return {name.rpartition("/")[2] for name in largest if name in decisions and largest[name] != decisions[name]}


def test_each_phase_of_a_shrinking_opens_more_decisions():
    space = build("space", "mobile")
    _, largest = extremes(space, Shapes((3, 32, 32), 10))
    shrinking = Shrinking(space, largest, (("kernel",), ("depth",), ("expansion", "width")))
    assert [shrinking.phase(epoch, epochs=8) for epoch in range(1, 9)] == [0, 0, 1, 1, 2, 2, 3, 3]
    rng, found = random.Random(0), []
    for phase in range(4):
        drawn = [shrinking.sample(rng, phase=phase) for _ in range(60)]
        for decisions in drawn:
            space.trace(decisions)
        found.append(set().union(*(differing(space, largest, decisions) for decisions in drawn)))
    assert found[:3] == [set(), {"kernel"}, {"kernel", "depth"}]
    assert found[3] > {"kernel", "depth", "expansion", "width", "resolution"}


def test_in_the_first_phase_of_a_shrinking_only_the_largest_is_trained(task, space, tmp_path):
    """Its cells are of 3x3 convolutions; those of 1x1 stay as they were drawn until the second phase."""
    training = SupernetTraining(**{**QUICK.model_dump(), "shrinking": (("0-1",),), "epochs": 2})
    states: list[dict[str, torch.Tensor]] = []
    train_supernet(
        space, task, training=training, seed=0, checkpoint=tmp_path / "net",
        on_epoch=lambda epoch, loss: states.append(load_file(tmp_path / "net")),
    )  # fmt: skip
    start = space.supernet(task.shapes(), seed=derive_seed("weights", 0)).state_dict()
    small = [name for name, value in start.items() if value.ndim == 4 and value.shape[-1] == 1]
    large = [name for name, value in start.items() if value.ndim == 4 and value.shape[-1] == 3]
    stored = [{name: state[key] for key in state for name in start if key.endswith(name)} for state in states]
    assert small
    assert large
    assert all(torch.equal(stored[0][name], start[name]) for name in small)
    assert not any(torch.equal(stored[0][name], start[name]) for name in large)
    assert not all(torch.equal(stored[1][name], start[name]) for name in small)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shrinking": [["kernel"]], "sandwich": True}, "sandwich"),
        ({"shrinking": [[]]}, "names no decision"),
        ({"shrinking": [["kernel"], ["depth"]], "epochs": 2}, "3 phases"),
    ],
)
def test_phases_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        SupernetTraining.parse(settings)


def test_a_phase_of_an_unknown_decision_is_refused(space):
    _, largest = extremes(space, Shapes((1, 8, 8), 2))
    with pytest.raises(SpaceError, match="'kernal'"):
        Shrinking(space, largest, (("kernal",),))
