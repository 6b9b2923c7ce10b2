"""Relaxed networks are what the space builds where gates choose, and gradients find the options that matter."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.func import functional_call

from netwright.core.errors import ConfigurationError, SpaceError
from netwright.core.plugins import build
from netwright.core.records import Objective
from netwright.core.shapes import Shapes
from netwright.nas.context import SearchContext
from netwright.nas.differentiable_search import _Trainer, search_by_gradients, skip_share
from netwright.nas.gates import anchor_penalty, gates_of, probabilities
from netwright.nas.relaxation import Choice, RelaxedNetwork
from netwright.nas.relaxed_training import RelaxedTraining
from netwright.nas.strategies.differentiable import Differentiable, strongest
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.zero import Zero
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.batches import Batches
from netwright.tasks.kinds.image_classification import ImageClassification
from tests.nas.searching import done

ACCURACY = Objective(metric="accuracy", direction="maximize")
RULES = ["darts", "darts_second_order", "gdas", "drnas"]
SHAPES = Shapes((3, 8, 8), 4)
QUICK = RelaxedTraining(
    epochs=6, batch_size=16, learning_rate=0.1, strength_rate=0.1, temperature=(2.0, 0.5), warm_up=2
)


def cell_space(**settings):
    return build("space", {"kind": "nasbench201", "channels": 4, "cells_per_stage": 1, **settings})


class Seeing(SearchSpace):
    """Whether a sum holds the image or only zeros: without it nothing can be told."""

    def decide(self, choose):
        return choose.one_of("look", ("away", "at"))

    def lower(self, plan, net, shapes):
        terms = [net.add(Zero(), net.input), *([net.input] if plan == "at" else [])]
        return net.chain(net.add(Add(), *terms, name="sum"), GlobalPool(), Linear(features=shapes.classes))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Bright and dark images."""
    rng = np.random.default_rng(0)
    targets = np.arange(200) % 2
    images = rng.normal(0, 1, (200, 1, 4, 4)) + 2.0 * targets[:, None, None, None]
    return ImageClassification.from_arrays(images.astype(np.float32), targets, folder=tmp_path_factory.mktemp("light"))


@pytest.mark.parametrize("keep", ["keep", "remove"])
def test_gates_of_one_option_give_the_network_that_the_space_builds(keep):
    space, inputs = cell_space(dead_operations=keep), torch.randn(3, 3, 8, 8)
    relaxed = RelaxedNetwork.of(space, SHAPES).eval()
    for seed in range(4):
        decisions = space.sample(random.Random(seed))
        model = space.build(decisions, SHAPES).eval()
        for place, module in model.named_modules():
            held = place.replace(".", "__")
            if held in relaxed.layers:
                module.load_state_dict(relaxed.layers[held].layer.state_dict())
        gates = [torch.tensor([float(o == decisions[c.name]) for o in c.options]) for c in relaxed.choices]
        assert torch.allclose(relaxed(inputs, gates), model(inputs), atol=1e-6)


class Edges(SearchSpace):
    """One edge with an operation, zeros among them, as people write it: the layers of each option under its name."""

    def decide(self, choose):
        return tuple(str(choose.one_of(f"edge{i}", ("none", "skip", "conv1", "conv3"))) for i in range(2))

    def lower(self, plan, net, shapes):
        stem = net.add(Conv2d(filters=4), net.input)
        terms = []
        for number, option in enumerate(plan):
            with net.scope(f"edge{number}/{option}"):
                if option == "none":
                    terms.append(net.add(Zero(), stem))
                else:
                    terms.append(stem if option == "skip" else net.add(Conv2d(filters=4, kernel=int(option[-1])), stem))
        return net.chain(net.add(Add(), *terms, name="sum"), GlobalPool(), Linear(features=shapes.classes))


def test_zeros_that_an_option_adds_are_no_term():
    relaxed, inputs = RelaxedNetwork.of(Edges(), SHAPES).eval(), torch.randn(3, 3, 8, 8)
    for decisions in ({"edge0": "none", "edge1": "conv3"}, {"edge0": "conv1", "edge1": "skip"}):
        gates = [torch.tensor([float(o == decisions[c.name]) for o in c.options]) for c in relaxed.choices]
        model = Edges().build(decisions, SHAPES).eval()
        for place, module in model.named_modules():
            if place.replace(".", "__") in relaxed.layers:
                module.load_state_dict(relaxed.layers[place.replace(".", "__")].layer.state_dict())
        assert torch.allclose(relaxed(inputs, gates), model(inputs), atol=1e-6)


def test_soft_gates_weigh_every_option():
    relaxed = RelaxedNetwork.of(cell_space(operations=("none", "skip_connect")), SHAPES).eval()
    inputs = torch.randn(2, 3, 8, 8)
    gates = [torch.tensor([1 - share, share]) for share in (0.5, 0.2, 0.9, 0.3, 0.6, 0.1)]
    # a cell of skips alone multiplies by the weights of all its ways: 0-3, 0-1-3, 0-2-3, 0-1-2-3
    ways = 0.3 + 0.5 * 0.6 + 0.2 * 0.1 + 0.5 * 0.9 * 0.1
    whole = [torch.tensor([0.0, 1.0]) if c.name == "cell/0-3" else torch.tensor([1.0, 0.0]) for c in relaxed.choices]
    names = {c.name: index for index, c in enumerate(relaxed.choices)}
    gates = [gates[["cell/0-1", "cell/0-2", "cell/1-2", "cell/0-3", "cell/1-3", "cell/2-3"].index(n)] for n in names]
    seen = []
    hook = relaxed.layers[
        "stage2__reduce__relu" if "stage2__reduce__relu" in relaxed.layers else "stage2__reduce__activation"
    ]
    hook.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    relaxed(inputs, whole)
    relaxed(inputs, gates)
    assert torch.allclose(seen[1], seen[0] * ways, atol=1e-5)


def test_options_that_do_nothing_or_hand_on_are_told_from_the_graph():
    for choice in RelaxedNetwork.of(cell_space(), SHAPES).choices:
        assert [o for o, nothing in zip(choice.options, choice.nothing, strict=True) if nothing] == ["none"]
        assert [o for o, skip in zip(choice.options, choice.skips, strict=True) if skip] == ["skip_connect"]


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("convnet", "use one_shot"),
        ("cells", "one_shot"),
        ("mobile", "use one_shot"),
        ({"kind": "cells", "depths": [1], "widths": [4, 8]}, "depends on 'width': give it one option"),
    ],
)
def test_a_space_that_cannot_be_relaxed_says_which_decision_is_in_the_way(space, says):
    searched = build("space", space)
    with pytest.raises(SpaceError, match=says):
        RelaxedNetwork.of(searched, Shapes((3, 32, 32), 10))


@pytest.mark.parametrize("rule", RULES)
def test_gates_add_up_to_one_and_carry_gradients(rule):
    torch.manual_seed(0)
    strengths = [torch.randn(4).requires_grad_(True) for _ in range(3)]
    rows = gates_of(strengths, rule, temperature=1.0)
    for row in rows:
        assert float(row.detach().sum()) == pytest.approx(1.0, abs=1e-5)
        assert rule != "gdas" or sorted(round(float(value), 4) for value in row.detach()) == [0, 0, 0, 1]
    sum((row * torch.arange(4.0)).sum() for row in rows).backward()
    assert all(bool((strength.grad != 0).any()) for strength in strengths)
    assert [sum(row) for row in probabilities(strengths, rule)] == pytest.approx([1, 1, 1])


def test_gdas_draws_options_as_often_as_they_are_probable():
    torch.manual_seed(0)
    strength = torch.tensor([0.0, 1.0, 2.0]).log_softmax(0)
    drawn = sum(gates_of([strength], "gdas", temperature=5.0)[0] for _ in range(3000)) / 3000
    assert torch.allclose(drawn, strength.exp(), atol=0.03)


def test_the_anchor_of_drnas_is_zero_at_the_uniform_distribution():
    assert float(anchor_penalty([torch.zeros(5)])) == pytest.approx(0, abs=1e-6)
    assert float(anchor_penalty([torch.tensor([2.0, 0, 0, 0, 0])])) > 0.1


def test_the_second_order_gradient_is_that_of_the_unrolled_step(task):
    """Against automatic differentiation through the step itself."""
    trainer = _Trainer(Seeing(), task, rule="darts_second_order", training=QUICK, seed=0, device="cpu")
    trainer.network.double().eval()
    trainer.temperature = 1.0
    trainer.strengths = [row.detach().double().requires_grad_(True) for row in trainer.strengths]
    batches = [next(half.epoch(1)) for half in (trainer.for_strengths, trainer.for_weights)]
    (inputs, targets), (train_inputs, train_targets) = [(x.double(), y) for x, y in batches]
    found = trainer._second_order((inputs, targets), (train_inputs, train_targets), 0.5)

    weights = dict(trainer.network.named_parameters())

    def loss(values, given, wanted):
        gates = [torch.softmax(row, 0) for row in trainer.strengths]
        return task.loss(functional_call(trainer.network, values, (given, gates)), wanted)

    steps = torch.autograd.grad(
        loss(weights, train_inputs, train_targets), list(weights.values()), create_graph=True, allow_unused=True
    )
    after = {n: w - 0.5 * s if s is not None else w for (n, w), s in zip(weights.items(), steps, strict=True)}
    exact = torch.autograd.grad(loss(after, inputs, targets), trainer.strengths)
    assert float(exact[0].abs().max()) > 1e-5
    assert torch.allclose(found[0], exact[0], rtol=1e-3)


def test_the_halves_hold_every_class_and_no_sample_twice(task):
    halves = [Batches(task, batch_size=200, seed=0, part=part, parts=2) for part in (0, 1)]
    (left, right) = [next(half.epoch(1)) for half in halves]
    assert abs(float(left[1].float().mean()) - 0.5) < 0.05
    assert abs(float(right[1].float().mean()) - 0.5) < 0.05
    rows = torch.cat([left[0], right[0]]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows) == len(task.data().train)


@pytest.mark.parametrize("rule", RULES)
def test_gradients_find_the_option_without_which_nothing_is_learnt(task, rule):
    found = search_by_gradients(
        Seeing(), task, rule=rule, training=QUICK.model_copy(update={"most_skips": 1.0}), seed=0
    )
    assert dict(found.strengths["look"])["at"] > 0.6
    again = search_by_gradients(
        Seeing(), task, rule=rule, training=QUICK.model_copy(update={"most_skips": 1.0}), seed=0
    )
    assert again == found


def test_a_search_that_skips_are_about_to_win_ends_early(task):
    """The only option that is not nothing is a skip here."""
    found = search_by_gradients(Seeing(), task, rule="darts", training=QUICK, seed=0)
    assert found.collapsed
    assert found.epochs < QUICK.epochs
    conv = Choice("edge", ("none", "skip", "conv"), (True, False, False), (False, True, False))
    assert skip_share((conv, conv), [[0.8, 0.15, 0.05], [0.1, 0.2, 0.7]]) == 0.5


def test_the_strongest_allowed_decisions_win():
    space = build(
        "space", {"kind": "cells", "nodes": 3, "operations": ["none", "conv_3x3"], "widths": [4], "depths": [1]}
    )
    row = [("none", 0.9), ("conv_3x3", 0.1)]
    strengths = {"cell/0-1": row, "cell/0-2": [("none", 0.6), ("conv_3x3", 0.4)], "cell/1-2": row}
    found = strongest(space, strengths, {"width": 4, "depth": 1})
    assert [found[name] for name in strengths] == ["none", "conv_3x3", "none"]


def test_the_strategy_proposes_the_genotype_first_and_keeps_what_it_found(task, tmp_path):
    space = cell_space(operations=("none", "skip_connect", "nor_conv_1x1"))
    strategy = Differentiable(
        method="gdas", training=QUICK.model_copy(update={"epochs": 1, "warm_up": 0, "samples": 64})
    )
    bound = strategy.prepare(SearchContext(task, tmp_path, seed=1))
    first = bound.ask(space, [], [ACCURACY], random.Random(0))
    assert first.origin == "gdas"
    (path,) = tmp_path.glob("differentiable-*.json")
    before = path.stat().st_mtime_ns
    second = bound.ask(space, [done(0, first.decisions, {"accuracy": 0.5})], [ACCURACY], random.Random(0))
    assert second.origin == "drawn by gdas"
    assert second.decisions != first.decisions
    again = strategy.prepare(SearchContext(task, tmp_path, seed=1)).ask(space, [], [ACCURACY], random.Random(5))
    assert again == first
    assert path.stat().st_mtime_ns == before


def test_without_a_task_it_draws_at_random():
    assert Differentiable().ask(cell_space(), [], [ACCURACY], random.Random(0)).origin == "random"


@pytest.mark.parametrize("rule", RULES)
def test_a_search_that_was_cut_off_goes_on_as_if_it_never_was(task, tmp_path, rule):
    training = QUICK.model_copy(update={"epochs": 4, "most_skips": 1.0, "samples": 64})
    space, path = cell_space(operations=("none", "skip_connect", "nor_conv_1x1")), tmp_path / "relaxed.safetensors"
    whole = search_by_gradients(space, task, rule=rule, training=training, seed=0)

    def cut_off(epoch):
        if epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_by_gradients(space, task, rule=rule, training=training, seed=0, checkpoint=path, on_epoch=cut_off)
    trained = []
    rest = search_by_gradients(
        space, task, rule=rule, training=training, seed=0, checkpoint=path, on_epoch=trained.append
    )
    assert (rest, trained) == (whole, [4])


def test_skips_win_nothing_before_strengths_are_moved_and_the_end_is_told(task, tmp_path):
    training = QUICK.model_copy(update={"epochs": 6, "warm_up": 2, "most_skips": 0.1})
    strategy, heard = Differentiable(method="darts", training=training), []
    context = SearchContext(task, tmp_path, listener=lambda event: heard.append(event.facts["text"]))
    first = strategy.prepare(context).ask(Seeing(), [], [ACCURACY], random.Random(0))
    assert first.origin == "darts, ended by skips in epoch 3"
    assert heard[-1].startswith("darts: in epoch 3 of 6 skips won more than 10% of the decisions")
    assert "the strengths of the start; more warm_up" in heard[-1]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


@pytest.mark.parametrize("wrong", [{"temperature": (0, 1)}, {"warm_up": 25}, {"strength_rate": float("inf")}])
def test_settings_with_which_nothing_is_found_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RelaxedTraining.parse(wrong)
