"""Spaces from image to image, and unrolled algorithms: every way of sampling, any size, the task's operator."""

from __future__ import annotations

import random

import numpy as np
import pytest

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.shapes import Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.cost import cost
from netwright.search_spaces.encoder_decoder_lowering import down_sample
from netwright.search_spaces.graph import GraphBuilder
from netwright.search_spaces.operations.bed_of_nails import BedOfNails
from netwright.search_spaces.operations.conv_transpose2d import ConvTranspose2d
from netwright.search_spaces.operations.max_unpool2d import MaxUnpool2d
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.pixel_axis import PixelAxis
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.spaces.encoder_decoder import EncoderDecoder
from netwright.search_spaces.spaces.unfolded import Unfolded
from netwright.search_spaces.up_sampling import unpool

UPS = ("nearest", "bilinear", "bicubic", "bed_of_nails", "max_unpool", "transposed", "sub_pixel")


def agrees_with_its_costs(space: SearchSpace, decisions, shapes: Shapes) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    graph = space.graph(decisions, shapes)
    model = compile_graph(graph).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        outputs = model(torch.randn(1, *shapes.input))
    assert outputs.shape == (1, *shapes.output_shape)
    assert counter.get_total_flops() == 2 * cost(graph).macs
    assert sum(p.numel() for p in model.parameters()) == cost(graph).params


@pytest.mark.parametrize("up", UPS)
@pytest.mark.parametrize("convolution", ["same", "valid"])
@pytest.mark.parametrize("skip", ["none", "concat", "sum"])
def test_every_sampling_serves_odd_sizes_at_the_promised_cost(up, convolution, skip):
    space = EncoderDecoder(
        decoders=("levels",),
        depth=(2, 2),
        up_samplings=(up,),
        up_kernels=(2, 4),
        convolutions=(convolution,),
        skips=(skip,),
        filters=(4, 8),
        convolutions_per_level=(1, 1),
    )
    for seed, size in enumerate([(33, 22), (37, 29), (16, 8)]):
        decisions = space.sample(random.Random(seed))
        agrees_with_its_costs(space, decisions, Shapes((3, *size), (2, *size)))


@pytest.mark.parametrize("up", ["bilinear", "transposed", "sub_pixel"])
@pytest.mark.parametrize("bottom", ["convolutions", "classifier"])
def test_decoders_of_scores_serve_odd_sizes_at_the_promised_cost(up, bottom):
    space = EncoderDecoder(
        decoders=("scores",), depth=(3, 3), fused=(0, 2), up_samplings=(up,), bottoms=(bottom,), filters=(4, 8)
    )
    for seed, size in enumerate([(33, 22), (37, 29)]):
        decisions = space.sample(random.Random(seed))
        agrees_with_its_costs(space, decisions, Shapes((3, *size), (2, *size)))


def test_an_output_of_another_size_is_cropped_resized_or_enlarged():
    inside = EncoderDecoder(convolutions=("valid",), decoders=("levels",), depth=(1, 1))
    resized = EncoderDecoder(convolutions=("same",))
    for space, target in [(inside, (12, 9)), (resized, (12, 9)), (resized, (64, 48)), (inside, (64, 48))]:
        agrees_with_its_costs(space, space.sample(random.Random(1)), Shapes((1, 32, 24), (1, *target)))


def test_a_task_without_images_is_refused_in_words():
    space = EncoderDecoder()
    for shapes in (Shapes((1, 28, 28), 10), Shapes((20, 6), (1, 20, 6))):
        with pytest.raises(ShapeError, match="for a classification choose another space"):
            space.graph(space.sample(random.Random(0)), shapes)


def test_a_border_that_is_too_narrow_is_refused_with_its_size():
    space = EncoderDecoder(convolutions=("valid",), decoders=("levels",), depth=(3, 3), border=2)
    with pytest.raises(ShapeError, match="a border of 2 zeros leave nothing for 16 pixels"):
        space.graph(space.sample(random.Random(0)), Shapes((1, 16, 16), (1, 16, 16)))


def test_max_unpooling_without_max_pooling_is_refused():
    space = EncoderDecoder(up_samplings=("max_unpool",), down_samplings=("stride",), decoders=("levels",))
    with pytest.raises(SpaceError, match="max-unpooling needs max-pooling"):
        space.sample(random.Random(0))


def test_a_pixel_stays_in_its_place_through_valid_levels():
    """Every map of a valid network is laid where its pixels lie: a copied border moves nothing."""
    import torch

    space = EncoderDecoder(
        convolutions=("valid",), kernels=(3,), decoders=("levels",), depth=(2, 2), skips=("concat",),
        down_samplings=("max",), up_samplings=("transposed",), batch_norms=(False,), residuals=(False,),
    )  # fmt: skip
    decisions = space.sample(random.Random(3))
    shapes = Shapes((1, 40, 40), (1, 40, 40))
    model = space.build(decisions, shapes).double().eval()
    image = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
    whole = torch.randn(1, 1, 40, 40, dtype=torch.float64)
    image[..., 4:36, 4:36] = whole[..., 4:36, 4:36]
    moved = torch.roll(image, (4, 4), dims=(2, 3))  # a multiple of the coarsest step
    with torch.inference_mode():
        expected, found = model(image), model(moved)
    torch.testing.assert_close(found[..., 18:22, 18:22], expected[..., 14:18, 14:18])


def test_maxima_go_back_to_their_places():
    import torch

    net = GraphBuilder((2, 5, 7))
    pooled = net.add(Pool2d(padding="valid", ceil=True), net.input)
    model = compile_graph(net.finish(unpool(net, pooled, net.input, bias=False)))
    image = torch.randn(3, 2, 5, 7).abs() + 0.1
    found = model(image)
    kept = found != 0
    assert torch.equal(found[kept], image[kept])
    assert kept.sum() == 3 * 2 * 3 * 4
    blocks = torch.nn.functional.max_pool2d(found, 2, 2, ceil_mode=True)
    assert torch.equal(blocks, torch.nn.functional.max_pool2d(image, 2, 2, ceil_mode=True))


def test_max_unpooling_refuses_a_tensor_that_was_pooled_to_another_size():
    net = GraphBuilder((2, 9, 8))
    pooled = net.add(Pool2d(), net.input)
    with pytest.raises(ShapeError, match=r"gives \(2, 5, 4\)"):
        net.add(MaxUnpool2d(), pooled, net.input)


def test_nails_stand_in_the_corner_of_each_block():
    import torch

    net = GraphBuilder((1, 2, 3))
    model = compile_graph(net.finish(net.add(BedOfNails(factor=3), net.input)))
    image = torch.arange(1.0, 7).reshape(1, 1, 2, 3)
    expected = torch.zeros(1, 1, 6, 9)
    expected[..., ::3, ::3] = image
    assert torch.equal(model(image), expected)


@pytest.mark.parametrize("start", ["bilinear", "fixed_bilinear"])
@pytest.mark.parametrize("factor", [2, 8])
def test_a_transposed_convolution_may_begin_as_bilinear_interpolation(start, factor):
    import torch

    net = GraphBuilder((3, 6, 5))
    layer = ConvTranspose2d(kernel=2 * factor, stride=factor, padding=factor // 2, start=start)
    model = compile_graph(net.finish(net.add(layer, net.input)))
    image = torch.randn(2, 3, 6, 5)
    expected = torch.nn.functional.interpolate(image, scale_factor=factor, mode="bilinear")
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(model(image)[inside], expected[inside])
    assert bool(list(model.parameters())) == (start == "bilinear")


@pytest.mark.parametrize("how", ["stride", "max", "average"])
def test_down_sampling_rounds_up_or_down_as_asked(how):
    for ceil, size in [(True, 4), (False, 3)]:
        net = GraphBuilder((2, 7, 7))
        made = down_sample(net, net.input, how=how, ceil=ceil, batch_norm=False, activation="relu", bias=True)
        assert made.shape == (2, size, size)


def test_an_axis_knows_where_its_pixels_lie():
    """The crops of fully convolutional networks with a border of 100 (Long et al., 2015)."""
    x = PixelAxis(500).window(kernel=3, padding=100)
    for _ in range(5):
        x = x.window(kernel=2, stride=2, ceil=True)
    x = x.window(kernel=7)
    assert (x.size, x.step) == (16, 32)
    assert x.enlarged(32, kernel=64).change_to(PixelAxis(500)) == (-19, -25)


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


def test_tied_iterations_count_their_weights_once():
    shapes = Shapes((20,), 36)
    counts = []
    for tied, iterations in [(True, 2), (True, 5), (False, 5)]:
        space = unfolded("lista", ties=(tied,), iterations=(iterations, iterations))
        counts.append(space.cost(space.sample(random.Random(0)), shapes).params)
    once = 36 * 20 + 36 * 36 + 1
    assert counts == [once, once, 5 * (36 * 20 + 1) + 4 * 36 * 36]


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
