"""Auxiliary heads: they help a training, and are no part of what is measured, exported or kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from netwright.core.errors import ConfigurationError, ShapeError
from netwright.core.shapes import Shapes
from netwright.runs.artifacts import Artifacts
from netwright.runs.search import create_run, search
from netwright.runs.specification import RunSpecification
from netwright.runs.view import open_run
from netwright.search_spaces.cost import layer_costs
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.landmark import load_landmark
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.spaces.convnet import Convnet
from netwright.search_spaces.spaces.mlp import Mlp
from netwright.search_spaces.spaces.nasnet_cell import NasnetCell
from netwright.search_spaces.spaces.stack import Stack
from netwright.tasks.kinds.digits import Digits
from netwright.tasks.training import EpochRow, Training, fit

SETTINGS: dict[str, Any] = {"stages": (2, 2), "depth": (1, 1), "strides": (0, 0), "filters": (8,), "dropouts": (0.2,)}
PLAIN, HELPED = Convnet(**SETTINGS), Convnet(**SETTINGS, auxiliary_after=1)
DIGITS = Shapes((1, 8, 8), 10)
SHORT = Training(epochs=2, batch_size=64, samples=128, auxiliary=0.4)


class TwoHelpers(Convnet):
    """A space of one's own whose networks have two auxiliary heads, as GoogLeNet."""

    def lower(self, plan: Any, net: GraphBuilder, shapes: Shapes) -> Tensor:
        for _ in range(2):
            net.auxiliary(flat_head, net.input, classes=shapes.classes)
        return super().lower(plan, net, shapes)


def flat_head(net: GraphBuilder, x: Tensor, *, classes: int) -> Tensor:
    return net.chain(x, Flatten(), Linear(features=classes))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def decisions_of(space: SearchSpace) -> dict[str, Any]:
    return next(space.enumerate())


def trained(space: Convnet = HELPED, *, training: Training = SHORT, checkpoint: Path | None = None, stop: int = 9):
    decisions = decisions_of(space)
    model = space.build(decisions, DIGITS, seed=3)
    helped = space.with_auxiliary(model, decisions, DIGITS, seed=3)

    def go_on(row: EpochRow) -> bool:
        return row["epoch"] < stop

    fit(model, Digits(), training=training, seed=1, auxiliary=helped, checkpoint=checkpoint, on_epoch=go_on)
    return model.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_auxiliary_head_changes_nothing_but_the_training():
    decisions = decisions_of(PLAIN)
    assert PLAIN.describe(decisions, DIGITS) == HELPED.describe(decisions, DIGITS)
    assert PLAIN.graph(decisions, DIGITS) == HELPED.graph(decisions, DIGITS)
    assert equal(PLAIN.build(decisions, DIGITS).state_dict(), HELPED.build(decisions, DIGITS).state_dict())
    assert PLAIN.with_auxiliary(PLAIN.build(decisions, DIGITS), decisions, DIGITS) is None
    off = trained(training=SHORT.model_copy(update={"auxiliary": 0.0}))
    assert off.keys() == trained().keys()
    assert not equal(off, trained())
    assert equal(trained(), trained())


STACKED = Stack(parts=(HELPED, TwoHelpers(**SETTINGS), Mlp(depth=(1, 1), neurons=(8,))))


@pytest.mark.parametrize(("space", "heads"), [(HELPED, 1), (TwoHelpers(**SETTINGS), 2), (STACKED, 3)])
def test_the_helped_network_gives_the_networks_outputs_and_those_of_its_heads(space, heads):
    decisions = decisions_of(space)
    model = space.build(decisions, DIGITS, seed=5).eval()
    helped = space.with_auxiliary(model, decisions, DIGITS, seed=5).eval()
    x = torch.randn(4, 1, 8, 8)
    outputs, *sides = helped(x)
    assert torch.equal(outputs, model(x))
    assert len(sides) == heads
    assert all(side.shape == (4, 10) and not torch.equal(side, outputs) for side in sides)
    shared = {id(parameter) for parameter in model.parameters()}
    own = {name for name, parameter in helped.named_parameters() if id(parameter) not in shared}
    assert own
    assert all("auxiliary" in name for name in own)
    assert shared <= {id(parameter) for parameter in helped.parameters()}


def test_a_training_with_an_auxiliary_head_goes_on_exactly(tmp_path: Path):
    whole = trained()
    trained(checkpoint=tmp_path / "state", stop=1)
    assert equal(trained(checkpoint=tmp_path / "state"), whole)


def test_a_weight_without_a_head_is_refused():
    with pytest.raises(ConfigurationError, match=r"training.auxiliary: .*no auxiliary head"):
        trained(PLAIN)
    specification = RunSpecification.parse(
        {"task": "digits", "space": PLAIN, "winner": {"training": {"auxiliary": 0.4}}}
    )
    with pytest.raises(ConfigurationError, match=r"winner.training.auxiliary: .*'convnet' brings no auxiliary head"):
        create_run(specification)


def test_a_head_that_finds_too_few_places_is_told():
    space = NasnetCell(nodes=(2,), cells=(1,), stages=2)
    with pytest.raises(ShapeError, match="at auxiliary/pool2d"):
        space.auxiliary_graphs(decisions_of(space), DIGITS)


def test_inception_v3_has_the_head_of_its_paper():
    """27,161,264 parameters with it (torchvision), 23,834,568 without."""
    landmark = load_landmark("inception-v3")
    (graph,) = landmark.search_space.auxiliary_graphs(landmark.resolved(), landmark.shapes)
    own = sum(c.params for c in layer_costs(graph) if c.name.startswith("auxiliary/"))
    cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    assert (cost.params, cost.params + own) == (23_834_568, 27_161_264)


@pytest.mark.parametrize("fidelity", [None, {"axis": "width", "rungs": [0.5, 1.0]}])
def test_a_search_trains_with_the_head_and_keeps_the_network_alone(tmp_path: Path, fidelity: Any):
    training = {"epochs": 1, "samples": 64, "batch_size": 32, "auxiliary": 0.4}
    settings = {"training": training, "trials": 2, "executor": "inline", "strategy": "random_search"}
    if fidelity:
        settings["fidelity"] = fidelity
    told = {"task": "digits", "space": HELPED, "objectives": ["accuracy", "params"], "search": settings}
    create_run(RunSpecification.parse(told), tmp_path / "run")
    search(tmp_path / "run")
    trial = next(trial for trial in open_run(tmp_path / "run").trials if "weights" in trial.artifacts)
    model = HELPED.build(trial.decisions, DIGITS)
    assert trial.value("params") == sum(p.numel() for p in model.parameters())
    Artifacts(tmp_path / "run").load_weights(trial.artifacts["weights"], model)
