"""A benchmark table: recorded results of many architectures, which answer at once instead of a training."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import isfinite, nan
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, Literal

from netwright.core.errors import DataError, MissingPackageError, SpaceError, UnknownNameError
from netwright.core.records import Decisions
from netwright.core.seeds import generator
from netwright.core.shapes import Shapes
from netwright.nas.evidence import Key, key_of, memo_key, space_of
from netwright.nas.evidence import Same as SameSpace
from netwright.nas.known_costs import Costs, KnownCosts
from netwright.search_spaces.choosers import ReplayChooser
from netwright.search_spaces.domain import Domain, Value
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import pandas

    from netwright.nas.benchmarking.nearest import Nearest

DRAWS = 20
"""Architectures drawn to see whether a table holds its space as it is written."""
LOOKED, RARE = 300, 0.05
"""So many random architectures are looked up; where fewer than this share have a row, the nearest one answers."""
TEXTS, PARQUETS = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
Same = Literal["row", "network"]
"""What makes two proposals the same architecture: one row of the table, or one network however it is written."""
Absent = Literal["failed", "nearest"]
"""What answers for an architecture without a row: nothing, so that it fails, or the row that is most like it."""


@dataclass
class BenchmarkTable:
    """The architectures of a space that were measured, and what was measured of each.

    `rows` maps decisions to a row, `columns` a name to one value per row (nan where none was recorded).
    Architectures are told apart by row, or by the identity of their network for `shapes`, which finds a row
    also for decisions that write its network in another way.
    """

    name: str
    space: SearchSpace
    rows: Mapping[Key, int]
    columns: Mapping[str, Sequence[float]]
    same: Same = "row"
    shapes: Shapes | None = None
    skipped: int = 0
    """Rows of the file that are none of the space."""
    skipped_why: str = ""
    """The first of them, and what is wrong with it."""
    averaged: int = 0
    """Rows of the file whose architecture has one before them."""
    absent: Absent = "failed"
    looked_s: float = 0.0
    """CPU seconds spent on nearest rows so far, which are no strategy's."""
    _identities: dict[Key, str] = field(default_factory=dict)
    _by_identity: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def identity(self, decisions: Decisions) -> str:
        """A name that is equal for architectures that count as the same one."""
        key = key_of(decisions)
        if self.same == "row" and key in self.rows:
            return f"row {self.rows[key]}"
        if self.same == "row" or self.shapes is None:
            return f"absent {key}"
        return self._network(key)

    def row(self, decisions: Decisions) -> int | None:
        """The row that answers for the decisions, or None."""
        key = key_of(decisions)
        found = self.rows.get(key)
        if found is not None or self.same == "row":
            return found
        return self._index().get(self._network(key))

    @cached_property
    def complete(self) -> list[int]:
        """The rows that have a value in every column; no other can be paid for."""
        return [row for row in range(len(self)) if all(isfinite(column[row]) for column in self.columns.values())]

    def nearest(self, decisions: Decisions) -> int | None:
        """The complete row that is most like an architecture without one; None where the table does not say so."""
        if self.absent == "failed" or not self.complete:
            return None
        began = process_time()
        found = self._nearest.row(key_of(decisions))
        self.looked_s += process_time() - began
        return found

    def moved(self, decisions: Decisions, *, taken: Iterable[int]) -> dict[str, Any] | None:
        """The nearest architecture that has a row, among those whose rows are not taken; None when all are."""
        row = self._nearest.untaken(key_of(decisions), taken) if self.complete else None
        return None if row is None else dict(self.decisions(row))

    def decisions(self, row: int) -> Decisions:
        """The architecture of a row."""
        return dict(self._keys[row])

    @cached_property
    def _keys(self) -> dict[int, Key]:
        return {row: key for key, row in self.rows.items()}

    @cached_property
    def _nearest(self) -> Nearest:
        from netwright.nas.benchmarking.nearest import Nearest

        return Nearest(self.space, [self._keys[row] for row in self.complete], self.complete)

    def is_rare(self) -> bool:
        """Whether architectures drawn at random are hardly ever in the table as they are written.

        So it is with real-valued decisions, or with a sample of a large space.
        """
        rng = generator(0, "rare")  # not the seed that a table of random architectures was made with
        drawn = {key_of(self.space.sample(rng)) for _ in range(LOOKED)}
        return len(drawn & self.rows.keys()) < RARE * len(drawn)

    def prepare(self) -> None:
        """Work out now what looking up will need, where architectures drawn at random are not found as written.

        Takes milliseconds per row, and is else done at the first such look-up.
        """
        rng = random.Random(0)
        drawn = (key_of(self.space.sample(rng)) for _ in range(DRAWS))
        if self.same == "network" and any(key not in self.rows for key in drawn):
            self._index()

    def value(self, row: int, column: str) -> float | None:
        """A recorded value, or None where there is none."""
        value = self.columns[column][row]
        return value if isfinite(value) else None

    def known(self, column: str) -> list[float]:
        """All values of a column that were recorded."""
        return [value for value in self.columns[column] if isfinite(value)]

    def _index(self) -> Mapping[str, int]:
        """The rows by the identity of their network; of equal networks the first."""
        if self._by_identity is None:
            self._by_identity = {}
            for known, row in self.rows.items():
                self._by_identity.setdefault(self._network(known), row)
        return self._by_identity

    def _network(self, key: Key) -> str:
        assert self.shapes is not None
        if key not in self._identities:
            try:
                self._identities[key] = self.space.identity(dict(key), self.shapes)
            except SpaceError:
                self._identities[key] = f"unbuildable {key}"
        return self._identities[key]


@dataclass(frozen=True, slots=True)
class TableCosts(KnownCosts):
    """What a table's columns say of an architecture before it is paid for."""

    table: BenchmarkTable
    known: tuple[str, ...]

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset(self.known)

    def of(self, space: SearchSpace, decisions: Decisions) -> Costs | None:
        del space
        row = self.table.row(decisions)
        if row is None:
            row = self.table.nearest(decisions)
        if row is None:
            return None
        values = {name: self.table.value(row, name) for name in self.known}
        found = {name: value for name, value in values.items() if value is not None}
        return found if len(found) == len(values) else None


def read_frame(path: Path) -> pandas.DataFrame:
    """The content of a .csv or .parquet file; raises DataError when it cannot be read.

    The columns of a .csv or .tsv may be parted by semicolons or tabs instead; it may be compressed.
    """
    import pandas

    if not path.is_file():
        raise DataError(f"there is no table {path}; give the path of a .csv or .parquet file, or the name of a table")
    if not {*TEXTS, *PARQUETS} & set(path.suffixes):
        raise DataError(f"{path} is neither .csv nor .parquet; write the table as one of them")
    try:
        if path.suffix in PARQUETS:
            return pandas.read_parquet(path)
        return pandas.read_csv(path, sep=_separator(path))
    except ImportError:
        package = "pyarrow" if path.suffix in PARQUETS else "zstandard"  # the one compression Python does not bring
        raise MissingPackageError(f"to read {path} takes the package {package}: pip install {package}") from None
    except (OSError, ValueError) as error:  # pandas and pyarrow raise kinds of these for what they cannot parse
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None


def _separator(path: Path) -> str:
    """What parts the columns of a text file, by its first line; a comma in a compressed one."""
    if path.suffix not in TEXTS:
        return ","
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return next((sign for sign in (",", ";", "\t") if sign in first), ",")


def make_table(
    frame: pandas.DataFrame,
    *,
    name: str,
    space: SearchSpace,
    architecture: str,
    values: Iterable[str],
    same: Same = "row",
    absent: Absent | None = None,
    shapes: Shapes | None = None,
) -> BenchmarkTable:
    """The table in a data frame: `architecture` is the column of decisions or genotypes, `values` are numbers.

    Where `absent` is not given, the nearest row answers for architectures without one if random ones hardly ever have
    one, and rows are told apart as they are written.

    Rows of one architecture are averaged; rows that are none of the space are skipped and counted. Raises
    UnknownNameError for a column that is not there, DataError when a column is no number or no row is of the space.
    """
    wanted = list(dict.fromkeys(values))
    for column in (architecture, *wanted):
        if column not in frame.columns:
            raise UnknownNameError(f"column of {name}", column, map(str, frame.columns))
    if same == "network" and shapes is None:
        shapes = _example_shapes(space, name)
    rows: dict[Key, int] = {}
    places: list[int] = []
    skipped, reason = 0, ""
    for number, text in enumerate(frame[architecture]):
        try:
            key = key_of(read_architecture(space, text))
        except SpaceError as error:
            skipped, reason = skipped + 1, reason or f"row {number + 1}: {error}"
            places.append(-1)
            continue
        places.append(rows.setdefault(key, len(rows)))
    if not rows:
        raise DataError(f"no row of {name} is an architecture of the space; {reason or 'the table is empty'}")
    columns = {column: _averaged(_numbers(frame, column, name), places, len(rows)) for column in wanted}
    table = BenchmarkTable(name, space, rows, columns, same=same, shapes=shapes, skipped=skipped, skipped_why=reason)
    table.averaged = len(places) - skipped - len(rows)
    table.absent = absent or ("nearest" if same == "row" and table.is_rare() else "failed")
    return table


def read_architecture(space: SearchSpace, given: object) -> dict[str, Any]:
    """The decisions in a cell of the architecture column: decisions as JSON, as printed by Python or as a parquet
    structure, or a genotype that the space reads.

    What a structure has no value for is a decision that was not asked for; a number or a text stands for the option
    that says the same.
    Decisions that only other architectures of the space are asked for are left out. Raises SpaceError when they are
    none of this space.
    """
    document = _parsed(given) if isinstance(given, str) and given.lstrip().startswith("{") else given
    if isinstance(document, Mapping):
        if isinstance(document.get("decisions"), Mapping):
            document = document["decisions"]
        try:
            return dict(space.trace(document).decisions)
        except SpaceError:
            return _otherwise(space, document)
    return space.from_genotype(given)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise SpaceError(f"not a JSON object of decisions: {error}") from None


def _otherwise(space: SearchSpace, document: Mapping[str, Any]) -> dict[str, Any]:
    """Decisions as tables keep them, or a genotype that is an object; else what is wrong with them as decisions."""
    try:
        return dict(space.trace(_asked_for(space, document)).decisions)
    except SpaceError as error:
        try:
            return dict(space.trace(space.from_genotype(document)).decisions)
        except SpaceError as other:
            notation = type(space).from_genotype is not SearchSpace.from_genotype
            raise (other if notation and not document.keys() & _names(memo_key(space)) else error) from None


def _asked_for(space: SearchSpace, document: Mapping[str, Any]) -> dict[str, Any]:
    """The decisions that are asked for, of a row that may say all that any architecture of the space has."""
    kept = _kept(document)
    chooser = _Equal(kept)
    space.decide(chooser)
    left = kept.keys() - chooser.decisions.keys()
    if left and left - _names(memo_key(space)):
        chooser.check_all_used()
    return dict(chooser.decisions)


class _Equal(ReplayChooser):
    """Takes a value for the option that says the same: 3.0 or "3" for 3, 1 for 1.0, 1 or "True" for true."""

    def draw(self, name: str, domain: Domain) -> Value:
        value = self._given.get(name)
        forms = () if value is None or domain.holds(value) else _forms(value)
        held = next((form for form in forms if domain.holds(form)), None)
        return super().draw(name, domain) if held is None else held


def _forms(value: object) -> Iterator[Value]:
    """A number or a text in other types that say the same."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value.lower())
    if isinstance(value, (int, float)) and isfinite(value):
        numbers = [form(value) for form in (int, float, bool) if form(value) == value]
        yield from numbers
        yield from map(str, [value, *numbers])
        yield json.dumps(value)


@lru_cache(maxsize=16)
def _names(space: SearchSpace | SameSpace) -> frozenset[str]:
    """The names of the decisions that random architectures have."""
    found, rng = space_of(space), random.Random(0)
    return frozenset(name for _ in range(LOOKED) for name in found.sample(rng))


def _kept(document: Mapping[str, Any]) -> dict[str, Any]:
    """The decisions in a column of structures: gaps left out, arrays as lists."""
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in document.items()}
    return {name: value for name, value in plain.items() if value is not None and value == value}


def _numbers(frame: pandas.DataFrame, column: str, name: str) -> list[float]:
    found: list[float] = []
    for number, value in enumerate(frame[column], start=1):
        try:
            found.append(nan if value is None else float(value))
        except (TypeError, ValueError):
            where = f"row {number} of {name} has {value!r:.60} in the column {column!r}"
            raise DataError(f"{where}, which is no number; leave it empty where there is none") from None
    return found


def _averaged(values: Sequence[float], places: Sequence[int], count: int) -> tuple[float, ...]:
    """The mean of what was recorded for each architecture; nan where nothing was."""
    sums, numbers = [0.0] * count, [0] * count
    for value, place in zip(values, places, strict=True):
        if place >= 0 and isfinite(value):
            sums[place] += value
            numbers[place] += 1
    return tuple(total / n if n else nan for total, n in zip(sums, numbers, strict=True))


def _example_shapes(space: SearchSpace, name: str) -> Shapes:
    examples = space.examples()
    if not examples:
        raise SpaceError(f"the space of {name} serves none of its example inputs, so its networks cannot be compared")
    return examples[0]
