"""Macro search space of convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.conv_blocks import Branch, Layer, Normalisation, Pool, Residual, Style, auxiliary_head
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Padding, Size
from netwright.search_spaces.operations.activation import Function
from netwright.search_spaces.operations.adaptive_pool2d import AdaptivePool2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.stages import (
    DenseStage,
    Frame,
    InceptionStage,
    PlainStage,
    ResidualStage,
    SeparableStage,
    Stage,
)

Connection = Literal["plain", "basic", "bottleneck", "separable", "dense", "inception"]
DownSampling = Literal["stride", "max_pool", "average_pool", "max_pool_3x3", "average_pool_3x3"]
Step = Literal["1x1", "3x3", "5x5", "7x7", "1x3", "3x1", "1x7", "7x1", "1x3+3x1", "max_pool", "average_pool"]
Count = Annotated[int, Field(ge=0)]
REDUCING = ("3x3", "max_pool", "average_pool")
"""Steps that leave the same size when they reduce without padding."""


@dataclass(frozen=True, slots=True)
class Head:
    """How the last feature map becomes a vector, and the fully connected layers before the output."""

    pooling: Literal["average", "max", "flatten"]
    size: int
    neurons: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages in order, the head, and what all layers share."""

    stages: tuple[Stage, ...]
    head: Head
    style: Style
    dropout: float


class Convnet(SearchSpace):
    """Convolutional networks: depth, filters, kernels, strides, pooling, connections, activation, dropout, classifier.

    A network is a row of stages and a head. The default is one stage of plain convolutions in which the places
    that halve height and width are a decision of its own, so that down-sampling can come early (fast) or late
    (accurate). Its settings widen it to stages of residual, separable, dense or inception blocks, in which lie
    LeNet, AlexNet, VGG, ResNet, ResNeXt, SE-ResNet, DenseNet, Inception and Xception.
    """

    stages: tuple[Size, Size] = Field(default=(1, 1), description="least and most stages")
    connections: tuple[Connection, ...] = Field(default=("plain",), min_length=1, description="what a stage is made of")
    depth: tuple[Size, Size] = Field(default=(2, 6), description="least and most convolutions or blocks of a stage")
    kernels: tuple[Size, ...] = Field(default=(3, 5), min_length=1, description="sides of the square windows")
    filters: tuple[Size, ...] = Field(
        default=(8, 16, 24, 32, 48, 64), min_length=1, description="channels that come out"
    )
    rising: bool = Field(default=True, description="whether filters never fall from one layer to the next")
    strides: tuple[Count, Count] = Field(
        default=(1, 3), description="least and most layers or blocks of a stage that reduce height and width"
    )
    stride_sizes: tuple[Size, ...] = Field(default=(2,), min_length=1, description="by how much a stride reduces them")
    down_samplings: tuple[DownSampling, ...] = Field(
        default=("stride", "max_pool"), min_length=1, description="how plain layers reduce them"
    )
    paddings: tuple[Literal["same", "valid"] | Count, ...] = Field(
        default=("same",), min_length=1,
        description="of plain convolutions and of reducing inception steps: same, valid or places at each side",
    )  # fmt: skip
    pools: tuple[Pool, ...] = Field(default=("none",), min_length=1, description="pooling at the end of a stage")
    skips: bool = Field(default=True, description="whether skip connections may be chosen around plain layers")
    convolutions: tuple[Literal["full", "separable"], ...] = Field(
        default=("full",), min_length=1, description="of plain stages: full, or depthwise and then pointwise"
    )
    activations: tuple[Function, ...] = Field(default=("relu", "hardswish"), min_length=1)
    normalisations: tuple[Normalisation, ...] = Field(default=("batch",), min_length=1)
    norm_groups: int = Field(default=8, ge=1, description="most groups of a group normalisation")
    epsilon: float = Field(default=1e-5, gt=0, description="added to the variance in a normalisation")
    bias: bool | None = Field(default=None, description="of convolutions; by default where nothing is normalised")
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.2), min_length=1)
    bottlenecks: tuple[Count, ...] = Field(
        default=(4,), min_length=1,
        description="by how much a bottleneck block is narrower inside; times the growth in dense layers, 0 for none",
    )  # fmt: skip
    groups: tuple[Size, ...] = Field(default=(1,), min_length=1, description="of the middle of a bottleneck block")
    stride_places: tuple[Literal["window", "first"], ...] = Field(
        default=("window",), min_length=1, description="which convolution of a bottleneck block has the stride"
    )
    shortcuts: tuple[Literal["projection", "padding"], ...] = Field(
        default=("projection",),
        min_length=1,
        description="how a residual block's input is brought to its output's shape",
    )
    squeeze_excites: tuple[Count, ...] = Field(
        default=(0,), min_length=1, description="by how much squeeze-and-excitation is narrower inside; 0 for none"
    )
    repeats: tuple[Size, ...] = Field(default=(2,), min_length=1, description="convolutions of a separable block")
    widenings: tuple[Literal["first", "last"], ...] = Field(
        default=("first",), min_length=1, description="which convolution of a separable block changes the filters"
    )
    growths: tuple[Size, ...] = Field(default=(8, 16), min_length=1, description="channels that a dense layer adds")
    compressions: tuple[float, ...] = Field(
        default=(0.5, 1.0), min_length=1, description="share of the channels that leave a dense stage"
    )
    branches: tuple[Size, Size] = Field(default=(2, 4), description="least and most branches of an inception block")
    steps: tuple[Size, Size] = Field(default=(1, 3), description="least and most steps of a branch")
    branch_operations: tuple[Step, ...] = Field(
        default=("1x1", "3x3", "5x5", "max_pool"), min_length=1, description="what a step of a branch may be"
    )
    count_padding: bool = Field(default=False, description="whether padded places count in a branch's average pooling")
    poolings: tuple[Literal["average", "max", "flatten"], ...] = Field(
        default=("average",), min_length=1, description="how the last feature map becomes a vector"
    )
    pool_sizes: tuple[Size, ...] = Field(
        default=(1,), min_length=1, description="height and width that average pooling leaves"
    )
    hidden: tuple[Count, Count] = Field(
        default=(0, 0), description="least and most fully connected layers before the last"
    )
    neurons: tuple[Size, ...] = Field(default=(64, 128, 256), min_length=1, description="of such a layer")
    auxiliary_after: Count = Field(
        default=0,
        description="stage after which an auxiliary classifier sits, for trainings that weigh it; 0: none",
    )

    @model_validator(mode="after")
    def _every_decision_has_an_option(self) -> Convnet:
        if "bottleneck" in self.connections and not any(self.bottlenecks):
            raise ValueError("bottleneck blocks need a number above 0 in bottlenecks")
        unpadded = "inception" in self.connections and self.strides[1] and set(self.paddings) != {"same"}
        if unpadded and not set(REDUCING) & set(self.branch_operations):
            raise ValueError(f"inception blocks that reduce without padding need one of {', '.join(REDUCING)}")
        return self

    def decide(self, choose: Chooser) -> Plan:
        stages: list[Stage] = []
        floor = 0
        for _ in choose.each("stage", range(choose.integer("stages", *self.stages))):
            stage, floor = self._stage(choose, floor)
            stages.append(stage)
        activation: Function = choose.one_of("activation", self.activations)
        normalisation: Normalisation = choose.one_of("normalisation", self.normalisations)
        style = Style(
            activation=activation,
            normalisation=normalisation,
            norm_groups=self.norm_groups,
            epsilon=self.epsilon,
            bias=normalisation == "none" if self.bias is None else self.bias,
            count_padding=self.count_padding,
        )
        dropout = float(choose.one_of("dropout", self.dropouts))
        return Plan(tuple(stages), self._head(choose), style, dropout)

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.input
        for index, stage in enumerate(plan.stages):
            with net.scope(f"stage{index + 1}"):
                x = stage.lower(net, x, style=plan.style)
            if index + 1 == self.auxiliary_after:
                net.auxiliary(auxiliary_head, x, classes=shapes.classes, stride=3, epsilon=self.epsilon)
        head, dropout = plan.head, Dropout(probability=plan.dropout)
        with net.scope("head"):
            if head.pooling == "flatten":
                x = net.add(Flatten(), x)
            elif head.size == 1:
                x = net.add(GlobalPool(mode=head.pooling), x)
            else:
                x = net.chain(x, AdaptivePool2d(size=head.size), Flatten())
            for neurons in net.each("hidden", head.neurons):
                x = net.chain(x, Linear(features=neurons), plan.style.act, dropout)
            x = x if head.neurons else net.add(dropout, x)
            return net.add(Linear(features=shapes.classes), x)

    def _stage(self, choose: Chooser, floor: int) -> tuple[Stage, int]:
        """One stage, and the least filters of the next."""
        connection = str(choose.one_of("connection", self.connections))
        depth = choose.integer("depth", *self.depth)
        if connection == "plain":
            return self._plain(choose, depth, floor)
        if connection == "separable":
            return self._separable(choose, depth, floor)
        if connection == "dense":
            return self._dense(choose, depth), floor
        if connection == "inception":
            return self._inception(choose, depth), floor
        return self._residual(choose, depth, floor, narrow=connection == "bottleneck")

    def _plain(self, choose: Chooser, depth: int, floor: int) -> tuple[Stage, int]:
        strided = self._strided(choose, depth)
        down: Pool | Literal["stride"] = "stride"
        if strided:
            down = choose.one_of("down_sampling", self.down_samplings)
        stride = int(choose.one_of("stride", self.stride_sizes)) if strided and down == "stride" else 1
        frame = Frame(depth, strided, stride, self._padding(choose), self._pool(choose))
        separable = choose.one_of("convolution", self.convolutions) == "separable"
        layers = []
        for index in choose.each("layer", range(depth)):
            floor = self._width(choose, floor)
            layers.append(
                Layer(
                    filters=floor,
                    kernel=int(choose.one_of("kernel", self.kernels)),
                    stride=frame.stride_of(index),
                    padding=frame.padding,
                    separable=separable,
                    # without padding the sizes on both ways differ
                    skip=self.skips and frame.padding == "same" and choose.boolean("skip"),
                    pool="none" if down == "stride" or index not in strided else down,
                )
            )
        return PlainStage(frame, tuple(layers)), floor

    def _residual(self, choose: Chooser, depth: int, floor: int, *, narrow: bool) -> tuple[Stage, int]:
        frame = self._block_frame(choose, depth)
        filters = self._width(choose, floor)
        inner, groups, first = 0, 1, False
        if narrow:
            inner = max(1, filters // int(choose.one_of("bottleneck", tuple(b for b in self.bottlenecks if b))))
            groups = int(choose.one_of("groups", tuple(g for g in self.groups if inner % g == 0) or (1,)))
            first = choose.one_of("stride_place", self.stride_places) == "first"
        kernel = int(choose.one_of("kernel", self.kernels))
        excite = int(choose.one_of("squeeze_excite", self.squeeze_excites))
        shortcut = str(choose.one_of("shortcut", self.shortcuts))
        block, strided = (
            Residual(filters, kernel, stride, inner, groups, first, excite, shortcut) for stride in (1, frame.stride)
        )
        return ResidualStage(frame, block, strided), filters

    def _separable(self, choose: Chooser, depth: int, floor: int) -> tuple[Stage, int]:
        frame = self._block_frame(choose, depth)
        filters = self._width(choose, floor)
        kernel = int(choose.one_of("kernel", self.kernels))
        repeats = int(choose.one_of("repeats", self.repeats))
        last = choose.one_of("widening", self.widenings) == "last"
        return SeparableStage(frame, filters, kernel, repeats, last), filters

    def _dense(self, choose: Chooser, depth: int) -> Stage:
        frame = Frame(depth, pool=self._pool(choose))
        growth = int(choose.one_of("growth", self.growths))
        kernel = int(choose.one_of("kernel", self.kernels))
        inner = growth * int(choose.one_of("bottleneck", self.bottlenecks))
        return DenseStage(frame, growth, kernel, inner, float(choose.one_of("compression", self.compressions)))

    def _inception(self, choose: Chooser, depth: int) -> Stage:
        strided = self._strided(choose, depth)
        padding = self._padding(choose)
        stride = int(choose.one_of("stride", self.stride_sizes)) if strided else 1
        frame = Frame(depth, strided, stride, padding, self._pool(choose))
        ends = tuple(o for o in self.branch_operations if not strided or padding == "same" or o in REDUCING)
        branches: list[Branch] = []
        for _ in choose.each("branch", range(choose.integer("branches", *self.branches))):
            branches.append(self._branch(choose, ends))
        return InceptionStage(frame, tuple(branches))

    def _branch(self, choose: Chooser, ends: tuple[str, ...]) -> Branch:
        steps: list[tuple[str, int]] = []
        count = choose.integer("steps", *self.steps)
        for index in range(count):
            with choose.scope(f"step{index + 1}"):
                options = ends if index == count - 1 else self.branch_operations
                operation = str(choose.one_of("operation", options))
                filters = 0 if operation.endswith("pool") else int(choose.one_of("filters", self.filters))
            steps.append((operation, filters))
        return tuple(steps)

    def _block_frame(self, choose: Chooser, depth: int) -> Frame:
        strided = self._strided(choose, depth)
        stride = int(choose.one_of("stride", self.stride_sizes)) if strided else 1
        return Frame(depth, strided, stride, pool=self._pool(choose))

    def _strided(self, choose: Chooser, depth: int) -> tuple[int, ...]:
        least, most = self.strides
        chosen = choose.subset("strided", tuple(range(depth)), least=min(least, depth), most=min(most, depth))
        return tuple(int(index) for index in chosen)

    def _padding(self, choose: Chooser) -> Padding:
        return choose.one_of("padding", self.paddings)

    def _pool(self, choose: Chooser) -> Pool:
        return choose.one_of("pool", self.pools)

    def _width(self, choose: Chooser, floor: int) -> int:
        allowed = tuple(f for f in self.filters if f >= floor or not self.rising)
        return int(choose.one_of("filters", allowed))

    def _head(self, choose: Chooser) -> Head:
        with choose.scope("head"):
            pooling: Literal["average", "max", "flatten"] = choose.one_of("pooling", self.poolings)
            # ONNX has no adaptive pooling for the largest value, only a global one
            size = int(choose.one_of("size", self.pool_sizes)) if pooling == "average" else 1
            hidden = choose.integer("hidden", *self.hidden)
            return Head(
                pooling, size, tuple(int(choose.one_of(f"neurons{i + 1}", self.neurons)) for i in range(hidden))
            )
