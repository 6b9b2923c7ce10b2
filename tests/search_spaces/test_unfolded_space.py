"""Unrolled algorithms: before training they are the algorithm, after it better; the task gives the operator."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.shapes import Shapes
from netwright.search_spaces.spaces.unfolded import Unfolded
from netwright.search_spaces.stored_matrix import matrix_shape
from tests.search_spaces.cost_check import agrees_with_its_costs


def plain_ista(y: np.ndarray, a: np.ndarray, *, penalty: float, iterations: int) -> np.ndarray:
    """The algorithm as it is written in textbooks, on rows of measurements."""
    bound = np.linalg.norm(a, 2) ** 2
    x = np.zeros((len(y), a.shape[1]))
    for _ in range(iterations):
        moved = x + (y - x @ a.T) @ a / bound
        x = np.sign(moved) * np.maximum(np.abs(moved) - penalty / bound, 0)
    return x


def relative_error_db(found: np.ndarray, true: np.ndarray) -> float:
    return float(10 * np.log10(np.sum((found - true) ** 2) / np.sum(true**2)))


@pytest.fixture
def problem(tmp_path):
    """A sparse recovery problem: the place of A, and draws of (y, x) with one value in ten not zero."""
    rng = np.random.default_rng(7)
    a = rng.standard_normal((30, 60))
    a /= np.linalg.norm(a, axis=0)
    np.savez(tmp_path / "problem.npz", A=a, flat=a[0], whole=np.array(["text"]))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.standard_normal((count, 60)) * (rng.random((count, 60)) < 0.1)
        return x @ a.T, x

    return f"{tmp_path / 'problem.npz'}:A", a, draw


def unfolded(kind: str, operator: str | None = None, **settings) -> Unfolded:
    settings = {"iterations": (6, 6), "ties": (False,), "momenta": (False,), "thresholds": ("one",), **settings}
    return Unfolded(kinds=(kind,), operator=operator, **settings)


@pytest.mark.parametrize("kind", ["lista", "lista_cp"])
@pytest.mark.parametrize("tied", [False, True])
def test_before_training_an_unfolded_algorithm_is_the_algorithm(problem, kind, tied):
    import torch

    operator, a, draw = problem
    penalty = 0.3
    space = unfolded(kind, operator, ties=(tied,), start=penalty / np.linalg.norm(a, 2) ** 2)
    model = space.build(space.sample(random.Random(0)), Shapes((30,), 60))
    y, _ = draw(5)
    with torch.inference_mode():
        found = model(torch.from_numpy(y).float())
    np.testing.assert_allclose(found, plain_ista(y, a, penalty=penalty, iterations=6), atol=1e-5)


@pytest.mark.parametrize("kind", ["lista", "lista_cp"])
def test_learned_iterations_recover_better_than_the_best_of_as_many_plain_ones(problem, kind):
    import torch

    operator, a, draw = problem
    space = unfolded(kind, operator)
    model = space.build(space.sample(random.Random(0)), Shapes((30,), 60))
    y, x = (torch.from_numpy(part).float() for part in draw(2000))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(300):
        rows = slice(step % 8 * 250, step % 8 * 250 + 250)
        optimizer.zero_grad()
        (model(y[rows]) - x[rows]).square().mean().backward()
        optimizer.step()
    y_new, x_new = draw(500)
    with torch.inference_mode():
        learned = relative_error_db(model(torch.from_numpy(y_new).float()).numpy(), x_new)
    plain = min(
        relative_error_db(plain_ista(y_new, a, penalty=p, iterations=6), x_new) for p in (0.02, 0.05, 0.1, 0.2, 0.4)
    )
    assert learned < plain - 2


@pytest.mark.parametrize("kind", ["lista", "lista_cp", "ista_net", "ista_net_plus", "admm_net"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_every_algorithm_costs_what_it_promises(problem, kind, tied, given):
    space = unfolded(kind, problem[0] if given else None, ties=(tied,), momenta=(True, False), thresholds=("each",))
    for seed in range(2):
        agrees_with_its_costs(space, space.sample(random.Random(seed)), Shapes((30,), 60))


def test_a_given_operator_is_no_parameter_and_is_kept_with_the_weights(problem):
    space = unfolded("ista_net", problem[0], iterations=(9, 9), filters=(32,))
    decisions, shapes = space.sample(random.Random(0)), Shapes((30,), 60)
    # four 3 x 3 convolutions between 1 and 32 channels, a step size and a threshold, nine times
    assert space.cost(decisions, shapes).params == 9 * (2 * 32 * 9 + 2 * 32 * 32 * 9 + 2)
    weights = space.build(decisions, shapes).state_dict()
    np.testing.assert_allclose(weights["operator.weight"], problem[1], rtol=1e-6)


@pytest.mark.parametrize("kind", ["lista", "lista_cp", "ista_net", "ista_net_plus", "admm_net"])
def test_iterations_may_begin_at_a_stored_map_of_the_measurements(kind, problem, tmp_path):
    operator, a, draw = problem
    np.savez(tmp_path / "start.npz", Q=np.linalg.pinv(a), wrong=a)
    space = unfolded(kind, operator, initial=f"{tmp_path / 'start.npz'}:Q", iterations=(1, 1), start=0.0)
    decisions, shapes = space.sample(random.Random(0)), Shapes((30,), 60)
    agrees_with_its_costs(space, decisions, shapes)
    y, _ = draw(5)
    model = space.build(decisions, shapes).eval()
    np.testing.assert_allclose(model.state_dict()["initial.weight"], np.linalg.pinv(a), atol=1e-6)
    if kind in ("lista", "lista_cp"):  # what is in keeping with the measurements stays as it is without thresholds
        found = model(torch.from_numpy(y.astype(np.float32))).detach().numpy()
        np.testing.assert_allclose(found, y @ np.linalg.pinv(a).T, atol=1e-4)
    wrong = unfolded(kind, operator, initial=f"{tmp_path / 'start.npz'}:wrong")
    with pytest.raises(ShapeError, match=r"the initial .* is 30 × 60; .* so 60 × 30 is needed"):
        wrong.graph(wrong.sample(random.Random(0)), shapes)


def test_tied_iterations_count_their_weights_once():
    shapes = Shapes((20,), 36)
    counts = []
    for tied, iterations in [(True, 2), (True, 5), (False, 5)]:
        space = unfolded("lista", ties=(tied,), iterations=(iterations, iterations))
        counts.append(space.cost(space.sample(random.Random(0)), shapes).params)
    once = 36 * 20 + 36 * 36 + 1
    assert counts == [once, once, 5 * (36 * 20 + 1) + 4 * 36 * 36]


def test_the_place_of_an_operator_may_name_an_environment_variable(problem, tmp_path, monkeypatch):
    monkeypatch.setenv("MEASURED", str(tmp_path))
    assert matrix_shape("$MEASURED/problem.npz:A") == (30, 60)


def test_an_operator_that_does_not_fit_is_refused_in_words(problem, tmp_path):
    operator, _, _ = problem
    file = operator.removesuffix(":A")
    mistakes = [
        ("nothing.npz:A", SpaceError, "no file at"),
        ("nothing", SpaceError, "expected file.npz:key"),
        (f"{file}:B", SpaceError, "holds no 'B'; it holds A, flat, whole"),
        (f"{file}:flat", SpaceError, "expected a real matrix"),
        (f"{file}:whole", SpaceError, "expected a real matrix"),
    ]
    (tmp_path / "text.npz").write_text("no zip")
    mistakes.append((f"{tmp_path / 'text.npz'}:A", SpaceError, "cannot be read as a .npz file"))
    for place, kind, words in mistakes:
        space = unfolded("lista", place)
        with pytest.raises(kind, match=words):
            space.graph(space.sample(random.Random(0)), Shapes((30,), 60))
    space = unfolded("lista", operator)
    with pytest.raises(ShapeError, match="is 30 × 60; the task has 20 measurements of 60 unknowns"):
        space.graph(space.sample(random.Random(0)), Shapes((20,), 60))
    space = unfolded("ista_net", block=(7, 9))
    with pytest.raises(ShapeError, match="`block` is 7 × 9, the task has 60 unknowns"):
        space.graph(space.sample(random.Random(0)), Shapes((30,), 60))
    with pytest.raises(ShapeError, match="from \\(m,\\) measurements"):
        space.graph(space.sample(random.Random(0)), Shapes((1, 28, 28), 10))
