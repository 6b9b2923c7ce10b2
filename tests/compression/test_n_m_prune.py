"""N:M sparsity: the pattern holds in every row of inputs, also after training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netwright.compression.model import Model
from netwright.compression.passes.n_m_prune import NMPrune, largest_of_each
from netwright.core.errors import ConfigurationError


def most_in_a_group(weight: torch.Tensor, m: int) -> int:
    """The most entries that are not zero in m neighbours along the inputs."""
    rows = weight.detach().movedim(1, -1)
    return int(rows.reshape(-1, m).count_nonzero(dim=1).max())


def test_the_largest_of_each_group_stay() -> None:
    mask = largest_of_each(torch.tensor([[1.0, -4.0, 2.0, 3.0, 0.1, 0.2, -0.3, 0.0]]), n=2, m=4)
    assert mask.tolist() == [[False, True, False, True, False, True, True, False]]


def test_the_groups_of_a_convolution_lie_along_its_input_channels() -> None:
    weight = torch.randn(6, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    mask = largest_of_each(weight, n=1, m=4)
    assert mask.shape == weight.shape
    assert (mask[:, :4].sum(1) == 1).all()
    assert (mask[:, 4:].sum(1) == 1).all()
    kept = weight[:, :4].abs().argmax(1, keepdim=True)
    assert mask[:, :4].gather(1, kept).all()


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
def test_training_keeps_the_pattern(context_of, n: int, m: int) -> None:
    net, context = context_of("plain_cnn")
    done = NMPrune(n=n, m=m).apply(Model(net), context)
    for name in ("two.weight", "head.weight"):
        weight = done.module.get_parameter(name)
        assert most_in_a_group(weight, m) == n
        assert not torch.equal(weight[weight != 0], net.get_parameter(name)[weight != 0])
    assert set(done.forms) == {"two.weight", "head.weight"}
    assert done.notes[0].layer == ""
    assert f"{n} of every {m} weights stay in 2 of 3 weight tensors" in done.notes[0].reason


def test_what_does_not_fit_is_left_alone_with_a_reason(context_of) -> None:
    net, context = context_of("lstm")
    verdicts = {v.layer: v for v in NMPrune(m=32, n=8).check(Model(net), context)}
    assert "multiple" in verdicts["enter.weight"].reason
    assert "LSTM" in verdicts["rnn.weight_ih_l0"].reason
    assert verdicts["head.weight"].applies
    assert "no speed-up in this runtime" in verdicts["head.weight"].reason


def test_a_transposed_convolution_is_left_alone(context_of) -> None:
    _, context = context_of("mlp")
    net = nn.Sequential(nn.ConvTranspose2d(8, 8, 2), nn.Conv2d(8, 4, 1))
    verdicts = {v.layer: v.applies for v in NMPrune().check(Model(net), context)}
    assert verdicts == {"0.weight": False, "1.weight": True}


def test_n_must_be_less_than_m() -> None:
    with pytest.raises(ConfigurationError, match="less than m"):
        NMPrune.parse({"n": 4, "m": 4})
