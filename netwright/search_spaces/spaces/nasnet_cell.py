"""Cells as in NASNet and DARTS: nodes that join two earlier states, in a normal and a reduction cell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.cell_genotypes import CellGenotype, read_genotype, write_genotype
from netwright.search_spaces.cell_operations import CellOperation, StyleName, relu_conv_norm
from netwright.search_spaces.cell_skeleton import (
    Side,
    Wiring,
    cell_body,
    connected,
    eighth_stem,
    head,
    loose_ends,
    match_previous,
    quarter_stem,
    small_stem,
    strided_stem,
)
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.conv_blocks import auxiliary_head
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.space import SearchSpace

ConcatMode = Literal["all", "loose_ends", "chosen"]
PRINTED = re.compile(r"[({]")
"""What no line of the general notation has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Filters of the first stage, normal cells per stage, and the two cells."""

    filters: int
    cells: int
    normal: Wiring
    reduction: Wiring


@dataclass(frozen=True, slots=True)
class Place:
    """One cell of the skeleton."""

    name: str
    wiring: Wiring
    filters: int
    stride: int


class NasnetCell(SearchSpace):
    """Normal and reduction cells whose nodes each join two earlier states, as in NASNet, AmoebaNet, PNASNet and DARTS.

    A node is the sum of two operations on any two earlier states, which include the outputs of the two cells
    before. Normal cells are stacked `cells` times per stage; a reduction cell with twice the filters halves height
    and width between stages (Zoph et al., 2018; Real et al., 2019; Liu et al., 2018 and 2019).

    The auxiliary classifier that these papers train beside the network is there where a training weighs it
    (`auxiliary: 0.4`), and no part of what is measured.
    """

    small: ClassVar[Mapping[str, Any]] = {"nodes": (2, 3), "filters": (8,), "stages": 2}

    nodes: tuple[int, ...] = Field(default=(4, 5), min_length=1, description="nodes of a cell")
    operations: tuple[CellOperation, ...] = Field(
        default=get_args(CellOperation), min_length=1, description="what each of a node's two sides may carry"
    )
    concat: tuple[ConcatMode, ...] = Field(
        default=("all", "loose_ends", "chosen"),
        min_length=1,
        description="a cell's result: all nodes side by side, those that no other reads, or chosen states",
    )
    reduction: Literal["searched", "normal"] = Field(
        default="searched",
        description="reduction cells have a wiring of their own, or are the first of a stage's normal cells, with "
        "stride 2, as in PNASNet",
    )
    filters: tuple[int, ...] = Field(default=(16,), min_length=1, description="filters of a node in the first stage")
    cells: tuple[int, ...] = Field(default=(1, 2), min_length=1, description="normal cells per stage")
    stages: int = Field(default=3, ge=1, le=6)
    skeleton: StyleName = Field(
        default="darts",
        description="how stems, strided skips and padding are written; nasnet_timm counts the zeros around strided "
        "average pooling, amoebanet adds bottlenecks to nasnet",
    )
    stem: Literal["cifar", "imagenet"] = Field(
        default="cifar",
        description="cifar keeps height and width; imagenet divides them by 8, in the nasnet skeleton with two "
        "reduction cells",
    )
    stem_filters: int = Field(default=0, ge=0, description="0 means three times the filters, or once for imagenet")
    skip_reduction_input: bool = Field(
        default=False, description="the cell after a reduction does not read the reduction's input, as in large NASNet"
    )
    drop_path: float = Field(
        default=0.0, ge=0, lt=1, description="of every operation but skips; grows with depth but for darts"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="before the classifier")

    def decide(self, choose: Chooser) -> Plan:
        filters = int(choose.one_of("filters", self.filters))
        cells = int(choose.one_of("cells", self.cells))
        normal = self._wiring("normal", choose)
        return Plan(filters, cells, normal, self._wiring("reduction", choose) if self._has_own_reduction else normal)

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        cells = list(self._cells(plan, net))
        relu = self.skeleton != "darts"
        if net.for_training:
            self._auxiliary(cells, net, shapes)
        return net.use(head, cells[-1][1], name="head", classes=shapes.classes, relu=relu, dropout=self.dropout)

    def genotype(self, decisions: Decisions) -> str:
        """One line in the printed notation of DARTS, with filters and cells where the space leaves a choice."""
        chooser = self.trace(decisions)
        plan = self.decide(chooser)
        extra = {name: chooser.decisions[name] for name in ("filters", "cells") if chooser.domains[name].size > 1}
        own = _cell_genotype(plan.reduction) if self._has_own_reduction else None
        return write_genotype(_cell_genotype(plan.normal), own, extra)

    def from_genotype(self, genotype: Any) -> dict[str, Any]:
        """The decisions of a DARTS genotype (printed or as data), of NASNet's lists, or of the general notation.

        Filters and cells per stage are the space's first option unless `filters` and `cells` are given with it.
        """
        if isinstance(genotype, str) and "=" in genotype and not PRINTED.search(genotype):
            return super().from_genotype(genotype)
        read = read_genotype(genotype)
        given: dict[str, Any] = {"filters": self.filters[0], "cells": self.cells[0], **read.extra}
        given |= self._decisions_of("normal", read.normal)
        if self._has_own_reduction:
            if read.reduction is None:
                raise SpaceError("the genotype has no reduction cell; give `reduce`, or set `reduction: normal`")
            given |= self._decisions_of("reduction", read.reduction)
        return dict(self.trace(given).decisions)

    @property
    def _has_own_reduction(self) -> bool:
        reduces = self.stages > 1 or (self.stem == "imagenet" and self.skeleton != "darts")
        return self.reduction == "searched" and reduces

    def _wiring(self, kind: str, choose: Chooser) -> Wiring:
        nodes = []
        for state in range(2, 2 + int(choose.one_of(f"{kind}/nodes", self.nodes))):
            sides = []
            for source_name, operation_name in _side_names(kind, state):
                source = choose.one_of(source_name, _earlier(state))
                sides.append((choose.one_of(operation_name, self.operations), source))
            nodes.append(tuple(sides))
        wired: tuple[tuple[Side, Side], ...] = tuple(nodes)  # type: ignore[arg-type]  # two of the offered values each
        ways = self._concats(wired)
        mode = choose.one_of(f"{kind}/concat", self.concat)
        if mode == "chosen":
            states = tuple(range(len(nodes) + 2))
            chosen = choose.subset(f"{kind}/concatenated", states, least=1)
            choose.require(chosen not in ways.values(), "these concatenated states have a name: all or loose_ends")
        else:
            chosen = ways[str(mode)]
            named = mode != "loose_ends" or chosen != ways.get("all")
            choose.require(named, "no node reads another, so the loose ends are called all")
        wiring = Wiring(wired, chosen)  # type: ignore[arg-type]  # numbers of states
        choose.require(connected(wiring), f"nothing of its inputs reaches the {kind} cell's result")
        return wiring

    def _concats(self, nodes: tuple[tuple[Side, Side], ...]) -> dict[str, tuple[int, ...]]:
        """The concatenations that have a name, those that this space offers."""
        named = {}
        if "all" in self.concat:
            named["all"] = tuple(range(2, len(nodes) + 2))
        if "loose_ends" in self.concat:
            named["loose_ends"] = loose_ends(nodes)
        return named

    def _decisions_of(self, kind: str, cell: CellGenotype) -> dict[str, Any]:
        given: dict[str, Any] = {f"{kind}/nodes": len(cell.sides) // 2}
        for number, (operation, source) in enumerate(cell.sides):
            place = f"{kind}/{number // 2 + 2}/{'right' if number % 2 else 'left'}"
            given |= {f"{place}/input": source, f"{place}/operation": operation}
        pairs = zip(cell.sides[::2], cell.sides[1::2], strict=True)
        ways = self._concats(tuple(pairs))  # type: ignore[arg-type]  # names are checked when replayed
        mode = next((mode for mode, states in ways.items() if states == cell.concat), "chosen")
        if mode not in self.concat:
            raise SpaceError(
                f"the {kind} cell concatenates the states {list(cell.concat)}, which this space cannot; "
                f"its `concat` is {list(self.concat)}, add 'chosen'"
            )
        given[f"{kind}/concat"] = mode
        return given | ({f"{kind}/concatenated": list(cell.concat)} if mode == "chosen" else {})

    def _cells(self, plan: Plan, net: GraphBuilder) -> Iterator[tuple[Place, Tensor]]:
        """Add the stem and all cells; gives every cell with what comes out of it."""
        previous, current = self._stem(plan, net)
        places = self._places(plan)
        first: dict[tuple[Wiring, int], Tensor] = {}
        for number, place in enumerate(places, start=1):
            drop_path = self.drop_path * (1 if self.skeleton == "darts" else number / len(places))
            with net.scope(place.name):
                like = first.get((place.wiring, place.stride)) if not drop_path else None
                made = self._cell(place, previous, current, drop_path, net, like=like)
                if previous is not None:  # else its operations read another number of channels than those of the others
                    first.setdefault((place.wiring, place.stride), made)
            passes = self.skip_reduction_input and place.stride == 2 and place.name.startswith("stage")
            previous, current = (previous if passes else current), made
            yield place, made

    def _auxiliary(self, cells: list[tuple[Place, Tensor]], net: GraphBuilder, shapes: Shapes) -> None:
        """The classifier on the last reduction cell, as DARTS has it, or on the cell before, as NASNet."""
        darts = self.skeleton == "darts"
        last = max((i for i, (place, _) in enumerate(cells) if place.stride == 2), default=len(cells) - 1)
        x = cells[last][1] if darts else cells[last - 1][1] if last else net.input
        large = darts and self.stem == "imagenet"
        net.auxiliary(auxiliary_head, x, classes=shapes.classes, stride=2 if large else 3, last_norm=not large)

    def _cell(
        self,
        place: Place,
        previous: Tensor | None,
        current: Tensor,
        drop_path: float,
        net: GraphBuilder,
        *,
        like: Tensor | None,
    ) -> Tensor:
        """One cell; the first of the nasnet skeletons reads the stem as it is instead of an output before it."""
        same: dict[str, Any] = {"filters": place.filters, "style": self.skeleton}
        size = current.shape[1:]
        left = current if previous is None else net.use(match_previous, previous, name="previous", size=size, **same)
        right = net.use(relu_conv_norm, current, name="current", **same)
        same |= {"wiring": place.wiring, "stride": place.stride, "drop_path": drop_path}
        if like is None:
            return net.use(cell_body, left, right, name="nodes", **same)
        return net.use_like(like, cell_body, left, right, name="nodes", **same)

    def _stem(self, plan: Plan, net: GraphBuilder) -> tuple[Tensor | None, Tensor]:
        """What the first cell reads as the outputs of the two cells before it."""
        times = 3 if self.stem == "cifar" else 1
        filters = self.stem_filters or times * plan.filters
        if self.stem == "imagenet" and self.skeleton == "darts":
            first = net.use(quarter_stem, net.input, name="stem1", filters=filters)
            return first, net.use(eighth_stem, first, name="stem2", filters=filters)
        block = small_stem if self.stem == "cifar" else strided_stem
        made = net.use(block, net.input, name="stem", filters=filters, style=self.skeleton)
        return (made if self.skeleton == "darts" else None), made

    def _places(self, plan: Plan) -> list[Place]:
        places = []
        if self.stem == "imagenet" and self.skeleton != "darts":
            for number, share in enumerate((4, 2), start=1):
                places.append(Place(f"stem_cell{number}", plan.reduction, max(plan.filters // share, 2), 2))
        for stage in range(self.stages):
            filters = plan.filters * 2**stage
            if stage:
                places.append(Place(f"stage{stage + 1}/reduction", plan.reduction, filters, 2))
            replaced = self.reduction == "normal" and stage > 0
            for cell in range(plan.cells - replaced):
                places.append(Place(f"stage{stage + 1}/cell{cell + 1}", plan.normal, filters, 1))
        return places


@cache
def _earlier(state: int) -> tuple[int, ...]:
    """The states that a node may read."""
    return tuple(range(state))


@cache
def _side_names(kind: str, state: int) -> tuple[tuple[str, str], ...]:
    """The decisions of a node: for either side its input and its operation."""
    return tuple((f"{kind}/{state}/{side}/input", f"{kind}/{state}/{side}/operation") for side in ("left", "right"))


def _cell_genotype(wiring: Wiring) -> CellGenotype:
    return CellGenotype(tuple(side for node in wiring.nodes for side in node), wiring.concat)
