"""Search space of learned vectors for the words or signs of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Size
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.embedding import Embedding
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.node_summary import NodeSummary
from netwright.search_spaces.sequences import Mode, head, per_step
from netwright.search_spaces.space import SearchSpace


@dataclass(frozen=True, slots=True)
class Plan:
    """Length of the vectors, and how much of them is dropped while training."""

    width: int
    dropout: float


class TokenVectors(SearchSpace):
    """A learned vector for each word or sign of a text: put it under a space for sequences by `stack`.

    `{kind: stack, parts: [embedding, recurrent]}` searches both together. By itself it is the mean of the vectors of a
    text's words, filling left out, and a linear layer: a strong and very fast baseline (Joulin et al., 2017). The task
    says how many words there are.
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = (
        Shapes((12, 1), 3, tokens=50),
        Shapes((7, 1), 2, tokens=9),
        Shapes((10, 1), (10, 4), tokens=20),
    )

    widths: tuple[Size, ...] = Field(default=(16, 32, 64), min_length=1, description="length of each word's vector")
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.3), min_length=1, description="of the vectors")
    summary: Mode = Field(default="mean", description="what the head reads where no other space is on top")

    def decide(self, choose: Chooser) -> Plan:
        return Plan(
            width=int(choose.one_of("width", self.widths)), dropout=float(choose.one_of("dropout", self.dropouts))
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        if not shapes.tokens:
            raise ShapeError(
                f"an embedding needs texts or other numbered tokens, came inputs of shape {shapes.input}; "
                "leave it out of the space, or give a task of texts such as text_classification"
            )
        look_up = Embedding(tokens=shapes.tokens, features=plan.width)
        x = net.chain(net.input, look_up, Dropout(probability=plan.dropout))
        if self.summary in ("mean", "max") and not per_step(shapes):
            with net.scope("head"):
                words = net.add(NodeSummary(mode=self.summary), x, net.input)  # 0 is what fills a text up
                return net.add(Linear(features=shapes.classes), words)
        return head(x, net=net, shapes=shapes, summary=self.summary, dropout=0.0)
