"""Vectors of words: looked up by number, zero for padding, under any space for sequences, and demanded for texts."""

from __future__ import annotations

import random

import pytest
import torch

from netwright.core.errors import ShapeError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.space import SearchSpace

TEXT = Shapes((9, 1), 3, tokens=30)


def space(spec: object) -> SearchSpace:
    found = build("space", spec)
    assert isinstance(found, SearchSpace)
    return found


def numbers(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)[:, :, None]


def test_the_mean_of_the_words_without_filling_is_what_a_linear_layer_reads() -> None:
    model = space({"kind": "embedding", "widths": [16], "dropouts": [0.0]}).build(
        {"width": 16, "dropout": 0.0}, TEXT, seed=1
    )
    (table,) = (m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding))
    (linear,) = (m for m in model.modules() if isinstance(m, torch.nn.Linear))
    text = [0, 0, 0, 0, 0, 7, 7, 3, 29]
    expected = linear((2 * table[7] + table[3] + table[29]) / 4)
    torch.testing.assert_close(model(numbers(text))[0], expected)
    torch.testing.assert_close(model(numbers([0] * 9))[0], linear.bias)
    assert not table[0].any()
    model(numbers(text)).square().sum().backward()
    assert table.grad is not None
    assert not table.grad[0].any()
    assert table.grad[7].any()


def test_vectors_begin_small_so_that_rare_words_do_not_drown_what_is_learned() -> None:
    model = space("embedding").build({"width": 64, "dropout": 0.0}, Shapes((9, 1), 3, tokens=2000))
    (table,) = (m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding))
    assert table[1:].std().item() == pytest.approx(0.1, rel=0.02)
    assert not table[0].any()


def test_numbers_out_of_range_are_taken_for_the_nearest() -> None:
    model = space("embedding").build({"width": 16, "dropout": 0.0}, TEXT).eval()
    torch.testing.assert_close(model(numbers([-4] * 8 + [99])), model(numbers([0] * 8 + [29])))


@pytest.mark.parametrize("upper", ["recurrent", "tcn", "transformer", "recurrent_cell"])
def test_every_space_for_sequences_stands_on_it(upper: object) -> None:
    stack = space({"kind": "stack", "parts": ["embedding", upper]})
    for seed in range(2):
        decisions = stack.sample(random.Random(seed))
        assert {"part1/width", "part1/dropout"} <= set(decisions)
        model = stack.build(decisions, TEXT)
        assert model(numbers([3] * 9, [0] * 8 + [5])).shape == (2, 3)
        assert sum(weight.numel() for weight in model.parameters()) == stack.cost(decisions, TEXT).params


@pytest.mark.parametrize(("kind", "name"), [("recurrent", "recurrent"), ("mlp", "mlp")])
def test_a_space_without_an_embedding_refuses_numbered_words(kind: str, name: str) -> None:
    plain = space(kind)
    with pytest.raises(ShapeError, match=rf"numbers of words.*kind: stack, parts: \[embedding, {name}\]"):
        plain.identity(plain.sample(random.Random(0)), TEXT)


def test_measurements_are_no_words() -> None:
    with pytest.raises(ShapeError, match=r"needs texts or other numbered tokens, came inputs of shape \(9, 1\)"):
        space("embedding").graph({"width": 16, "dropout": 0.0}, Shapes((9, 1), 3))


def test_shapes_survive_json() -> None:
    for shapes in (TEXT, Shapes((4, 9), 2, edges=3), Shapes((1, 8, 8), (2, 4, 4))):
        assert Shapes.from_json(shapes.to_json()) == shapes
    assert Shapes((1, 8, 8), 3).to_json() == {"input": [1, 8, 8], "output": 3}
