"""Search space of networks that read graphs: neural fingerprints and message passing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation, Function
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.columns import Columns
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.degree_linear import DegreeLinear
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.layer_norm import LayerNorm
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.neighbours import Neighbours
from netwright.search_spaces.operations.node_summary import NodeSummary
from netwright.search_spaces.packed_graph import GraphLayout, layout_of
from netwright.search_spaces.space import SearchSpace

Aggregation = Literal["sum", "mean", "max"]
ReadOut = Literal["softmax", "sum", "mean", "max"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The widths of the layers, how messages pass in each, and how the graph is read out of them."""

    widths: tuple[int, ...]
    aggregation: Aggregation
    by_degree: bool
    read_out: ReadOut
    read_every: bool
    fingerprint: int
    hidden: int
    normalise: bool
    activation: Function
    dropout: float


class GraphNetwork(SearchSpace):
    """Neural fingerprints and message passing: depth, widths, aggregation, weights by degree, read-out.

    In every layer a node's features become an activation of W h + V m, where m brings together the features of its
    neighbours and of its edges and V may be chosen by the node's degree; what all layers write into the
    fingerprint is summed (Duvenaud et al., 2015; Gilmer et al., 2017). A graph comes as one packed tensor,
    see netwright.tasks.packed_graphs; padding does not change the result, nor does the order of nodes.
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = (Shapes((12, 20), 3), Shapes((9, 15), 1), Shapes((30, 40), 2))

    edge_features: int | None = Field(
        default=None, ge=0, description="how many last columns are sums of edges' features; default: as the task says"
    )
    depth: tuple[int, int] = Field(default=(1, 4), description="least and most layers, the radius that a node sees")
    widths: tuple[int, ...] = Field(default=(8, 12, 16, 20), min_length=1, description="of a node's features")
    aggregations: tuple[Aggregation, ...] = Field(default=("sum", "mean", "max"), min_length=1)
    degree_weights: tuple[bool, ...] = Field(
        default=(False, True), min_length=1, description="whether messages have weights for each number of neighbours"
    )
    degrees: int = Field(default=6, ge=1, description="how many numbers of neighbours are told apart, from 0")
    read_outs: tuple[ReadOut, ...] = Field(
        default=("softmax", "sum", "mean", "max"), min_length=1, description="softmax is the neural fingerprint"
    )
    reads_every: tuple[bool, ...] = Field(
        default=(True, False), min_length=1, description="whether every layer and the input are read out, or the last"
    )
    fingerprints: tuple[int, ...] = Field(default=(16, 32, 50), min_length=1, description="length of the read-out")
    hidden: tuple[int, ...] = Field(default=(0, 50, 100), min_length=1, description="neurons after it; 0 for none")
    normalise: tuple[bool, ...] = Field(
        default=(False, True), min_length=1, description="layer norm of nodes and batch norm of the hidden layer"
    )
    activations: tuple[Function, ...] = Field(default=("relu", "tanh"), min_length=1)
    dropouts: tuple[float, ...] = Field(default=(0.0,), min_length=1, description="of the hidden layer")

    def decide(self, choose: Chooser) -> Plan:
        depth = choose.integer("depth", *self.depth)
        return Plan(
            widths=tuple(int(choose.one_of(f"layer{index + 1}/width", self.widths)) for index in range(depth)),
            aggregation=choose.one_of("aggregation", self.aggregations),
            by_degree=bool(choose.one_of("by_degree", self.degree_weights)),
            read_out=choose.one_of("read_out", self.read_outs),
            read_every=bool(choose.one_of("read_every", self.reads_every)),
            fingerprint=int(choose.one_of("fingerprint", self.fingerprints)),
            hidden=int(choose.one_of("hidden", self.hidden)),
            normalise=bool(choose.one_of("normalise", self.normalise)),
            activation=choose.one_of("activation", self.activations),
            dropout=float(choose.one_of("dropout", self.dropouts)),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        layout = layout_of(shapes.input, edges=shapes.edges if self.edge_features is None else self.edge_features)
        with net.scope("graph"):
            presence, nodes, adjacency, edges = _parts(net, layout)
        read = {"mode": plan.read_out, "features": plan.fingerprint}
        prints = [net.use(read_nodes, nodes, presence, name="read0", **read)] if plan.read_every else []
        for index, width in enumerate(plan.widths):
            nodes = net.use(
                pass_messages,
                *(nodes, adjacency, *edges),
                name=f"layer{index + 1}",
                width=width,
                aggregation=plan.aggregation,
                degrees=self.degrees if plan.by_degree else 0,
                normalise=plan.normalise,
                activation=plan.activation,
            )
            if plan.read_every or index == len(plan.widths) - 1:
                prints.append(net.use(read_nodes, nodes, presence, name=f"read{index + 1}", **read))
        with net.scope("head"):
            x = net.add(Add(), *prints)
            if plan.hidden:
                x = net.chain(x, *_hidden(plan))
            return net.add(Linear(features=shapes.classes), x, name="output")


def pass_messages(
    net: GraphBuilder,
    nodes: Tensor,
    adjacency: Tensor,
    *edges: Tensor,
    width: int,
    aggregation: Aggregation,
    degrees: int,
    normalise: bool,
    activation: Function,
) -> Tensor:
    """One layer: (nodes, features) -> (nodes, width); with `degrees` messages have weights for each degree."""
    message = net.add(Neighbours(mode=aggregation), nodes, adjacency)
    message = net.add(Concat(features_last=True), message, *edges)
    if degrees:
        told = net.add(DegreeLinear(features=width, degrees=degrees), message, adjacency)
    else:
        told = net.add(Linear(features=width, bias=False), message, name="message")
    own = net.add(Linear(features=width), nodes, name="self")
    norm: list[Operation] = [LayerNorm()] if normalise else []
    return net.chain(net.add(Add(), own, told), *norm, Activation(function=activation))


def read_nodes(net: GraphBuilder, nodes: Tensor, presence: Tensor, *, mode: ReadOut, features: int) -> Tensor:
    """What one layer writes into the fingerprint: (nodes, width) -> (features,)."""
    return net.add(NodeSummary(mode=mode), net.add(Linear(features=features), nodes), presence)


def _parts(net: GraphBuilder, layout: GraphLayout) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """Presence, node features, adjacency, and sums of edges' features where there are any."""
    ranges = {"presence": layout.presence, "nodes": layout.node_features, "adjacency": layout.adjacency}
    presence, nodes, adjacency = (
        net.add(Columns(start=part.start, stop=part.stop), net.input, name=name) for name, part in ranges.items()
    )
    if not layout.edges:
        return presence, nodes, adjacency, ()
    last = layout.edge_sums
    return presence, nodes, adjacency, (net.add(Columns(start=last.start, stop=last.stop), net.input, name="edges"),)


def _hidden(plan: Plan) -> list[Operation]:
    """The layer between fingerprint and output."""
    norm: list[Operation] = [BatchNorm()] if plan.normalise else []
    return [
        Linear(features=plan.hidden),
        *norm,
        Activation(function=plan.activation),
        Dropout(probability=plan.dropout),
    ]
