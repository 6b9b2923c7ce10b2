"""Search space of fully connected networks."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation, Function
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace


@dataclass(frozen=True, slots=True)
class Plan:
    """Neurons of every hidden layer, and what all of them share."""

    neurons: tuple[int, ...]
    activation: Function
    batch_norm: bool
    dropout: float


class Mlp(SearchSpace):
    """Depth, neurons of every layer, activation, batch normalisation and dropout of fully connected networks.

    The input, an image, a sequence or a row of values, is flattened. The network of LeCun et al. (1998) with
    hidden layers of 300 and 100 neurons is a point in it.
    """

    depth: tuple[int, int] = Field(default=(1, 4), description="least and most hidden layers")
    neurons: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1, description="of a hidden layer")
    activations: tuple[Function, ...] = Field(default=("relu", "gelu", "tanh"), min_length=1)
    batch_norms: tuple[bool, ...] = Field(default=(False, True), min_length=1, description="before the activation")
    dropouts: tuple[float, ...] = Field(
        default=(0.0, 0.2), min_length=1, description="share of each hidden layer's values that is zeroed in training"
    )

    def decide(self, choose: Chooser) -> Plan:
        depth = choose.integer("depth", *self.depth)
        return Plan(
            neurons=tuple(int(choose.one_of(f"layer{index + 1}/neurons", self.neurons)) for index in range(depth)),
            activation=choose.one_of("activation", self.activations),
            batch_norm=bool(choose.one_of("batch_norm", self.batch_norms)),
            dropout=float(choose.one_of("dropout", self.dropouts)),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.add(Flatten(), net.input)
        for index, neurons in enumerate(plan.neurons):
            x = net.use(
                hidden_layer,
                x,
                name=f"layer{index + 1}",
                neurons=neurons,
                activation=plan.activation,
                batch_norm=plan.batch_norm,
                dropout=plan.dropout,
            )
        with net.scope("head"):
            return net.add(Linear(features=shapes.classes), x)


def hidden_layer(
    net: GraphBuilder, x: Tensor, *, neurons: int, activation: Function, batch_norm: bool, dropout: float
) -> Tensor:
    """(features,) -> (neurons,): a weighted sum, normalised where asked, a non-linear function, dropout."""
    x = net.add(Linear(features=neurons, bias=not batch_norm), x)
    if batch_norm:
        x = net.add(BatchNorm(), x)
    return net.chain(x, Activation(function=activation), Dropout(probability=dropout))
