"""Networks with masks, cross-attention and torch's transformers become spaces that compute what they do."""

from __future__ import annotations

import random

import pytest
import torch

from netwright.core.errors import SpaceError
from netwright.search_spaces.from_model import join_inputs, space_from_model
from tests.search_spaces.attention_networks import ATTENDING, Padded
from tests.search_spaces.user_networks import largest, outputs, same


def _inputs(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    words = len(shape) == 1
    return (
        torch.randint(0, 20, (4, *shape), generator=generator) if words else torch.rand(4, *shape, generator=generator)
    )


class Nested(Padded):
    """torch's default, with which padded places are zeros at inference, and no mask on the mean"""

    def __init__(self):
        super().__init__()
        self.encoder.use_nested_tensor = True

    def forward(self, x):
        return self.head(self.encoder(self.words(x), src_key_padding_mask=x > 15).mean(1))


def test_what_torch_computes_in_another_way_at_inference_is_refused():
    model = Nested().eval()
    words = torch.arange(36).reshape(4, 9).remainder(11)
    words[1, -2:] = 16
    with pytest.raises(
        SpaceError, match=r"gives other values than the network itself: .*set_fastpath_enabled\(False\)"
    ):
        space_from_model(model, words)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        space_from_model(model, words)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.parametrize("name", ATTENDING)
def test_a_network_that_attends_becomes_a_space_of_trainable_parts(name, tmp_path):
    kind, *shapes = ATTENDING[name]
    torch.manual_seed(0)
    model = kind().eval()
    space = space_from_model(model, [_inputs(shape, 1) for shape in shapes])
    assert space.groups
    whole = space.inherit(largest(space))
    for seed in (1, 2):
        inputs = [_inputs(shape, seed) for shape in shapes]
        given = model(*inputs)
        given = join_inputs(*given) if isinstance(given, tuple) else given
        same(outputs(whole, join_inputs(*inputs)), given.detach())
    saved = space.save(tmp_path)
    for seed in range(2):
        decisions = saved.sample(random.Random(seed))
        part = saved.inherit(decisions)
        assert sum(p.numel() for p in part.parameters()) == saved.cost(decisions, saved.shapes).params
        part.train()(join_inputs(*inputs)).pow(2).mean().backward()
        assert all(p.grad is not None for p in part.parameters())
