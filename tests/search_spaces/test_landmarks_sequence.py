"""Named networks for sequences, and transformers: their published parameters and multiply-accumulates."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.landmark import Landmark, load_landmark

NAMES = [
    *(f"tcn-{task}" for task in ("sequential-mnist", "adding", "copy", "jsb", "nottingham")),
    *(f"lstm-{task}" for task in ("sequential-mnist", "adding", "copy", "jsb", "nottingham")),
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
