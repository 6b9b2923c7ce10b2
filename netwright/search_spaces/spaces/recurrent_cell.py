"""Search space of recurrent cells: which node reads which, and by which function."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.choosers import ReplayChooser
from netwright.search_spaces.domain import Domain, Value
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Size
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.wired_cell import CellFunction, WiredCell
from netwright.search_spaces.printed_python import printed_value
from netwright.search_spaces.sequences import Mode, Reading, as_sequence, head
from netwright.search_spaces.space import SearchSpace

FIELDS = ("recurrent", "concat")
EXAMPLE = '{"recurrent": [["sigmoid", 0], ["relu", 1]], "concat": [1, 2]}'


@dataclass(frozen=True, slots=True)
class Plan:
    """For every node its function and the node that it reads; which nodes make the new state; the sizes."""

    nodes: tuple[tuple[CellFunction, int], ...]
    loose: bool
    embedding: int
    width: int
    summary: Mode
    dropout: float

    @property
    def output(self) -> tuple[int, ...]:
        """The nodes whose mean is the new state."""
        read = {source for _, source in self.nodes}
        return tuple(i for i in range(1, len(self.nodes) + 1) if not self.loose or i not in read)


class RecurrentCell(SearchSpace):
    """Wiring of a recurrent cell: every node reads one earlier node by a function of its own (DARTS, ENAS).

    Node 0 mixes input and state, every node is highway-gated, and the mean of all nodes (or of those that no
    other reads) is the new state: Pham et al., 2018, with the gates of Liu et al., 2019. The cell is written
    out step by step, so a network reads sequences of the length that it was built for, `longest` at most.

    Genotypes are the published ones of DARTS, {"recurrent": [["sigmoid", 0], ...], "concat": [1, 2, ...]};
    other decisions may stand beside the two, and take their first option where they do not.
    """

    # short, as every step is written out
    example_inputs: ClassVar[tuple[Shapes, ...]] = (
        Shapes((5, 4), 4),
        Shapes((4, 3), (4, 2)),
        Shapes((1, 6, 6), 10),
    )

    nodes: tuple[int, int] = Field(default=(2, 5), description="least and most nodes")
    functions: tuple[CellFunction, ...] = Field(default=("tanh", "relu", "sigmoid", "identity"), min_length=1)
    outputs: tuple[Literal["all", "loose"], ...] = Field(
        default=("all",), min_length=1, description="nodes whose mean is the new state"
    )
    embeddings: tuple[int, ...] = Field(
        default=(0, 16, 32), min_length=1, description="features of a linear embedding; 0 means none"
    )
    widths: tuple[Size, ...] = Field(default=(16, 32, 64), min_length=1, description="hidden units")
    summaries: tuple[Mode, ...] = Field(default=("last", "mean"), min_length=1)
    dropouts: tuple[float, ...] = Field(default=(0.0, 0.2), min_length=1, description="before the classifier")
    longest: int = Field(default=128, ge=1, description="most steps that are written out")
    reading: Reading = Field(default="rows", description="how an image becomes a sequence")

    def decide(self, choose: Chooser) -> Plan:
        nodes: list[tuple[CellFunction, int]] = []
        for place in range(1, choose.integer("nodes", *self.nodes) + 1):
            with choose.scope(f"node{place}"):
                function: CellFunction = choose.one_of("function", self.functions)
                nodes.append((function, choose.integer("input", 0, place - 1)))
        return Plan(
            nodes=tuple(nodes),
            loose=choose.one_of("output", self.outputs) == "loose",
            embedding=int(choose.one_of("embedding", self.embeddings)),
            width=int(choose.one_of("width", self.widths)),
            summary=choose.one_of("summary", self.summaries),
            dropout=float(choose.one_of("dropout", self.dropouts)),
        )

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = as_sequence(net, reading=self.reading)
        if x.shape[0] > self.longest:
            raise ShapeError(
                f"the sequence has {x.shape[0]} steps and the cell is written out for each; at most {self.longest} "
                "are allowed (the setting `longest`)"
            )
        if plan.embedding:
            x = net.add(Linear(features=plan.embedding, bias=False), x, name="embedding")
        nodes, output = _in_order(plan.nodes, plan.output)
        x = net.add(WiredCell(width=plan.width, nodes=nodes, output=output, steps=x.shape[0]), x, name="cell")
        return head(x, net=net, shapes=shapes, summary=plan.summary, dropout=plan.dropout)

    def genotype(self, decisions: Decisions) -> str:
        """The notation of DARTS as one line of JSON, with the sizes beside it."""
        chooser = self.trace(decisions)
        plan = self.decide(chooser)
        rest = {name: value for name, value in chooser.decisions.items() if not name.startswith("node")}
        return json.dumps({"recurrent": plan.nodes, "concat": plan.output, **rest}, separators=(",", ":"))

    def from_genotype(self, genotype: Any) -> dict[str, Any]:
        """The decisions of a published genotype (printed, JSON or plain data), or of the one-line notation.

        Raises SpaceError when it is none, or not of this space.
        """
        if isinstance(genotype, str) and "=" in genotype and "(" not in genotype and "{" not in genotype:
            return super().from_genotype(genotype)
        nodes, concat, given = _read(genotype)
        given["nodes"] = len(nodes)
        for place, (function, source) in enumerate(nodes, start=1):
            given |= {f"node{place}/function": function, f"node{place}/input": source}
        if "output" not in given:
            given["output"] = next((o for o in self.outputs if concat == _concat(nodes, loose=o == "loose")), "")
        chooser = _FirstOptionChooser(given)
        plan = self.decide(chooser)
        chooser.check_all_used()
        if concat != list(plan.output):
            raise SpaceError(f"the nodes of this genotype make {list(plan.output)} the output, not {concat}")
        return dict(chooser.decisions)


class _FirstOptionChooser(ReplayChooser):
    """Replays decisions; one that is missing takes its first option."""

    def draw(self, name: str, domain: Domain) -> Value:
        return super().draw(name, domain) if name in self._given else domain.values()[0]


def _read(genotype: Any) -> tuple[list[tuple[str, Any]], list[int], dict[str, Any]]:
    """The nodes, the nodes given out, and all else that a genotype says."""
    try:
        given = dict(printed_value(genotype, fields=FIELDS) if isinstance(genotype, str) else genotype)
        nodes, concat = [(str(function), source) for function, source in given.pop("recurrent")], given.pop("concat")
        return nodes, sorted(concat), given
    except (ValueError, TypeError, KeyError):
        raise SpaceError(f"a recurrent genotype reads {EXAMPLE}, came {genotype!r:.300}") from None


def _concat(nodes: Sequence[tuple[str, Any]], *, loose: bool) -> list[int]:
    read = {source for _, source in nodes}
    return [place for place in range(1, len(nodes) + 1) if not loose or place not in read]


def _in_order(
    nodes: tuple[tuple[CellFunction, int], ...], output: tuple[int, ...]
) -> tuple[tuple[tuple[CellFunction, int], ...], tuple[int, ...]]:
    """The same cell with its nodes numbered in one order, whichever order they were decided in.

    Every node reads one other, so a cell is a tree: branches are put in the order of what they are.
    """
    readers: Mapping[int, list[int]] = {place: [] for place in range(len(nodes) + 1)}
    for place, (_, source) in enumerate(nodes, start=1):
        readers[source].append(place)

    def branch(place: int) -> str:
        return f"({nodes[place - 1][0]}{place in output}{''.join(sorted(map(branch, readers[place])))})"

    numbers: dict[int, int] = {0: 0}
    found: list[tuple[CellFunction, int]] = []

    def number(source: int) -> None:
        for place in sorted(readers[source], key=branch):
            found.append((nodes[place - 1][0], numbers[source]))
            numbers[place] = len(found)
            number(place)

    number(0)
    return tuple(found), tuple(sorted(numbers[place] for place in output))
