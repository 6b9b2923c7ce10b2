"""NAS-Bench-201: the benchmark's cells in the benchmark's network."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from netwright.core.cost import Cost
from netwright.core.errors import ShapeError, SpaceError
from netwright.core.records import Decisions
from netwright.core.shapes import Shape, Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.choosers import ReplayChooser
from netwright.search_spaces.dense_cell import Edges, dense_cell, head, residual_reduction, stem
from netwright.search_spaces.digest import cost_of, digest_of, key_of_text, written_digest_of
from netwright.search_spaces.graph import Block, GraphBuilder, Tensor
from netwright.search_spaces.space import SearchSpace

EdgeOperation = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
LAYERS = {
    "none": "none",
    "skip_connect": "skip",
    "nor_conv_1x1": "conv_1x1",
    "nor_conv_3x3": "conv_3x3",
    "avg_pool_3x3": "average_pool_3x3",
}
"""What dense_cell calls the benchmark's operations."""
SYNONYMS = {"skip": "skip_connect", "conv_1x1": "nor_conv_1x1", "conv_3x3": "nor_conv_3x3"}
"""What the space `cells` calls them."""
NODES = 4
STAGES = 3
BETWEEN = re.compile(r"^[^|~]*(?=\|)|(?<=\|)[^|~]*$")
"""What stands before and after the string where an architecture is printed, such as `Structure(4 nodes with |...|)`."""
NODE = re.compile(r"\|((?:\w+~\d\|)+)")
EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


class NasBench201(SearchSpace):
    """The 15,625 cells of NAS-Bench-201 (Dong & Yang, 2020), in its network of three stages of five cells.

    A cell has four nodes; each of its six edges carries one of five operations, and a node is the sum of its
    edges. A residual block halves height and width and doubles the channels between stages. `cells` has the
    same cells in a network of searched width and depth.

    Genotypes are the benchmark's strings, `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|`: for each node in
    turn its incoming operations with the node that each comes from.
    """

    small: ClassVar[Mapping[str, Any]] = {"channels": 8, "cells_per_stage": 2}

    channels: int = Field(default=16, ge=1, description="channels of the stem and of the first stage")
    cells_per_stage: int = Field(default=5, ge=1)
    operations: tuple[EdgeOperation, ...] = Field(
        default=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
        min_length=1,
        description="what an edge may carry",
    )
    dead_operations: Literal["keep", "remove"] = Field(
        default="keep",
        description="whether operations that cannot reach the output are built and counted, as in the published table",
    )
    macs: Literal["published", "products"] = Field(
        default="published",
        description="published: one more per class, as the table counts the classifier's bias; "
        "products: convolutions and matrix products alone, as for every other space",
    )

    @property
    def keeps_dead(self) -> bool:
        return self.dead_operations == "keep"

    def decide(self, choose: Chooser) -> Edges:
        with choose.scope("cell"):
            return tuple(
                (source, target, LAYERS[str(choose.one_of(f"{source}-{target}", self.operations))])
                for target in range(1, NODES)
                for source in range(target)
            )

    def lower(self, plan: Edges, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.use(stem, net.input, filters=self.channels, stride=1, activation="before")
        for stage in range(STAGES):
            with net.scope(f"stage{stage + 1}"):
                if stage:
                    filters = self.channels * 2**stage
                    x = net.use(residual_reduction, x, name="reduce", filters=filters, activation="before")
                x = net.repeat(dense_cell, x, times=self.cells_per_stage, name="cell", edges=plan, activation="before")
        return net.use(head, x, classes=shapes.classes, activation="before")

    def cost(self, decisions: Decisions, shapes: Shapes) -> Cost:
        """Parameters, multiply-accumulates and peak activation memory, without building anything."""
        return self.describe(decisions, shapes)[1]

    def describe(self, decisions: Decisions, shapes: Shapes) -> tuple[str, Cost]:
        """The identity and the cost; one cell is worked out, as all cells are equal and costs add up.

        Raises SpaceError for decisions that are not of this space, ShapeError when the input does not fit.
        """
        chooser = ReplayChooser(decisions)
        edges = self.decide(chooser)
        chooser.check_all_used()
        try:
            base, layers = _additive(self, shapes)
        except ShapeError as error:
            raise self.refusal(error, chooser.decisions, shapes) or error from None
        cell = GraphBuilder((self.channels, *shapes.input[1:]))
        outline = cell.outline(dense_cell(cell, cell.input, edges=edges, activation="before"))
        key = f"{digest_of(outline).key} {self.channels} {self.cells_per_stage} {shapes.input} {shapes.output_shape}"
        if not self.keeps_dead:
            return key_of_text(key), super().describe(decisions, shapes)[1]
        written = cost_of(written_digest_of(outline))
        params, macs = base.params, base.macs
        for _, _, operation in edges:
            layer = layers[operation]
            params, macs = params + layer.params, macs + layer.macs
        # the cells of the first stage hold the largest maps
        peak = max(base.peak_activation_bytes, written.peak_activation_bytes)
        return key_of_text(key), self.counted(Cost(params, macs, peak), shapes)

    def counted(self, cost: Cost, shapes: Shapes) -> Cost:
        """The cost as the benchmark's table counts it.

        The table counts the classifier's bias as one multiply-accumulate per class. The layer graph, like that
        of every other space, does not: its cost is what torch's counter finds in the built model. The setting
        `macs: products` gives that here too.
        """
        return replace(cost, macs=cost.macs + shapes.classes) if self.macs == "published" else cost

    def genotype(self, decisions: Decisions) -> str:
        """The benchmark's string for a cell."""
        chosen = self.trace(decisions).decisions
        nodes = [
            "".join(f"|{chosen[f'cell/{source}-{target}']}~{source}" for source in range(target)) + "|"
            for target in range(1, NODES)
        ]
        return "+".join(nodes)

    def from_genotype(self, genotype: Any) -> dict[str, Any]:
        """The decisions for one of the benchmark's strings, or for `name=value` pairs.

        Raises SpaceError when it is none of this space.
        """
        if isinstance(genotype, str) and "=" in genotype and "|" not in genotype:
            return super().from_genotype(genotype)
        nodes = _nodes(genotype["arch_str"] if isinstance(genotype, Mapping) and "arch_str" in genotype else genotype)
        if len(nodes) != NODES - 1:
            raise SpaceError(f"a NAS-Bench-201 genotype has three nodes, as in {EXAMPLE!r}; came {genotype!r:.200}")
        decisions: dict[str, Any] = {}
        for target, edges in enumerate(nodes, start=1):
            if sorted(source for _, source in edges) != [str(source) for source in range(target)]:
                raise SpaceError(f"node {target} of a NAS-Bench-201 genotype has one edge from every earlier node, "
                                 f"as in {EXAMPLE!r}; came {genotype!r:.200}")  # fmt: skip
            decisions |= {
                f"cell/{source}-{target}": SYNONYMS.get(operation, operation)
                for operation, source in sorted(edges, key=lambda edge: edge[1])
            }
        return dict(self.trace(decisions).decisions)


def _nodes(genotype: Any) -> list[list[tuple[str, str]]]:
    """The (operation, source) edges of every node, from the benchmark's string or from the same as lists."""
    try:
        if not isinstance(genotype, str):
            return [[(str(operation), str(source)) for operation, source in node] for node in genotype]
        return [
            [(edge.split("~")[0], edge.split("~")[1]) for edge in re.fullmatch(NODE, node)[1][:-1].split("|")]  # type: ignore[index]  # caught
            for node in f"|{''.join(BETWEEN.sub('', genotype).split()).strip('|')}|".split("+")
        ]
    except (TypeError, ValueError):
        raise SpaceError(f"a NAS-Bench-201 genotype reads {EXAMPLE!r}, came {genotype!r:.200}") from None


@lru_cache(maxsize=64)
def _additive(space: NasBench201, shapes: Shapes) -> tuple[Cost, dict[str, Cost]]:
    """The cost of all but the cells, and what each operation on one edge of all cells adds."""

    def network(operation: str) -> Cost:
        edges = tuple((s, t, operation if (s, t) == (0, 1) else "none") for t in range(1, NODES) for s in range(t))
        net = GraphBuilder(shapes.input)
        return cost_of(written_digest_of(net.outline(space.lower(edges, net, shapes))))

    def peak_of(block: Block, shape: Shape, **settings: Hashable) -> int:
        net = GraphBuilder(shape)
        return cost_of(written_digest_of(net.outline(block(net, net.input, **settings)))).peak_activation_bytes

    first = GraphBuilder(shapes.input)
    x = first.use(stem, first.input, filters=space.channels, stride=1, activation="before")
    peaks = [peak_of(stem, shapes.input, filters=space.channels, stride=1, activation="before")]
    for stage in range(1, STAGES):
        filters = space.channels * 2**stage
        peaks.append(peak_of(residual_reduction, x.shape, filters=filters, activation="before"))
        x = first.use(residual_reduction, x, filters=filters, activation="before")
    peaks.append(peak_of(head, x.shape, classes=shapes.classes, activation="before"))
    base = replace(network("none"), peak_activation_bytes=max(peaks))
    added = {}
    for operation in LAYERS.values():
        found = network(operation)
        added[operation] = Cost(found.params - base.params, found.macs - base.macs, 0)
    return base, added
