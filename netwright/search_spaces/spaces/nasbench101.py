"""NAS-Bench-101: cells that are small graphs with operations on their vertices, in the benchmark's network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.labelled_cell import (
    LABELS,
    Edge,
    LabelledCell,
    as_published,
    cell_block,
    convolution,
    labelled_cell,
    live_edges,
)
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.printed_python import printed_value
from netwright.search_spaces.space import SearchSpace

Label = Literal["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"]
EXAMPLE = '{"matrix": [[0, 1, 1], [0, 0, 1], [0, 0, 0]], "ops": ["input", "conv3x3-bn-relu", "output"]}'
FIELDS = ("matrix", "ops")
KEYS = (FIELDS, ("adjacency", "operations"), ("module_adjacency", "module_operations"), ("adj_upper", "ops"))
LETTERS = {"i": "input", "o": "output"} | {str(rank): label for rank, label in enumerate(LABELS)}
"""Operations in one text such as `i02o`."""
SYNONYMS = {"conv3x3": "conv3x3-bn-relu", "conv1x1": "conv1x1-bn-relu", "maxpool3x3": "maxpool3x3"} | {
    name: name for name in ("input", "output")
}
NUMPY = r"\s*\[(\s*\[[\s01.]+\])+\s*\]\s*"
SYNONYMS |= {name.upper(): label for name, label in SYNONYMS.items()}


class NasBench101(SearchSpace):
    """The cells of NAS-Bench-101 (Ying et al., 2019): up to 7 vertices and 9 edges, in its network of 3 stacks.

    A cell is a graph from an input to an output vertex; every vertex between them sums what it reads and
    carries one of three operations. Cells are stacked `cells_per_stack` times; between stacks a pooling halves
    height and width and the channels double.

    The output vertex is decided on first, then every vertex that something reads: so no drawn vertex is
    dead, and none of the draws lacks a way from input to output. Cells that differ in numbering alone are built
    as the one that the benchmark trained.

    Genotypes are the benchmark's `{"matrix": ..., "ops": ...}`, dead vertices allowed, as an object or as text, also
    as its printed `ModelSpec(matrix=..., ops=...)`.
    """

    small: ClassVar[Mapping[str, Any]] = {"channels": 16, "cells_per_stack": 1}

    vertices: int = Field(default=7, ge=2, le=8, description="most vertices of a cell, input and output included")
    edges: int = Field(default=9, ge=1, le=28, description="most edges of a cell")
    operations: tuple[Label, ...] = Field(
        default=("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"), min_length=1, description="what a vertex may do"
    )
    channels: int = Field(default=128, ge=8, description="channels of the stem and of the first stack")
    stacks: int = Field(default=3, ge=1, le=6)
    cells_per_stack: int = Field(default=3, ge=1)

    def decide(self, choose: Chooser) -> LabelledCell:
        output = self.vertices - 1
        edges: list[Edge] = []
        labels: dict[int, str] = {}
        read: set[int] = set()
        for target in range(output, 0, -1):
            if target != output and target not in read:
                continue
            read.discard(target)
            with choose.scope("output" if target == output else f"vertex{target}"):
                if target != output:
                    labels[target] = str(choose.one_of("operation", self.operations))
                most = min(target, _most_sources(room=self.edges - len(edges) - len(read), known=len(read) + 1))
                sources = [int(source) for source in choose.subset("inputs", range(target), least=1, most=most)]
            edges += [(source, target) for source in sources]
            read |= {source for source in sources if source}
            enough = len(edges) + len(read) <= self.edges
            choose.require(
                enough, f"with one edge into every vertex that is read, they are more than {self.edges} edges"
            )
        return labelled_cell(edges, labels, output)

    def lower(self, plan: LabelledCell, net: GraphBuilder, shapes: Shapes) -> Tensor:
        cell = as_published(plan)
        x = net.use(convolution, net.input, name="stem", filters=self.channels, kernel=3)
        for stack in range(self.stacks):
            with net.scope(f"stack{stack + 1}"):
                if stack:
                    x = net.add(Pool2d(mode="max", kernel=2, stride=2, ceil=True), x, name="downsample")
                filters = self.channels * 2**stack
                for index in range(self.cells_per_stack):
                    x = net.use(cell_block, x, name=f"cell{index + 1}", cell=cell, filters=filters)
        with net.scope("head"):
            return net.chain(x, GlobalPool(), Linear(features=shapes.classes))

    def genotype(self, decisions: Decisions) -> str:
        """The cell as the benchmark's matrix and operations, in one line of JSON.

        Vertices keep their numbers; one without edges stands in the place of a number that is not in use.
        """
        chosen = self.trace(decisions).decisions
        inner = [int(name[6:-10]) for name in chosen if name.startswith("vertex") and name.endswith("/operation")]
        output = max(inner, default=0) + 1
        matrix = [[0] * (output + 1) for _ in range(output + 1)]
        for target in [*inner, output]:
            inputs = chosen["output/inputs" if target == output else f"vertex{target}/inputs"]
            for source in inputs if isinstance(inputs, tuple) else ():
                matrix[int(source)][target] = 1
        labels = [str(chosen.get(f"vertex{vertex}/operation", self.operations[0])) for vertex in range(1, output)]
        return json.dumps({"matrix": matrix, "ops": ["input", *labels, "output"]})

    def from_genotype(self, genotype: Any) -> dict[str, Any]:
        """The decisions for the benchmark's matrix and operations, or for `name=value` pairs.

        Raises SpaceError when it is none of this space.
        """
        if isinstance(genotype, str) and "=" in genotype and "(" not in genotype and "{" not in genotype:
            return super().from_genotype(genotype)
        edges, labels = self._read(genotype)
        output = len(labels) + 1
        decisions: dict[str, Any] = {}
        for target in range(output, 0, -1):
            sources = tuple(source for source, end in edges if end == target)
            scope = "output" if target == output else f"vertex{target}"
            if sources:
                decisions[f"{scope}/inputs"] = sources
            if sources and target != output:
                decisions[f"{scope}/operation"] = labels[target - 1]
        return dict(self.trace(decisions).decisions)

    def _read(self, genotype: Any) -> tuple[list[Edge], list[str]]:
        """The edges that matter and the inner vertices' operations of a published genotype."""
        try:
            given = printed_value(genotype, fields=FIELDS, names=SYNONYMS) if isinstance(genotype, str) else genotype
            matrix, names = _matrix_and_operations(given)
        except (ValueError, KeyError, TypeError):
            raise SpaceError(f"a NAS-Bench-101 genotype reads {EXAMPLE}, came {genotype!r:.300}") from None
        count, most = len(names), self.vertices - 2
        if not 2 <= count <= self.vertices or names[0] != "input" or names[-1] != "output":
            raise SpaceError(
                f"a NAS-Bench-101 genotype has the operations input, at most {most} others, output; came {names!r:.300}"
            )
        if not _is_adjacency(matrix, count):
            raise SpaceError(
                f"a NAS-Bench-101 genotype of {count} operations has a matrix of {count} rows of {count} times 0 or 1, "
                f"with no edge back to an earlier vertex; came {matrix!r:.300}"
            )
        edges = [(source, target) for target in range(count) for source in range(target) if matrix[source][target]]
        live = live_edges(edges, count - 1)
        if not live:
            raise SpaceError("no path leads from the input to the output of this NAS-Bench-101 genotype")
        if len(live) > self.edges:
            raise SpaceError(f"this NAS-Bench-101 genotype has {len(live)} edges, at most {self.edges} are allowed")
        return live, [str(name) for name in names[1:-1]]


def _matrix_and_operations(given: Any) -> tuple[list[list[Any]], list[Any]]:
    """What a genotype holds under its own names, those of the table's records, or as a pair."""
    if isinstance(given, Mapping):
        given = [next((given[name] for name in names if name in given), None) for names in zip(*KEYS, strict=True)]
    rows, names = given
    if isinstance(names, str):
        names = [LETTERS[letter] for letter in names]
    found = [SYNONYMS.get(str(name).lower(), name) for name in names]
    # the two ends go without saying
    ends = not {"input", "output"} & set(found)
    count = len(found) + 2 if ends else len(found)
    if isinstance(rows, str):
        rows = _printed_rows(rows)
    rows = [_printed_rows(row) if isinstance(row, str) else row for row in rows]
    matrix = _square(rows, count) or [list(row) for row in rows]
    return matrix, ["input", *found, "output"] if ends and len(matrix) == count else found


def _printed_rows(text: str) -> Any:
    """The rows of a matrix as Python or numpy prints it, or its digits; raises ValueError for any other text."""
    if re.fullmatch("[01]+", text):
        return [int(digit) for digit in text]
    if re.fullmatch(NUMPY, text):
        return [[int(digit) for digit in re.findall("[01]", row)] for row in text.split("]")[:-2]]
    return printed_value(text, fields=())


def _square(rows: Sequence[Any], count: int) -> list[list[Any]] | None:
    """The matrix of which all, or what is above the diagonal, is given in a row, or that row by row; else None."""
    ragged = [len(row) if isinstance(row, Sequence) else 0 for row in rows] == list(range(count - 1, 0, -1))
    flat = [value for row in rows for value in row] if ragged else rows
    whole, above = count * count, count * (count - 1) // 2
    if not flat or len(flat) not in (whole, above) or not (ragged or all(_is_digit(value) for value in flat)):
        return None
    values = iter(flat)
    given = len(flat) == whole
    return [[next(values) if given or end > start else 0 for end in range(count)] for start in range(count)]


def _is_digit(value: object) -> bool:
    """Whether a value is 0 or 1, and no row of such."""
    return not hasattr(value, "__len__") and value in (0, 1)


def _most_sources(*, room: int, known: int) -> int:
    """How many sources leave an edge for each new vertex among them; `known` ones are not new."""
    return room if room <= known else (room + known) // 2


def _is_adjacency(matrix: Sequence[Sequence[Any]], count: int) -> bool:
    square = len(matrix) == count and all(len(row) == count for row in matrix)
    return square and all(
        value in (0, 1) and (value == 0 or source < target)
        for source, row in enumerate(matrix)
        for target, value in enumerate(row)
    )
