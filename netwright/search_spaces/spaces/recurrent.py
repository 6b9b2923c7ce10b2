"""Search space of recurrent networks for sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Size
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.frames import Frames
from netwright.search_spaces.operations.last_steps import LastSteps
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.overlap_mean import OverlapMean
from netwright.search_spaces.operations.recurrent import Recurrent as Layer
from netwright.search_spaces.operations.sliding_windows import SlidingWindows
from netwright.search_spaces.sequences import SEQUENCE_EXAMPLES, Mode, Reading, as_sequence, head, per_step
from netwright.search_spaces.space import SearchSpace

Cell = Literal["rnn", "lstm", "gru"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read, what every layer is, how wide each one is, and how the sequence is summarised."""

    frame: int
    window: int
    cell: Cell
    widths: tuple[int, ...]
    bidirectional: bool
    residual: bool
    layer_dropout: float
    summary: Mode
    dropout: float


class Recurrent(SearchSpace):
    """Depth, width of every layer, kind of cell (RNN, LSTM, GRU), direction, and the summary over time.

    The input is a sequence (time, features); an image (channels, height, width) is read row by row or pixel by
    pixel. A task whose result is (time, values) gets one for every step, and the summary does not matter.

    A window bounds what is looked back at, as a stream needs: for one result only the last steps are read;
    for a result of every step each window of so many steps is read from a fresh state and the results of all
    windows that hold a step are averaged (sliding bidirectional RNN: Farsad & Goldsmith, 2018).
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = SEQUENCE_EXAMPLES

    cells: tuple[Cell, ...] = Field(default=("rnn", "lstm", "gru"), min_length=1)
    depth: tuple[int, int] = Field(default=(1, 3), description="least and most layers")
    widths: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1, description="hidden units")
    bidirectional: tuple[bool, ...] = Field(default=(False, True), min_length=1)
    residuals: tuple[bool, ...] = Field(
        default=(False, True), min_length=1, description="whether a layer's input is added to its output, from layer 2"
    )
    summaries: tuple[Mode, ...] = Field(default=("last", "mean", "attention"), min_length=1)
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.2), min_length=1, description="before the classifier")
    layer_dropouts: tuple[float, ...] = Field(default=(0.0,), min_length=1, description="between layers")
    windows: tuple[int, ...] = Field(default=(0,), min_length=1, description="steps seen at once; 0 means all")
    frames: tuple[Size, ...] = Field(default=(1,), min_length=1, description="steps joined to one before reading")
    reading: Reading = Field(default="rows", description="how an image becomes a sequence")

    def decide(self, choose: Chooser) -> Plan:
        depth = choose.integer("depth", *self.depth)
        return Plan(
            frame=int(choose.one_of("frame", self.frames)),
            window=int(choose.one_of("window", self.windows)),
            cell=choose.one_of("cell", self.cells),
            widths=tuple(int(choose.one_of(f"layer{i + 1}/width", self.widths)) for i in range(depth)),
            bidirectional=bool(choose.one_of("bidirectional", self.bidirectional)),
            residual=depth > 1 and bool(choose.one_of("residual", self.residuals)),
            layer_dropout=float(choose.one_of("layer_dropout", self.layer_dropouts)) if depth > 1 else 0.0,
            summary=choose.one_of("summary", self.summaries),
            dropout=float(choose.one_of("dropout", self.dropouts)),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = as_sequence(net, reading=self.reading)
        if plan.frame > 1:
            x = net.add(Frames(steps=plan.frame), x)
        slides = 0 < plan.window < x.shape[0] and per_step(shapes)
        if slides:
            x = net.add(SlidingWindows(steps=plan.window), x)
        elif plan.window:
            x = net.add(LastSteps(steps=plan.window), x)
        for index, width in enumerate(plan.widths):
            with net.scope(f"layer{index + 1}"):
                layer = Layer(cell=plan.cell, width=width, bidirectional=plan.bidirectional, windows=slides)
                x = self._layer(layer, plan, x, net, first=index == 0)
        if slides:
            x = net.add(OverlapMean(steps=plan.window), x)
        return head(x, net=net, shapes=shapes, summary=plan.summary, dropout=plan.dropout)

    def _layer(self, layer: Layer, plan: Plan, x: Tensor, net: GraphBuilder, *, first: bool) -> Tensor:
        """One layer, named after its cell so that cells of different kinds share no weights."""
        if not first:
            x = net.add(Dropout(probability=plan.layer_dropout), x)
        y = net.add(layer, x, name=plan.cell)
        if first or not plan.residual:
            return y
        if x.shape != y.shape:
            x = net.add(Linear(features=y.shape[-1], bias=False), x, name="skip")
        return net.add(Add(), y, x)
