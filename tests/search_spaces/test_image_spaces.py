"""Networks from image to image: every way of sampling, any size, each pixel in its place."""

from __future__ import annotations

import random

import pytest

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.shapes import Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.encoder_decoder_lowering import down_sample
from netwright.search_spaces.graph import GraphBuilder
from netwright.search_spaces.operations.bed_of_nails import BedOfNails
from netwright.search_spaces.operations.conv_transpose2d import ConvTranspose2d
from netwright.search_spaces.operations.max_unpool2d import MaxUnpool2d
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.pixel_axis import PixelAxis
from netwright.search_spaces.spaces.encoder_decoder import EncoderDecoder
from netwright.search_spaces.up_sampling import unpool
from tests.search_spaces.cost_check import agrees_with_its_costs

UPS = ("nearest", "bilinear", "bicubic", "bed_of_nails", "max_unpool", "transposed", "sub_pixel")


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
