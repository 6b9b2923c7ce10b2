"""Weights under a norm of torch become plain ones, and nothing of the norm stays with the layer."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from netwright.search_spaces.plain_weights import plain_weights


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize(
    "norm", [weight_norm, spectral_norm, parametrizations.weight_norm, parametrizations.spectral_norm]
)
def test_a_normed_layer_computes_the_same_and_can_be_sent_and_loaded(norm: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2, 3, 9)
    model = nn.Sequential(norm(nn.Conv1d(3, 4, 3))).eval()
    wanted = model(inputs)
    sent = pickle.loads(pickle.dumps(plain_weights(model)))
    sent.load_state_dict({name: tensor.clone() for name, tensor in sent.state_dict().items()})
    assert set(sent.state_dict()) == {"0.weight", "0.bias"}
    assert torch.allclose(sent(inputs), wanted, atol=1e-6)
