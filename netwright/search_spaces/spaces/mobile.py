"""Search space of networks for phones and microcontrollers: stages of inverted residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from netwright.core.config import Settings
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.mobile_blocks import Inverted, Norm, convolution, divisible, inverted_residual
from netwright.search_spaces.operation import require_image
from netwright.search_spaces.operations.activation import Activation, Function
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.resize import Resize
from netwright.search_spaces.space import SearchSpace


class Stage(Settings):
    """What may be chosen for one stage; its blocks give out the same number of channels."""

    filters: tuple[int, ...] = Field(min_length=1, description="output channels, before the width multiplier")
    strides: tuple[Literal[1, 2], ...] = Field(default=(1, 2), min_length=1, description="of the stage's first block")
    depth: tuple[int, int] = Field(default=(1, 3), description="least and most blocks")


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole network; filters are those that are built."""

    resolution: float
    stem: tuple[int, int]
    stages: tuple[tuple[Inverted, ...], ...]
    head: tuple[int, int]
    activation: Function
    dropout: float


class Mobile(SearchSpace):
    """Inverted residuals: kernel, expansion, depth, width, strides, squeeze-and-excitation, resolution.

    MobileNetV2 (Sandler et al., 2018) and MobileNetV3 (Howard et al., 2019) are points in it; elastic kernel,
    expansion, depth, width and resolution are those of Once for All (Cai et al., 2020). The width multiplier
    scales all channels but those of the head, which only widens; numbers of channels are multiples of 8. The first
    `relu_stages` stages take ReLU, as MobileNetV3 does where hard-swish would cost more than it brings.
    """

    stages: tuple[Stage, ...] = Field(
        default=(
            Stage(filters=(16,), strides=(1,), depth=(1, 1)),
            Stage(filters=(24, 32), strides=(2,), depth=(1, 3)),
            Stage(filters=(40, 48, 64), strides=(2,), depth=(1, 3)),
        ),
        min_length=1,
    )
    choices: Literal["block", "stage"] = Field(
        default="block", description="whether kernel and expansion are chosen for every block or once per stage"
    )
    kernels: tuple[int, ...] = Field(default=(3, 5, 7), min_length=1, description="sides of the depthwise windows")
    expansions: tuple[float, ...] = Field(default=(3.0, 4.0, 6.0), min_length=1, description="how far a block widens")
    squeeze_excites: tuple[bool, ...] = Field(default=(False, True), min_length=1, description="for every stage")
    widths: tuple[float, ...] = Field(default=(0.5, 0.75, 1.0), min_length=1, description="multipliers of all channels")
    resolutions: tuple[float, ...] = Field(
        default=(0.75, 1.0), min_length=1, description="height and width as shares of the input's; the image is resized"
    )
    stem_filters: tuple[int, ...] = Field(default=(16,), min_length=1, description="of the first convolution, 3x3")
    stem_strides: tuple[Literal[1, 2], ...] = Field(default=(1, 2), min_length=1)
    head_filters: tuple[int, ...] = Field(default=(128,), min_length=1, description="of the last convolution, 1x1")
    head_neurons: tuple[int, ...] = Field(
        default=(0,), min_length=1, description="of a hidden layer before the classifier; 0 for none"
    )
    activations: tuple[Function, ...] = Field(default=("relu6", "hardswish"), min_length=1)
    relu_stages: tuple[int, ...] = Field(
        default=(0,), min_length=1, description="so many of the first stages take ReLU instead"
    )
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.2), min_length=1, description="before the classifier")
    epsilon: float = Field(default=1e-5, gt=0, description="added to the variance in batch normalisation")
    momentum: float = Field(default=0.1, ge=0, le=1, description="weight of the newest batch in its running mean")

    def decide(self, choose: Chooser) -> Plan:
        resolution = float(choose.one_of("resolution", self.resolutions))
        width = float(choose.one_of("width", self.widths))
        activation: Function = choose.one_of("activation", self.activations)
        relu_stages = int(choose.one_of("relu_stages", self.relu_stages))
        with choose.scope("stem"):
            filters = divisible(width * int(choose.one_of("filters", self.stem_filters)))
            stem = filters, int(choose.one_of("stride", self.stem_strides))
        stages = []
        for index, stage in enumerate(self.stages):
            with choose.scope(f"stage{index + 1}"):
                function: Function = "relu" if index < relu_stages else activation
                stages.append(self._stage(choose, stage, width, function))
        with choose.scope("head"):
            head_filters, neurons = (
                choose.one_of("filters", self.head_filters),
                choose.one_of("neurons", self.head_neurons),
            )
            head = divisible(max(1.0, width) * int(head_filters)), int(neurons)
            dropout = float(choose.one_of("dropout", self.dropouts))
        return Plan(resolution, stem, tuple(stages), head, activation, dropout)

    def _stage(self, choose: Chooser, stage: Stage, width: float, function: Function) -> tuple[Inverted, ...]:
        filters = divisible(width * int(choose.one_of("filters", stage.filters)))
        stride = int(choose.one_of("stride", stage.strides))
        weighed = bool(choose.one_of("squeeze_excite", self.squeeze_excites))
        blocks = []
        for index in range(choose.integer("depth", *stage.depth)):
            where = f"block{index + 1}/" if self.choices == "block" else ""
            kernel = int(choose.one_of(f"{where}kernel", self.kernels))
            expansion = float(choose.one_of(f"{where}expansion", self.expansions))
            blocks.append(Inverted(filters, kernel, 1 if index else stride, expansion, weighed, function))
        return tuple(blocks)

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        norm = Norm(self.epsilon, self.momentum)
        _, height, width = require_image(net.input.shape, "the space 'mobile'")
        size = max(1, round(height * plan.resolution)), max(1, round(width * plan.resolution))
        x = net.add(Resize(mode="bilinear", size=size), net.input)
        filters, stride = plan.stem
        x = net.use(
            convolution, x, name="stem", filters=filters, norm=norm, function=plan.activation, kernel=3, stride=stride
        )
        for index, stage in enumerate(plan.stages):
            with net.scope(f"stage{index + 1}"):
                for number, block in enumerate(stage):
                    x = net.use(inverted_residual, x, name=f"block{number + 1}", plan=block, norm=norm)
        with net.scope("head"):
            filters, neurons = plan.head
            x = net.use(convolution, x, filters=filters, norm=norm, function=plan.activation)
            x = net.add(GlobalPool(), x)
            if neurons:
                x = net.chain(x, Linear(features=neurons), Activation(function=plan.activation))
            x = net.add(Dropout(probability=plan.dropout), x)
            return net.add(Linear(features=shapes.classes), x, name="classifier")
