"""A check that several tests share: a network costs, once built, what its decisions said."""

from __future__ import annotations

from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.cost import cost
from netwright.search_spaces.space import SearchSpace


def agrees_with_its_costs(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    graph = space.graph(decisions, shapes)
    model = compile_graph(graph).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        outputs = model(torch.randn(1, *shapes.input))
    assert outputs.shape == (1, *shapes.output_shape)
    assert counter.get_total_flops() == 2 * cost(graph).macs
    assert sum(p.numel() for p in model.parameters()) == cost(graph).params
