"""What spaces for sequences share: how the input is read, and the head that ends the network."""

from __future__ import annotations

from typing import Literal, TypeAlias

from netwright.core.shapes import Shapes
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.attention_sum import AttentionSum
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.rows import Rows
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.operations.tokens import Tokens

Reading: TypeAlias = Literal["rows", "pixels"]
Mode: TypeAlias = Literal["last", "mean", "max", "attention"]

SEQUENCE_EXAMPLES = (
    Shapes((20, 6), 4),
    Shapes((12, 5), (12, 7)),
    Shapes((1, 28, 28), 10),
    Shapes((33, 2), 3),
)
"""A class for a sequence, a result for every step, an image, a longer sequence."""


def per_step(shapes: Shapes) -> bool:
    """Whether the task wants a row of values for every step, (time, values)."""
    return len(shapes.output_shape) == 2


def as_sequence(net: GraphBuilder, *, reading: Reading = "rows") -> Tensor:
    """The input as (time, features); an image is read row by row or pixel by pixel."""
    if len(net.input.shape) != 3:
        return net.input
    return net.add(Rows() if reading == "rows" else Tokens(), net.input)


def head(x: Tensor, *, net: GraphBuilder, shapes: Shapes, summary: Mode, dropout: float) -> Tensor:
    """The result from (time, features): of the summary over time, or of every step if the task wants that."""
    with net.scope("head"):
        if per_step(shapes):
            return net.chain(x, Dropout(probability=dropout), Linear(features=shapes.output_shape[-1]))
        classes = shapes.classes
        x = net.use(attention_pool, x) if summary == "attention" else net.add(Summary(mode=summary), x)
        return net.chain(x, Dropout(probability=dropout), Linear(features=classes))


def attention_pool(net: GraphBuilder, x: Tensor) -> Tensor:
    """Attention over time of Yang et al., 2016: (time, features) -> (features,)."""
    hidden = net.chain(x, Linear(features=x.shape[-1]), Activation(function="tanh"))
    return net.add(AttentionSum(), x, net.add(Linear(features=1, bias=False), hidden, name="score"))
