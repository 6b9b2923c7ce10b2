"""Search space of recurrent networks for sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.recurrent import Recurrent as Layer
from netwright.search_spaces.operations.rows import Rows
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.space import SearchSpace

Cell = Literal["rnn", "lstm", "gru"]
Mode = Literal["last", "mean", "max"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What every layer is, how wide each one is, and how the sequence is summarised."""

    cell: Cell
    widths: tuple[int, ...]
    bidirectional: bool
    summary: Mode
    dropout: float


class Recurrent(SearchSpace):
    """Depth, width of every layer, kind of cell (RNN, LSTM, GRU), direction, and the summary over time.

    The input is a sequence (time, features); an image (channels, height, width) is read row by row.
    """

    cells: tuple[Cell, ...] = Field(default=("rnn", "lstm", "gru"), min_length=1)
    depth: tuple[int, int] = Field(default=(1, 3), description="least and most layers")
    widths: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1, description="hidden units")
    bidirectional: tuple[bool, ...] = Field(default=(False, True), min_length=1)
    summaries: tuple[Mode, ...] = Field(default=("last", "mean"), min_length=1)
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.2), min_length=1)

    def decide(self, choose: Chooser) -> Plan:
        depth = choose.integer("depth", *self.depth)
        return Plan(
            cell=choose.one_of("cell", self.cells),  # type: ignore[arg-type]  # one of the cells
            widths=tuple(int(choose.one_of(f"layer{i + 1}/width", self.widths)) for i in range(depth)),
            bidirectional=bool(choose.one_of("bidirectional", self.bidirectional)),
            summary=choose.one_of("summary", self.summaries),  # type: ignore[arg-type]  # one of the modes
            dropout=float(choose.one_of("dropout", self.dropouts)),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.add(Rows(), net.input) if len(shapes.input) == 3 else net.input
        for index, width in enumerate(plan.widths):
            with net.scope(f"layer{index + 1}"):
                x = net.add(Layer(cell=plan.cell, width=width, bidirectional=plan.bidirectional), x)
        with net.scope("head"):
            x = net.chain(x, Summary(mode=plan.summary), Dropout(probability=plan.dropout))
            return net.add(Linear(features=shapes.classes), x)
