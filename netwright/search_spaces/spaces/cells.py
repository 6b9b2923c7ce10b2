"""Cell search space: a searched micro cell, repeated in a macro skeleton of searched width and depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.skip import Skip
from netwright.search_spaces.operations.zero import Zero
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
        with net.scope("stem"):
            x = net.chain(net.input, *self._conv(plan.width, kernel=3, stride=self.stem_stride, first=True))
        for stage in range(self.stages):
            with net.scope(f"stage{stage + 1}"):
                filters = plan.width * 2**stage
                if stage:
                    x = self._reduce(x, filters, net)
                for cell in range(plan.depth):
                    with net.scope(f"cell{cell + 1}"):
                        x = self._cell(plan, x, filters, net)
        with net.scope("head"):
            if self.activation == "before":
                x = net.chain(x, BatchNorm(), Activation())
            return net.chain(x, GlobalPool(), Linear(features=shapes.classes))

    def _cell(self, plan: Plan, x: Tensor, filters: int, net: GraphBuilder) -> Tensor:
        nodes = [x]
        for target in range(1, self.nodes):
            terms = []
            for source in range(target):
                with net.scope(f"{source}-{target}"):
                    terms.append(net.chain(nodes[source], *self._edge(plan.edges[source, target], filters)))
            nodes.append(net.add(Add(), *terms, name=f"node{target}"))
        return nodes[-1]

    def _reduce(self, x: Tensor, filters: int, net: GraphBuilder) -> Tensor:
        """Residual block with stride 2 between stages; with ReLU before convolutions, that of NAS-Bench-201."""
        with net.scope("reduce"):
            body = net.chain(x, *self._conv(filters, kernel=3, stride=2), *self._conv(filters, kernel=3))
            with net.scope("shortcut"):
                pooled = self.activation == "before" and all(size % 2 == 0 for size in x.shape[1:])
                steps: list[Operation] = [Pool2d(mode="average", kernel=2, stride=2)] if pooled else []
                short = net.chain(x, *steps, Conv2d(filters=filters, kernel=1, stride=1 if pooled else 2))
            return net.add(Add(), body, short)

    def _conv(
        self, filters: int, *, kernel: int, stride: int = 1, separable: bool = False, first: bool = False
    ) -> list[Operation]:
        """Convolution and normalisation, with ReLU before or after them; the stem has none before."""
        convolutions = [Conv2d(filters=filters, kernel=kernel, stride=stride)]
        if separable:
            convolutions = [Conv2d(filters=filters, kernel=kernel, groups=0), Conv2d(filters=filters, kernel=1)]
        if self.activation == "after":
            return [*convolutions, BatchNorm(), Activation()]
        return [*([] if first else [Activation()]), *convolutions, BatchNorm()]

    def _edge(self, name: str, filters: int) -> list[Operation]:
        """The layers that an edge's operation stands for."""
        family, _, size = name.rpartition("_")
        kernel = int(size[0]) if size[:1].isdigit() else 0
        if family in ("conv", "separable"):
            return self._conv(filters, kernel=kernel, separable=family == "separable")
        if family in ("average_pool", "max_pool"):
            mode: Literal["average", "max"] = "average" if family == "average_pool" else "max"
            return [Pool2d(mode=mode, kernel=kernel, stride=1)]
        return [Zero() if name == "none" else Skip()]

    def _connected(self, edges: dict[tuple[int, int], str]) -> bool:
        reached = {0}
        for (source, target), operation in sorted(edges.items(), key=lambda item: item[0][1]):
            if source in reached and operation != "none":
                reached.add(target)
        return self.nodes - 1 in reached
