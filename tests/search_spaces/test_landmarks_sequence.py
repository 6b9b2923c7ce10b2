"""Named networks for sequences, and transformers: their published parameters and multiply-accumulates."""

from __future__ import annotations

import json
import random

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.landmark import Landmark, load_landmark
from netwright.search_spaces.space import SearchSpace
from tests.search_spaces.weight_copy import copy_tensors

NAMES = [
    *(f"tcn-{task}" for task in ("sequential-mnist", "adding", "copy", "jsb", "nottingham")),
    *(f"lstm-{task}" for task in ("sequential-mnist", "adding", "copy", "jsb", "nottingham")),
    "vit-b-16",
    "vit-b-32",
]  # fmt: skip


def built(landmark: Landmark) -> torch.fx.GraphModule:
    """The network with tensors that have shapes only."""
    with torch.device("meta"):
        return compile_graph(landmark.search_space.graph(landmark.resolved(), landmark.shapes)).eval()


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_macs_are_the_published_ones(name):
    landmark = load_landmark(name)
    expected = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    assert expected.params == landmark.counts[0].params
    model = built(landmark)
    assert sum(p.numel() for p in model.parameters()) == expected.params
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model(torch.empty(1, *landmark.input))
    assert counter.get_total_flops() == 2 * expected.macs
    if landmark.counts[0].macs is not None:
        assert expected.macs == landmark.counts[0].macs


def test_the_cell_of_darts_has_the_published_size_to_its_digits():
    landmark = load_landmark("darts-rnn-ptb")
    decisions = landmark.resolved()
    params = landmark.search_space.cost(decisions, landmark.shapes).params
    assert f"{params / 1e6:.0f}M" == landmark.counts[0].params
    assert json.loads(landmark.search_space.genotype(decisions)).items() >= dict(landmark.genotype).items()


def test_published_operations_of_vision_transformers_agree_to_their_digits():
    for name in ("vit-b-16", "vit-b-32"):
        exact, printed = load_landmark(name).counts
        assert f"{int(exact.macs) / 1e9:.3f}B" == printed.macs


def test_a_vision_transformer_of_torchvision_computes_the_same():
    vision_transformer = pytest.importorskip("torchvision.models.vision_transformer")
    theirs = vision_transformer.VisionTransformer(32, 8, 3, 4, 48, 96, num_classes=10).eval()
    settings = {"patches": [8], "depth": [3, 3], "widths": [48], "heads": [4], "ratios": [2.0], "summaries": ["class"]}
    space = build("space", {"kind": "transformer", "dropouts": [0.0], **settings})
    assert isinstance(space, SearchSpace)
    ours = space.build(space.sample(random.Random(0)), Shapes((3, 32, 32), 10)).eval()
    given = theirs.state_dict()
    torch.manual_seed(0)
    for tensor in given.values():
        tensor.normal_(std=0.3)
    token = given.pop("class_token").flatten()
    tensors = list(given.values())
    copy_tensors([*tensors[:2], token, tensors[2].squeeze(0), *tensors[3:]], ours.state_dict())
    inputs = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(ours(inputs), theirs(inputs), rtol=0, atol=1e-4)
