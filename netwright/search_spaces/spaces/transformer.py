"""Search space of transformer encoders for images and sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Size
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.class_token import ClassToken
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.frames import Frames
from netwright.search_spaces.operations.layer_norm import LayerNorm
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.positions import Positions
from netwright.search_spaces.operations.self_attention import SelfAttention
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.operations.tokens import Tokens
from netwright.search_spaces.sequences import per_step
from netwright.search_spaces.space import SearchSpace

Summarised = Literal["class", "mean", "last"]
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Plan:
    """How the input is cut, how wide all blocks are, the (heads, hidden neurons) of each, where the result is read."""

    patch: int
    frame: int
    width: int
    blocks: tuple[tuple[int, int], ...]
    summary: Summarised
    dropout: float


class Transformer(SearchSpace):
    """Transformer encoder: patch, depth, width, heads and hidden neurons (Dosovitskiy et al., 2021).

    An image (channels, height, width) is cut into square patches (Vision Transformer), with zeros added below and
    at the right where they do not divide it; a sequence (time, features) is read in frames of so many steps.
    Learned positions are added, and each block is attention, then two linear layers, both normalised before and
    with a connection around them. The result is read from a class token, the mean over time or the last step;
    from every step when the task's result is (time, values).
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = (
        Shapes((1, 28, 28), 10),
        Shapes((12, 5), (12, 7)),
        Shapes((20, 6), 4),
        Shapes((3, 30, 25), 3),
    )

    patches: tuple[Size, ...] = Field(default=(4, 7, 14), min_length=1, description="side of the patches of an image")
    frames: tuple[Size, ...] = Field(default=(1,), min_length=1, description="steps of a sequence joined to one")
    depth: tuple[int, int] = Field(default=(1, 4), description="least and most blocks")
    widths: tuple[Size, ...] = Field(default=(32, 48, 64), min_length=1, description="features of every step")
    heads: tuple[Size, ...] = Field(default=(2, 4, 8), min_length=1, description="those that divide the width")
    ratios: tuple[float, ...] = Field(default=(1.0, 2.0, 4.0), min_length=1, description="hidden neurons / width")
    same_blocks: bool = Field(default=True, description="one number of heads and one ratio, or those of each block")
    summaries: tuple[Summarised, ...] = Field(
        default=("class", "mean"), min_length=1, description="read a class token, the mean over time, or the last step"
    )
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.1), min_length=1)
    causal: bool = Field(default=False, description="whether no result may depend on a later step")

    def decide(self, choose: Chooser) -> Plan:
        depth = choose.integer("depth", *self.depth)
        width = int(choose.one_of("width", self.widths))
        dividers = tuple(heads for heads in self.heads if width % heads == 0)
        choose.require(bool(dividers), f"none of the heads {list(self.heads)} divides the width {width}")
        blocks = []
        for index in range(depth):
            scope = "" if self.same_blocks else f"block{index + 1}/"
            heads = int(choose.one_of(f"{scope}heads", dividers))
            ratio = float(choose.one_of(f"{scope}ratio", self.ratios))
            blocks.append((heads, max(1, round(width * ratio))))
        summary: Summarised = choose.one_of("summary", self.summaries)
        choose.require(not self.causal or summary != "class", "a class token stands first, and sees no later step")
        return Plan(
            patch=int(choose.one_of("patch", self.patches)),
            frame=int(choose.one_of("frame", self.frames)),
            width=width,
            blocks=tuple(blocks),
            summary=summary,
            dropout=float(choose.one_of("dropout", self.dropouts)),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        every_step = per_step(shapes)
        with net.scope("embedding"):
            x = self._embedding(plan, net)
            if plan.summary == "class" and not every_step:
                x = net.add(ClassToken(), x)
            x = net.chain(x, Positions(), Dropout(probability=plan.dropout))
        for index, (heads, hidden) in enumerate(plan.blocks):
            name, causal = f"block{index + 1}", self.causal
            x = net.use(block, x, name=name, heads=heads, hidden=hidden, dropout=plan.dropout, causal=causal)
        with net.scope("head"):
            x = net.add(LayerNorm(epsilon=EPSILON), x)
            if every_step:
                return net.add(Linear(features=shapes.output_shape[-1]), x)
            read = "first" if plan.summary == "class" else plan.summary
            return net.chain(x, Summary(mode=read), Linear(features=shapes.classes))

    def _embedding(self, plan: Plan, net: GraphBuilder) -> Tensor:
        """The input as (time, width)."""
        if len(net.input.shape) != 3:
            return net.chain(net.input, Frames(steps=plan.frame), Linear(features=plan.width))
        side = plan.patch
        missing = [-size % side for size in net.input.shape[1:]]
        x = net.add(Pad2d(bottom=missing[0], right=missing[1]), net.input)
        cut = Conv2d(filters=plan.width, kernel=side, stride=side, padding="valid", bias=True)
        return net.chain(x, cut, Tokens())


def block(net: GraphBuilder, x: Tensor, *, heads: int, hidden: int, dropout: float, causal: bool) -> Tensor:
    """Attention and two linear layers, each normalised before and with a connection around it."""
    width, drop = x.shape[1], Dropout(probability=dropout)
    with net.scope("attention"):
        attention = SelfAttention(width=width, heads=heads, causal=causal)
        x = net.add(Add(), net.chain(x, LayerNorm(epsilon=EPSILON), attention, drop), x)
    with net.scope("mlp"):
        y = net.chain(x, LayerNorm(epsilon=EPSILON), Linear(features=hidden), Activation(function="gelu"), drop)
        return net.add(Add(), net.chain(y, Linear(features=width), drop), x)
