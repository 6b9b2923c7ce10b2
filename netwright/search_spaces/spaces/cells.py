"""Cell search space: a searched micro cell, repeated in a macro skeleton of searched width and depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.dense_cell import dense_cell, head, residual_reduction, stem
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.space import SearchSpace

EdgeOperation = Literal[
    "none", "skip", "conv_1x1", "conv_3x3", "conv_5x5", "separable_3x3", "separable_5x5", "average_pool_3x3",
    "max_pool_3x3",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """The operation of every edge (source node, target node), the stem's filters, cells per stage."""

    edges: dict[tuple[int, int], str]
    width: int
    depth: int


class Cells(SearchSpace):
    """A dense micro cell as in NAS-Bench-201 (Dong & Yang, 2020), in a skeleton of searched width and depth.

    A cell has `nodes` nodes; each edge from an earlier node carries one operation, and a node is the sum
    of its edges. Cells are stacked `depth` times per stage; a residual block halves height and width and
    doubles the filters between stages.
    """

    nodes: int = Field(default=4, ge=2, le=8, description="nodes of a cell, input and output included")
    operations: tuple[EdgeOperation, ...] = Field(
        default=("none", "skip", "conv_1x1", "conv_3x3", "average_pool_3x3"),
        min_length=1,
        description="what an edge may carry",
    )
    widths: tuple[int, ...] = Field(default=(8, 16, 24, 32), min_length=1, description="filters of the stem")
    depths: tuple[int, ...] = Field(default=(1, 2, 3), min_length=1, description="cells per stage")
    stages: int = Field(default=3, ge=1, le=6)
    stem_stride: Literal[1, 2] = Field(default=1, description="2 halves height and width at once")
    activation: Literal["before", "after"] = Field(
        default="before",
        description="ReLU before each convolution, as in NAS-Bench-201, or after its normalisation, "
        "where runtimes fold all three into one step",
    )

    def decide(self, choose: Chooser) -> Plan:
        width = choose.one_of("width", self.widths)
        depth = choose.one_of("depth", self.depths)
        edges: dict[tuple[int, int], str] = {}
        with choose.scope("cell"):
            for target in range(1, self.nodes):
                for source in range(target):
                    edges[source, target] = str(choose.one_of(f"{source}-{target}", self.operations))
        choose.require(self._connected(edges), "no path leads from the cell's input to its output")
        return Plan(edges, int(width), int(depth))

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        edges = tuple((source, target, operation) for (source, target), operation in plan.edges.items())
        x = net.use(stem, net.input, filters=plan.width, stride=self.stem_stride, activation=self.activation)
        for stage in range(self.stages):
            with net.scope(f"stage{stage + 1}"):
                if stage:
                    filters = plan.width * 2**stage
                    x = net.use(residual_reduction, x, name="reduce", filters=filters, activation=self.activation)
                x = net.repeat(dense_cell, x, times=plan.depth, name="cell", edges=edges, activation=self.activation)
        return net.use(head, x, classes=shapes.classes, activation=self.activation)

    def _connected(self, edges: dict[tuple[int, int], str]) -> bool:
        reached = {0}
        for (source, target), operation in sorted(edges.items(), key=lambda item: item[0][1]):
            if source in reached and operation != "none":
                reached.add(target)
        return self.nodes - 1 in reached
