"""Search space of unrolled algorithms for linear inverse problems."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod
from typing import ClassVar, Literal

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape, Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.stored_matrix import matrix_shape
from netwright.search_spaces.unrolling import Kind, Unrolling, unroll

CONVOLUTIONAL = ("ista_net", "ista_net_plus", "admm_net")


@dataclass(frozen=True, slots=True)
class Plan:
    """The algorithm, how many of its iterations are layers, and what is learned in them."""

    kind: Kind
    iterations: int
    tied: bool
    thresholds: Literal["one", "each"]
    momentum: bool
    filters: int


class Unfolded(SearchSpace):
    """Iterations of ISTA or ADMM as layers that learn: from y = A x (m values) to the x behind it (n values).

    lista learns both matrices of an iteration (Gregor & LeCun, 2010), lista_cp one that is coupled to A (Chen et al.,
    2018). ista_net and ista_net_plus learn a gradient step and a sparsifying transform of image blocks by
    convolutions (Zhang & Ghanem, 2018), admm_net does so with multipliers (ADMM-CSNet: Yang et al., 2020).
    Where an operator is given, A is fixed and learned matrices begin as the algorithm's own; else all are learned.
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = (Shapes((20,), 36), Shapes((25,), 64), Shapes((10,), 17))

    kinds: tuple[Kind, ...] = Field(
        default=("lista", "lista_cp", "ista_net", "ista_net_plus", "admm_net"), min_length=1
    )
    iterations: tuple[int, int] = Field(default=(2, 6), description="least and most; each shrinks once")
    ties: tuple[bool, ...] = Field(
        default=(False, True), min_length=1, description="whether all iterations have the same weights"
    )
    thresholds: tuple[Literal["one", "each"], ...] = Field(
        default=("one", "each"), min_length=1, description="one for all values, or each value or channel its own"
    )
    momenta: tuple[bool, ...] = Field(
        default=(False, True), min_length=1, description="whether an iteration goes on from two results, as FISTA"
    )
    filters: tuple[int, ...] = Field(default=(8, 16), min_length=1, description="of convolutional transforms")
    operator: str | None = Field(
        default=None,
        description="where A is stored, m × n, as file.npz:key, for data that is not standardised; default: learned",
    )
    initial: str | None = Field(
        default=None,
        description="where Q is stored, n × m, as file.npz:key: iterations begin at Q y, such as the least-squares map "
        "of y to x in training data; default: at zero",
    )
    block: tuple[int, int] | None = Field(
        default=None, description="(height, width) of x as an image; by default as square as n allows"
    )
    start: float = Field(default=0.1, ge=0, description="thresholds before training")

    def decide(self, choose: Chooser) -> Plan:
        kind: Kind = choose.one_of("kind", self.kinds)
        return Plan(
            kind=kind,
            iterations=choose.integer("iterations", *self.iterations),
            tied=bool(choose.one_of("tied", self.ties)),
            thresholds=choose.one_of("thresholds", self.thresholds),
            momentum=kind != "admm_net" and bool(choose.one_of("momentum", self.momenta)),
            filters=int(choose.one_of("filters", self.filters)) if kind in CONVOLUTIONAL else 0,
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        unknowns = self._unknowns(shapes)
        return unroll(
            net,
            Unrolling(
                kind=plan.kind,
                iterations=plan.iterations,
                tied=plan.tied,
                thresholds=plan.thresholds,
                momentum=plan.momentum,
                filters=plan.filters,
                operator=self.operator,
                initial=self.initial,
                start=self.start,
                measurements=shapes.input[0],
                unknowns=unknowns,
                block=self._block(unknowns) if plan.kind in CONVOLUTIONAL else (),
            ),
        )

    def _unknowns(self, shapes: Shapes) -> int:
        if len(shapes.input) != 1 or len(shapes.output_shape) != 1:
            raise ShapeError(
                "an unfolded algorithm goes from (m,) measurements to (n,) unknowns; the task gives "
                f"{shapes.input} and needs {shapes.output_shape}"
            )
        measured, unknowns = shapes.input[0], shapes.classes
        for name, place, needed in (
            ("operator", self.operator, (measured, unknowns)),
            ("initial", self.initial, (unknowns, measured)),
        ):
            if place is not None and shapes.standardised:
                raise ShapeError(
                    f"the {name} {place!r} ties values as they are stored, but the task standardises "
                    "them; set `standardise: false` in the task"
                )
            if place is not None and matrix_shape(place) != needed:
                rows, columns = matrix_shape(place)
                raise ShapeError(
                    f"the {name} {place!r} is {rows} × {columns}; the task has {measured} measurements "
                    f"of {unknowns} unknowns, so {needed[0]} × {needed[1]} is needed"
                )
        return unknowns

    def _block(self, unknowns: int) -> Shape:
        if self.block is None:
            height = next(side for side in range(isqrt(unknowns), 0, -1) if unknowns % side == 0)
            return (1, height, unknowns // height)
        if prod(self.block) != unknowns:
            raise ShapeError(f"`block` is {self.block[0]} × {self.block[1]}, the task has {unknowns} unknowns")
        return (1, *self.block)
