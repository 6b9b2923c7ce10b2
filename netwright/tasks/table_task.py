"""Tasks on rows of a table of one's own, or on arrays from an .npz file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import ModuleType

from pydantic import Field

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Split
from netwright.tasks.npz_file import read_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.readers import arrays, tables
from netwright.tasks.stored import ArraysTask, TableRows
from netwright.tasks.table import is_table
from netwright.tasks.tabular import read_table, told


class TableTask(TableRows, ArraysTask):
    """A task that reads rows; one of its own names the target columns and says what they become."""

    path: DataPath = Field(description=".csv, .tsv or .parquet table with a row of names, or .npz file")
    ignore: tuple[str, ...] = Field(default=(), description="names of columns of a table that are no inputs, as an id")
    categories: tuple[str, ...] = Field(
        default=(),
        description="names of columns of numbers that name categories, as zip codes do: each of their values is an "
        "input, as of a column of texts",
    )

    @abstractmethod
    def wanted(self) -> tuple[str, ...]:
        """The names of the target columns; the last column where there are none."""

    @abstractmethod
    def made(self, columns: Mapping[str, AnyArray]) -> AnyArray:
        """An array [rows, ...] of the cells of the target columns; raises DataError naming the row at fault."""

    def parted(
        self, given: Mapping[str, Split], groups: AnyArray | None
    ) -> tuple[Mapping[str, Split], tuple[str, ...]]:
        """All parts of raw rows and targets, and the names of the classes."""
        return self.split_off(given, groups=groups), ()

    def reader(self) -> ModuleType:
        return tables if is_table(self.path) else arrays

    def remarks(self) -> tuple[str, ...]:
        return told(self.data().reading)

    def load(self) -> Arrays:
        if not self.path.is_file():
            raise DataError(f"{self.path} does not exist; give the path of a table or an .npz file")
        if is_table(self.path):
            return read_table(
                self.path,
                targets=self.wanted(),
                ignore=self.ignore,
                categories=self.categories,
                split=self.split,
                made=self.made,
                parted=self.parted,
                group=self.group,
            )
        if self.wanted() or self.ignore or self.categories or self.split or self.group:
            raise DataError(f"{self.path}: columns are named for a table; an .npz file has none")
        return self.arranged(read_arrays(self.path))

    def arranged(self, found: Arrays) -> Arrays:
        """Arrays of an .npz file as the task takes them."""
        return found
