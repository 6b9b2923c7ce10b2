"""A device's latency table: how long each unit takes there, and what whole networks took beside their sum."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite, nan
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from netwright.core.config import Settings
from netwright.core.errors import ConfigurationError, Mistake, NetwrightError
from netwright.core.files import canonical_json, write_atomic
from netwright.evaluation.latency_units import Unit, parse_unit
from netwright.evaluation.machine import this_machine

FORMAT: Final = "netwright-latency-table-1"
IN_MS = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "ns": 1e-6, "s": 1e3}
COLUMNS = ("operation", "input_shape", "latency_ms", "unit")


class Entry(Settings):
    """One unit's measured latency. `copies` of it ran in one call, to be longer than the clock's resolution."""

    operations: tuple[dict[str, Any], ...] = Field(description="the operations that follow one another")
    input_shapes: tuple[tuple[int, ...], ...] = Field(description="per-sample shapes of the inputs")
    latency_ms: float = Field(ge=0, description="of one run of the unit")
    spread_ms: float | None = Field(default=None, description="inter-quartile range; none when it is not known")
    noisy: bool = Field(default=False, description="whether the spread was too wide in every session")
    copies: int = Field(default=1, ge=1, description="how often the unit ran in one call")
    sessions: int = Field(default=1, ge=1, description="sessions it took")
    seen: int = Field(default=1, ge=0, description="how often the unit occurred in the sampled networks")

    @property
    def unit(self) -> Unit:
        """The unit itself; raises NetwrightError when no operation is called so."""
        return Unit.from_json({"operations": self.operations, "input_shapes": self.input_shapes})


class NetworkTime(Settings):
    """One whole network: what it was, what it took, and what was predicted of it without having seen it."""

    decisions: dict[str, Any] = Field(description="the architecture")
    lookup_ms: float = Field(gt=0, description="the sum of its look-ups, with the call")
    macs: int = Field(ge=0, description="multiply-accumulates, the baseline for ranking")
    latency_ms: float = Field(gt=0, description="measured")
    spread_ms: float | None = Field(default=None, description="inter-quartile range")
    noisy: bool = Field(default=False, description="whether the spread was too wide in every session")
    extrapolated: int = Field(default=0, ge=0, description="units that are not in the table")
    held_out_ms: float | None = Field(default=None, description="predicted with a factor fitted without it")


class LatencyTable(Settings):
    """Everything that predicts latency on one device."""

    format: Literal["netwright-latency-table-1"] = FORMAT
    device: str = Field(description="a name for people")
    machine: dict[str, Any] = Field(description="processor, architecture, cores and instruction sets")
    runtime: str = Field(description="what ran the networks, with its version")
    unit: Literal["ms"] = "ms"
    protocol: dict[str, Any] = Field(description="how was measured")
    space: dict[str, Any] | None = Field(default=None, description="the search space that was sampled")
    shapes: dict[str, Any] | None = Field(default=None, description="input and output of the networks")
    samples: int = Field(default=0, ge=0, description="networks that were sampled for their units")
    seed: int = Field(default=0, description="of the sampling")
    call_ms: float = Field(default=0.0, ge=0, description="a call of a network that does nothing")
    entries: tuple[Entry, ...] = Field(default=(), description="the look-up table")
    failed: tuple[dict[str, str], ...] = Field(default=(), description="units that could not be measured, and why")
    networks: tuple[NetworkTime, ...] = Field(default=(), description="whole networks")
    factor: float | None = Field(
        default=None,
        gt=0,
        description="of the sum of the look-ups, from whole networks; none: the sum is the prediction",
    )
    accuracy: dict[str, Any] = Field(default_factory=dict, description="errors on networks that were held out")

    @property
    def of_this_machine(self) -> bool:
        """Whether the table was measured on a machine like this one."""
        return self.machine == described_machine()

    def write(self, path: Path) -> None:
        """Store the table as JSON, whole or not at all."""
        write_atomic(path, json.dumps(json.loads(canonical_json(self)), indent=1) + "\n")


def described_machine() -> dict[str, Any]:
    """This machine as tables name it."""
    machine = this_machine()
    return {
        "cpu": machine.cpu,
        "architecture": machine.architecture,
        "cpus": machine.cpus,
        "isa": list(machine.isa),
    }


def read_table(path: Path) -> LatencyTable:
    """The table in a file; raises NetwrightError that says what is wrong with it."""
    return _read(Path(path).absolute(), stamp_of(path))


def stamp_of(path: Path) -> tuple[int, int]:
    """What changes when a table's file does; raises NetwrightError when there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        raise NetwrightError(
            f"there is no latency table {path}; make one with `netwright latency build SPACE --out {path.name}`"
        ) from None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _read(path: Path, stamp: tuple[int, int]) -> LatencyTable:
    del stamp  # a file that changed is read again
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NetwrightError(f"{path.name} is not a latency table: {error}") from None
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise NetwrightError(
            f"{path.name} is not a latency table: expected JSON with format {FORMAT!r}, as `netwright latency build` "
            "writes it"
        )
    return LatencyTable.parse(data, source=path.name)


def read_csv(path: Path, *, device: str) -> LatencyTable:
    """A table from a csv with the columns operation, input_shape, latency_ms and unit (ms where it is left out).

    Raises ConfigurationError that lists every line it cannot read; see `latency_units.parse_unit` for the texts.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NetwrightError(f"{path} cannot be read: {error}") from None
    rows = csv.DictReader(text.splitlines())
    missing = set(COLUMNS[:3]) - set(rows.fieldnames or ())
    if missing:
        raise NetwrightError(f"{path.name} lacks the column(s) {', '.join(sorted(missing))}; it needs {COLUMNS}")
    entries: dict[str, Entry] = {}
    mistakes = []
    for row in rows:
        try:
            unit, entry = _entry_of(row)
        except (NetwrightError, ValueError) as error:
            mistakes.append(Mistake(f"line {rows.line_num}", str(error)))
            continue
        entries[unit.key] = entry
    if mistakes:
        raise ConfigurationError(mistakes, source=path.name)
    if not entries:
        raise NetwrightError(f"{path.name} has no line with an operation")
    return LatencyTable(
        device=device,
        machine={"imported": path.name},
        runtime="as imported",
        protocol={"imported": path.name},
        entries=tuple(entries.values()),
    )


def _entry_of(row: Mapping[str, str | None]) -> tuple[Unit, Entry]:
    factor = (row.get("unit") or "ms").strip()
    if factor not in IN_MS:
        raise NetwrightError(f"the unit is {factor!r}; expected one of {', '.join(IN_MS)}")
    try:
        value = float(row["latency_ms"] or "") * IN_MS[factor]
    except ValueError:
        value = nan
    if not isfinite(value) or value < 0:
        raise NetwrightError(f"the latency is {row['latency_ms']!r}; expected a number of at least 0")
    unit = parse_unit(row["operation"] or "", row["input_shape"] or "")
    return unit, Entry.parse({**unit.to_json(), "latency_ms": value})
