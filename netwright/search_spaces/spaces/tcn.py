"""Search space of temporal convolutional networks for sequences."""

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
from netwright.search_spaces.operations.batch_norm1d import BatchNorm1d
from netwright.search_spaces.operations.conv1d import Conv1d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.sequences import SEQUENCE_EXAMPLES, Mode, Reading, as_sequence, head
from netwright.search_spaces.space import SearchSpace

Normalisation = Literal["batch", "none"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The width of every level, the window of all convolutions, and how the sequence is summarised."""

    widths: tuple[int, ...]
    kernel: int
    dilation_base: int
    weight_norm: bool
    normalisation: Normalisation
    dropout: float
    summary: Mode


class Tcn(SearchSpace):
    """Temporal convolutional network: levels, kernel, dilation, width, normalisation (Bai et al., 2018).

    A level is two causal convolutions of one dilation with a connection around them; level i is dilated by
    base^(i-1), so the steps that are looked back at grow exponentially with depth. The result is taken from
    the mean over time (or another summary), or from every step when the task's result is (time, values).
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = SEQUENCE_EXAMPLES

    levels: tuple[int, int] = Field(default=(2, 6), description="least and most levels")
    kernels: tuple[Size, ...] = Field(default=(2, 3, 5, 7), min_length=1, description="steps under a window")
    dilation_bases: tuple[Size, ...] = Field(default=(2,), min_length=1)
    widths: tuple[Size, ...] = Field(default=(16, 24, 32, 48, 64), min_length=1, description="features of a level")
    same_width: bool = Field(default=True, description="one width for all levels, or one for each")
    weight_norms: tuple[bool, ...] = Field(
        default=(False,), min_length=1, description="whether filters are normalised, which rules out structured pruning"
    )
    normalisations: tuple[Normalisation, ...] = Field(
        default=("batch",), min_length=1, description="after each convolution whose filters are not normalised"
    )
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.1), min_length=1, description="after each convolution")
    summaries: tuple[Mode, ...] = Field(
        default=("mean",), min_length=1, description="what of all steps gives the result; `last` suits forecasts"
    )
    causal: bool = Field(default=True, description="whether no result may depend on a later step")
    reading: Reading = Field(default="rows", description="how an image becomes a sequence")

    def decide(self, choose: Chooser) -> Plan:
        levels = choose.integer("levels", *self.levels)
        names = ["width" if self.same_width else f"level{i + 1}/width" for i in range(levels)]
        weight_norm = bool(choose.one_of("weight_norm", self.weight_norms))
        return Plan(
            kernel=int(choose.one_of("kernel", self.kernels)),
            dilation_base=int(choose.one_of("dilation_base", self.dilation_bases)),
            widths=tuple(int(choose.one_of(name, self.widths)) for name in names),
            weight_norm=weight_norm,
            normalisation="none" if weight_norm else choose.one_of("normalisation", self.normalisations),
            dropout=float(choose.one_of("dropout", self.dropouts)),
            summary=choose.one_of("summary", self.summaries),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = as_sequence(net, reading=self.reading)
        for index, width in enumerate(plan.widths):
            x = net.use(
                level,
                x,
                name=f"level{index + 1}",
                width=width,
                kernel=plan.kernel,
                dilation=plan.dilation_base**index,
                weight_norm=plan.weight_norm,
                normalisation=plan.normalisation,
                dropout=plan.dropout,
                padding="causal" if self.causal else "same",
            )
        return head(x, net=net, shapes=shapes, summary=plan.summary, dropout=0.0)


def level(
    net: GraphBuilder,
    x: Tensor,
    *,
    width: int,
    kernel: int,
    dilation: int,
    weight_norm: bool,
    normalisation: Normalisation,
    dropout: float,
    padding: Literal["causal", "same"],
) -> Tensor:
    """Two convolutions and a way around them, projected by a 1x1 convolution when the width changes."""
    conv = Conv1d(
        filters=width, kernel=kernel, dilation=dilation, weight_norm=weight_norm, padding=padding,
        bias=normalisation == "none",
    )  # fmt: skip
    # a normalised filter is kept in other tensors than a plain one, so the two share no weights
    name = "normed_conv" if weight_norm else "conv"
    y = x
    for index in (1, 2):
        y = net.add(conv, y, name=f"{name}{index}")
        if normalisation == "batch":
            y = net.add(BatchNorm1d(), y, name=f"norm{index}")
        y = net.chain(y, Activation(), Dropout(probability=dropout))
    if x.shape != y.shape:
        x = net.add(Conv1d(filters=width, kernel=1), x, name="skip")
    return net.chain(net.add(Add(), y, x), Activation())
