"""Search space of networks from image to image: fully convolutional networks, U-Net and their relatives."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.encoder_decoder_lowering import lower_plan
from netwright.search_spaces.encoder_decoder_plan import (
    Bottom,
    Convolution,
    Decoder,
    DownSampling,
    Level,
    Plan,
    SkipKind,
    UpSampling,
)
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Function
from netwright.search_spaces.space import SearchSpace

LEVELS_ONLY = ("bed_of_nails", "max_unpool")
"""Up-sampling that leaves most pixels zero, which only convolutions after it can fill."""


class EncoderDecoder(SearchSpace):
    """Networks from image to image: depth, widths, down- and up-sampling, skip connections, decoder.

    A decoder of levels has convolutions at every resolution, as U-Net (Ronneberger et al., 2015) and SegNet;
    one of scores enlarges and sums maps of scores, as FCN-32s and FCN-8s (Long et al., 2015). Depth 0 is a plain
    chain of convolutions, as VDSR (Kim et al., 2016). Maps of different size are laid over each other by where
    their pixels lie on the input, so any height and width will do.
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = (
        Shapes((1, 32, 32), (2, 32, 32)),
        Shapes((3, 37, 29), (3, 37, 29)),
        Shapes((2, 12, 16), (1, 24, 32)),
    )

    depth: tuple[int, int] = Field(default=(1, 3), description="least and most halvings of height and width")
    filters: tuple[int, ...] = Field(default=(8, 16, 24, 32), min_length=1, description="never fewer further down")
    convolutions_per_level: tuple[int, int] = Field(default=(1, 2), description="least and most at one resolution")
    kernels: tuple[Literal[1, 3, 5, 7], ...] = Field(default=(3,), min_length=1, description="of the levels' windows")
    head_kernels: tuple[Literal[1, 3, 5, 7], ...] = Field(default=(1,), min_length=1, description="of the last window")
    up_kernels: tuple[Literal[2, 4], ...] = Field(default=(2,), min_length=1, description="of transposed convolutions")
    convolutions: tuple[Convolution, ...] = Field(default=("same", "valid"), min_length=1)
    bottoms: tuple[Bottom, ...] = Field(
        default=("convolutions",),
        min_length=1,
        description="what is below the levels; classifier: a valid 7×7 convolution, then 1×1, as in VGG",
    )
    decoders: tuple[Decoder, ...] = Field(default=("levels", "scores"), min_length=1)
    down_samplings: tuple[DownSampling, ...] = Field(default=("stride", "max", "average"), min_length=1)
    up_samplings: tuple[UpSampling, ...] = Field(
        default=("nearest", "bilinear", "bicubic", "bed_of_nails", "max_unpool", "transposed", "sub_pixel"),
        min_length=1,
    )
    skips: tuple[SkipKind, ...] = Field(default=("none", "concat", "sum"), min_length=1)
    fused: tuple[int, int] = Field(default=(0, 2), description="least and most skips that a decoder of scores sums")
    batch_norms: tuple[bool, ...] = Field(default=(True, False), min_length=1)
    activations: tuple[Function, ...] = Field(default=("relu", "leaky_relu"), min_length=1)
    dropouts: tuple[float, ...] = Field(default=(0.0,), min_length=1, description="at the bottom")
    residuals: tuple[bool, ...] = Field(
        default=(False, True), min_length=1, description="whether the result is the input plus a correction"
    )
    bias: bool = Field(default=True, description="whether convolutions without batch normalisation have biases")
    border: int | None = Field(
        default=None,
        ge=0,
        description="zeros around the input; by default as many as unpadded windows need to give the output's size",
    )
    fixed_last: bool = Field(
        default=True, description="whether the last transposed convolution of scores stays bilinear, as published"
    )

    def decide(self, choose: Chooser) -> Plan:
        depth = choose.integer("depth", *self.depth)
        decoder: Decoder = choose.one_of("decoder", self.decoders)
        levels: list[Level] = []
        for index in range(depth):
            with choose.scope(f"level{index + 1}"):
                levels.append(self._level(choose, levels))
        with choose.scope("bottom"):
            bottom = self._level(choose, levels)
            bottom_kind: Bottom = choose.one_of("kind", self.bottoms)
        up, down = self._sampling(choose, decoder, depth)
        top = max(depth - 1, 0)
        by_levels = decoder == "levels"
        return Plan(
            levels=tuple(levels),
            bottom=bottom,
            bottom_kind=bottom_kind,
            decoder=decoder,
            convolution=choose.one_of("convolution", self.convolutions),
            kernel=int(choose.one_of("kernel", self.kernels)),
            head_kernel=int(choose.one_of("head_kernel", self.head_kernels)) if by_levels else 1,
            up_kernel=int(choose.one_of("up_kernel", self.up_kernels)) if by_levels and up == "transposed" else 2,
            down_sampling=down,
            up_sampling=up,
            skip=choose.one_of("skip", self.skips) if by_levels and depth else "none",
            fused=0 if by_levels else choose.integer("fused", min(self.fused[0], top), min(self.fused[1], top)),
            batch_norm=bool(choose.one_of("batch_norm", self.batch_norms)),
            activation=choose.one_of("activation", self.activations),
            dropout=float(choose.one_of("dropout", self.dropouts)),
            residual=bool(choose.one_of("residual", self.residuals)),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        if len(shapes.input) != 3 or len(shapes.output_shape) != 3:
            raise ShapeError(
                "encoder_decoder makes images of images, (channels, height, width) each; the task gives "
                f"{shapes.input} and needs {shapes.output_shape}: for a classification choose another space"
            )
        return lower_plan(plan, net, shapes, bias=self.bias, border=self.border, fixed_last=self.fixed_last)

    def _level(self, choose: Chooser, above: list[Level]) -> Level:
        least = above[-1].filters if above else 0
        filters = choose.one_of("filters", tuple(f for f in self.filters if f >= least))
        return Level(int(filters), choose.integer("convolutions", *self.convolutions_per_level))

    def _sampling(self, choose: Chooser, decoder: Decoder, depth: int) -> tuple[UpSampling, DownSampling]:
        """How maps are enlarged and made smaller; max-unpooling needs max-pooling to undo."""
        if not depth:
            return "nearest", "max"
        ups = tuple(u for u in self.up_samplings if decoder == "levels" or u not in LEVELS_ONLY)
        choose.require(bool(ups), f"a decoder of scores cannot up-sample by {' or '.join(self.up_samplings)}")
        up: UpSampling = choose.one_of("up_sampling", ups)
        downs = tuple(d for d in self.down_samplings if up != "max_unpool" or d == "max")
        choose.require(bool(downs), "max-unpooling needs max-pooling, which is not among the down-samplings")
        return up, choose.one_of("down_sampling", downs)
