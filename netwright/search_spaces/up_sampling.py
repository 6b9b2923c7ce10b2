"""Blocks that enlarge a feature map, one for each way of up-sampling."""

from __future__ import annotations

from netwright.search_spaces.encoder_decoder_plan import UpSampling
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.bed_of_nails import BedOfNails
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.conv_transpose2d import ConvTranspose2d
from netwright.search_spaces.operations.max_unpool2d import MaxUnpool2d
from netwright.search_spaces.operations.pixel_shuffle import PixelShuffle
from netwright.search_spaces.operations.resize import Resize


def enlarge(
    net: GraphBuilder, x: Tensor, *, how: UpSampling, filters: int, factor: int, kernel: int, bias: bool
) -> Tensor:
    """(channels, h, w) -> (filters, factor·h, factor·w); channels are changed at the smaller size.

    `kernel` is the window of a transposed convolution, at least the factor. Max-unpooling is `unpool`.
    """
    if how == "transposed":
        padding = (kernel - factor) // 2
        layer = ConvTranspose2d(filters=filters, kernel=kernel, stride=factor, padding=padding, bias=bias)
        return net.add(layer, x, name=how)
    if how == "sub_pixel":
        x = net.add(Conv2d(filters=filters * factor**2, kernel=1, bias=bias), x, name=how)
        return net.add(PixelShuffle(factor=factor), x)
    x = with_filters(net, x, filters=filters, bias=bias)
    if how == "bed_of_nails":
        return net.add(BedOfNails(factor=factor), x)
    mode = "nearest" if how == "max_unpool" else how
    return net.add(Resize(mode=mode, factor=factor), x)


def unpool(net: GraphBuilder, x: Tensor, before: Tensor, *, bias: bool) -> Tensor:
    """Values of x back at the places of the maxima of `before`, from which 2×2 max-pooling made its size."""
    x = with_filters(net, x, filters=before.shape[0], bias=bias)
    return net.add(MaxUnpool2d(), x, before)


def enlarge_scores(net: GraphBuilder, x: Tensor, *, how: UpSampling, factor: int, fixed: bool = False) -> Tensor:
    """A map of scores, `factor` times as fine; transposed convolutions begin as bilinear interpolation.

    They are unpadded, so their result reaches half a window beyond the others' (Long et al., 2015).
    """
    if how == "transposed":
        start = "fixed_bilinear" if fixed else "bilinear"
        layer = ConvTranspose2d(filters=x.shape[0], kernel=2 * factor, stride=factor, start=start)
        return net.add(layer, x, name=how)
    return enlarge(net, x, how=how, filters=x.shape[0], factor=factor, kernel=factor, bias=True)


def with_filters(net: GraphBuilder, x: Tensor, *, filters: int, bias: bool) -> Tensor:
    """The map itself when it has so many channels, else a 1×1 convolution that gives them."""
    if x.shape[0] == filters:
        return x
    return net.add(Conv2d(filters=filters, kernel=1, bias=bias), x, name="match")
