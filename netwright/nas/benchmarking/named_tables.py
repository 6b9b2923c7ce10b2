"""Tables with a name: data files that say where a published table lies and how it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from netwright.core.config import Settings, read_yaml
from netwright.core.errors import DataError, UnknownNameError
from netwright.core.plugins import built
from netwright.nas.benchmarking.goals import Goals, parse_goals
from netwright.nas.benchmarking.table import Absent, BenchmarkTable, Same, make_table, read_frame
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import pandas

FOLDER = Path(__file__).parent / "tables"
VARIABLE = "NETWRIGHT_DATA"
DECISIONS = "architecture"


class Protocol(Settings):
    """What is searched on, what is reported, and what shorter trainings there are; as on the command line."""

    objectives: tuple[str, ...]
    reported: tuple[str, ...] = ()
    fidelities: tuple[str, ...] = ()


class Dataset(Settings):
    """The usual ways to search for one data set; the first is the default."""

    names: dict[str, str] = Field(default_factory=dict, description="short name -> column")
    protocols: dict[str, Protocol] = Field(min_length=1)


class Architecture(Settings):
    """Where a row says its architecture: a column, or the parts of a labelled graph."""

    column: str = ""
    vertices: str = Field(default="", description="column with the number of vertices")
    upper_triangle: str = Field(default="", description="column with the adjacency matrix above its diagonal, by rows")
    operations: str = Field(default="", description="column with one letter per vertex, the two ends included")
    labels: dict[str, str] = Field(default_factory=dict, description="letter -> operation")


class NamedTable(Settings):
    """A table known by name; see the files in `tables/`."""

    title: str
    source: str
    files: tuple[str, ...] = Field(min_length=1, description="below the folder NETWRIGHT_DATA, joined by `key`")
    key: str = ""
    space: dict[str, Any]
    architecture: Architecture
    same: Same = "row"
    names: dict[str, str] = Field(default_factory=dict, description="short name -> column")
    dataset: str = Field(description="the default")
    datasets: dict[str, Dataset] = Field(min_length=1)

    def goals(
        self,
        *,
        dataset: str | None,
        protocol: str | None,
        objectives: tuple[str, ...] = (),
        reported: tuple[str, ...] = (),
        fidelities: tuple[str, ...] = (),
        known: tuple[str, ...] = (),
    ) -> Goals:
        """The goals of a protocol, or those given; short names stand for columns in both."""
        chosen = self._dataset(dataset)
        if protocol is not None and protocol not in chosen.protocols:
            raise UnknownNameError("protocol", protocol, chosen.protocols)
        usual = chosen.protocols[protocol or next(iter(chosen.protocols))]
        return parse_goals(
            objectives or usual.objectives,
            reported=reported or (() if objectives else usual.reported),
            fidelities=fidelities,
            names=self.names | chosen.names,
            known=known,
        )

    def usual_fidelities(self, *, dataset: str | None, protocol: str | None) -> tuple[str, ...]:
        """The shorter trainings that the table has for a protocol."""
        chosen = self._dataset(dataset)
        return chosen.protocols[protocol or next(iter(chosen.protocols))].fidelities

    def read(
        self, goals: Goals, *, name: str, same: Same | None = None, absent: Absent | None = None
    ) -> BenchmarkTable:
        """The table from its files; raises DataError when they are not there."""
        frame = self._frame()
        space = built(SearchSpace, self.space)
        return make_table(
            frame,
            name=name,
            space=space,
            architecture=DECISIONS,
            values=goals.columns,
            same=same or self.same,
            absent=absent,
        )

    def _dataset(self, name: str | None) -> Dataset:
        wanted = self.dataset if name is None else name
        if wanted not in self.datasets:
            raise UnknownNameError("data set of this table", wanted, self.datasets)
        return self.datasets[wanted]

    def _frame(self) -> pandas.DataFrame:
        import pandas

        folder = os.environ.get(VARIABLE)
        if not folder:
            raise DataError(f"set {VARIABLE} to the folder that holds {self.files[0]}")
        for file in self.files:
            if not (Path(folder) / file).is_file():
                raise DataError(f"no table at {Path(folder) / file}: set {VARIABLE} to the folder that holds {file}")
        frame = read_frame(Path(folder) / self.files[0])
        for file in self.files[1:]:
            frame = frame.merge(read_frame(Path(folder) / file), on=self.key, how="left", validate="one_to_one")
        return frame.assign(**{DECISIONS: pandas.Series(self._architectures(frame), dtype=object)})

    def _architectures(self, frame: pandas.DataFrame) -> list[object]:
        told = self.architecture
        if told.column:
            return list(frame[told.column])
        columns = (frame[name] for name in (told.vertices, told.upper_triangle, told.operations))
        write: Callable[..., object] = partial(_labelled_graph, labels=told.labels)
        return [write(*parts) for parts in zip(*columns, strict=True)]


def table_names() -> list[str]:
    """The names of all tables, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def named_table(name: str) -> NamedTable:
    """The description of a table; raises UnknownNameError with the nearest name."""
    if name not in table_names():
        raise UnknownNameError("table", name, table_names())
    return NamedTable.parse(read_yaml(FOLDER / f"{name}.yaml"), source=name)


def _labelled_graph(vertices: int, bits: str, letters: str, *, labels: dict[str, str]) -> dict[str, Any]:
    """The matrix and operations of a graph whose upper triangle is given row by row."""
    upper = iter(bits)
    matrix = [[int(next(upper)) if end > start else 0 for end in range(vertices)] for start in range(vertices)]
    return {"matrix": matrix, "ops": ["input", *(labels[letter] for letter in letters[1:-1]), "output"]}
