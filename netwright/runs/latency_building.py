"""Building a device's latency table: sample a space, time its units and some whole networks, fit, tell the errors."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from netwright.core.config import Settings
from netwright.core.errors import ExportError, InterruptedRunError, NetwrightError, ShapeError, SpaceError
from netwright.core.files import canonical_json, content_hash, write_atomic
from netwright.core.plugins import spec_of
from netwright.core.progress import Listener, say, silent
from netwright.core.records import Decisions
from netwright.core.seeds import generator
from netwright.core.shapes import Shapes
from netwright.evaluation.latency import LatencyProtocol
from netwright.evaluation.latency_predictor import LatencyPredictor, corrected
from netwright.evaluation.latency_table import Entry, LatencyTable, NetworkTime, described_machine
from netwright.evaluation.latency_units import Unit, units_of
from netwright.export.timing import time_files
from netwright.export.to_onnx import export_onnx
from netwright.export.unit_files import export_units
from netwright.export.unit_timing import UnitTime, time_units
from netwright.search_spaces.graph import LayerGraph
from netwright.search_spaces.space import SearchSpace

BATCH = 40
BATCH_PARAMS = 8_000_000
"""Units that are exported together: so many, and so many parameters, at most."""
NETWORKS_AT_ONCE = 5
TRIES = 50


class Building(Settings):
    """How a table is built."""

    samples: int = Field(default=200, ge=1, description="networks whose units are collected")
    operations: int = Field(default=300, ge=1, description="units to time at most, the most frequent first")
    networks: int = Field(default=30, ge=0, description="whole networks to time, for the factor; others than these")
    threads: int = Field(default=1, ge=1, description="threads of the runtime")
    seconds: float = Field(default=0.3, gt=0, description="sampling time of each unit; ten times so for a network")
    seed: int = Field(default=0, description="of the sampling")

    @property
    def protocol(self) -> LatencyProtocol:
        """The protocol of all times in the table; on one thread CPU time, which neighbours disturb least."""
        return LatencyProtocol(
            threads=self.threads,
            statistic="cpu" if self.threads == 1 else "wall",
            pairs=60,
            seconds=self.seconds,
            warmup_seconds=self.seconds / 3,
            warmup_windows=3,
            control=False,
            seed=self.seed,
        )


@dataclass
class _Work:
    """What is done so far, kept in a file beside the table so that it can be gone on with."""

    path: Path
    key: str
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls_ms: list[float] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, key: str, listener: Listener) -> _Work:
        """The work stored under a path, if it is of the same table; else a fresh one."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            stored = cls(path, **data)
        except (OSError, ValueError, TypeError):
            return cls(path, key)
        if stored.key != key:
            say(listener, f"{path.name} is of another table (other settings or another machine); it begins anew")
            return cls(path, key)
        say(listener, f"going on with {path.name}: {len(stored.entries)} units, {len(stored.networks)} networks done")
        return stored

    def store(self) -> None:
        parts = ("key", "entries", "failed", "networks", "calls_ms", "again")
        write_atomic(self.path, canonical_json({name: getattr(self, name) for name in parts}))


def build_table(
    space: SearchSpace,
    shapes: Shapes,
    *,
    out: Path,
    building: Building | None = None,
    device: str = "",
    listener: Listener = silent,
) -> LatencyTable:
    """Measure this machine, write the table to `out` and give it back.

    What was measured is stored in `OUT.partial` after every step, and the same call goes on from there.
    Raises SpaceError when the space makes no network for these shapes, ExportError when nothing of it can be timed,
    InterruptedRunError when the user stops it.
    """
    building = building or Building()
    machine = described_machine()
    what: dict[str, Any] = {"space": spec_of(space), "shapes": shapes.to_json()}
    what |= {"machine": machine, "runtime": _runtime()}
    key = content_hash({**what, "building": building})
    work = _Work.open(out.with_name(f"{out.name}.partial"), key, listener)
    try:
        units, counts = _collected(space, shapes, building, listener)
        _time_all(units, counts, building, work, listener)
        networks = _time_networks(space, shapes, building, work, listener)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; {len(work.entries)} units and {len(work.networks)} networks are kept in {work.path.name}, "
            "and the same command goes on from there"
        ) from None
    table = corrected(
        _with_networks(_table(units, work, building, device=device or machine["cpu"], what=what), networks)
    )
    table.write(out)
    work.path.unlink(missing_ok=True)
    return table


def _table(
    units: Sequence[Unit], work: _Work, building: Building, *, device: str, what: Mapping[str, Any]
) -> LatencyTable:
    """What was measured of the units as a table; raises ExportError when nothing was."""
    if not work.entries:
        first = next(iter(work.failed.values()))
        raise ExportError(f"no operation of the space could be timed; the first said: {first}")
    return LatencyTable(
        **what,
        device=device,
        protocol=building.protocol.model_dump(mode="json"),
        samples=building.samples,
        seed=building.seed,
        call_ms=float(np.median(work.calls_ms)) if work.calls_ms else 0.0,
        entries=tuple(Entry.parse(work.entries[unit.key]) for unit in units if unit.key in work.entries),
        failed=tuple({"operation": key, "reason": reason} for key, reason in sorted(work.failed.items())),
    )


def _collected(
    space: SearchSpace, shapes: Shapes, building: Building, listener: Listener
) -> tuple[list[Unit], Counter[str]]:
    """The units of sampled networks, the most frequent first and at most as many as are asked for."""
    counts: Counter[str] = Counter()
    units: dict[str, Unit] = {}
    for _, graph in _sampled(space, shapes, count=building.samples, rng=generator(building.seed, "units")):
        for unit in units_of(graph):
            counts[unit.key] += 1
            units[unit.key] = unit
    kept = [key for key, _ in counts.most_common(building.operations)]
    share = sum(counts[key] for key in kept) / max(counts.total(), 1)
    more = "" if len(kept) == len(units) else f"; the {len(kept)} most frequent are {100 * share:.0f} % of what occurs"
    say(listener, f"{building.samples} networks hold {len(units)} distinct units{more}")
    return [units[key] for key in kept], counts


def _sampled(
    space: SearchSpace, shapes: Shapes, *, count: int, rng: random.Random
) -> Iterator[tuple[Decisions, LayerGraph]]:
    """Networks drawn at random; raises SpaceError when too many draws make none for these shapes."""
    refused, found = 0, 0
    while found < count:
        decisions = space.sample(rng)
        try:
            graph = space.graph(decisions, shapes)
        except ShapeError as error:
            refused += 1
            if refused > TRIES * (found + 1):
                raise SpaceError(f"the space makes no network for inputs of shape {shapes.input}: {error}") from None
            continue
        found += 1
        yield decisions, graph


def _time_all(
    units: Sequence[Unit], counts: Mapping[str, int], building: Building, work: _Work, listener: Listener
) -> None:
    """Time every unit that is not timed yet, and those that came out NOISY once more at the end."""
    for batch in _batches([u for u in units if u.key not in work.entries and u.key not in work.failed]):
        _time_batch(batch, counts, building, work)
        noisy = sum(bool(entry["noisy"]) for entry in work.entries.values())
        done = f"{len(work.entries)} of {len(units)} units timed, {noisy} of them NOISY"
        say(listener, done + (f", {len(work.failed)} could not be" if work.failed else ""))
    again = [u for u in units if u.key in work.entries and work.entries[u.key]["noisy"] and u.key not in work.again]
    for batch in _batches(again):
        _time_batch(batch, counts, building, work)
        work.again += [unit.key for unit in batch]
        work.store()
        noisy = sum(bool(entry["noisy"]) for entry in work.entries.values())
        say(listener, f"once more what was NOISY: {len(again)} units, {noisy} of all are left so")


def _time_batch(batch: Sequence[Unit], counts: Mapping[str, int], building: Building, work: _Work) -> None:
    """Export and time some units; of one that was timed before the quieter answer stays."""
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
        exported = export_units({unit.key: unit for unit in batch}, Path(folder))
        files = {key: path for key, path in exported.items() if isinstance(path, Path)}
        times = time_units(files, protocol=building.protocol) if files else {}
    for unit in batch:
        found = times.get(unit.key, exported[unit.key])
        before = work.entries.get(unit.key)
        if not isinstance(found, UnitTime):
            if before is None:
                work.failed[unit.key] = str(found)
            continue
        if found.call_ms:
            work.calls_ms.append(found.call_ms)
        sessions = found.sessions + (before["sessions"] if before else 0)
        if before is not None and (before["noisy"], before["spread_ms"]) <= (found.noisy, found.spread_ms):
            work.entries[unit.key] = {**before, "sessions": sessions}
            continue
        facts = {name: getattr(found, name) for name in ("latency_ms", "spread_ms", "noisy", "copies")}
        work.entries[unit.key] = {**unit.to_json(), **facts, "sessions": sessions, "seen": counts[unit.key]}
    work.store()


def _batches(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    batch: list[Unit] = []
    params = 0
    for unit in units:
        if batch and (len(batch) >= BATCH or params + unit.params > BATCH_PARAMS):
            yield batch
            batch, params = [], 0
        batch.append(unit)
        params += unit.params
    if batch:
        yield batch


def _time_networks(
    space: SearchSpace, shapes: Shapes, building: Building, work: _Work, listener: Listener
) -> list[dict[str, Any]]:
    """Networks drawn apart from those whose units were collected, so that the errors told are those of a search."""
    rng = generator(building.seed, "networks")
    drawn: dict[str, Decisions] = {}
    for decisions, _ in _sampled(space, shapes, count=2 * building.networks, rng=rng):
        drawn.setdefault(space.identity(decisions, shapes), decisions)
    wanted = dict(list(drawn.items())[: building.networks])
    left = [name for name in wanted if name not in work.networks]
    for start in range(0, len(left), NETWORKS_AT_ONCE):
        group = left[start : start + NETWORKS_AT_ONCE]
        for name, found in _timed({n: wanted[n] for n in group}, space, shapes, building).items():
            work.networks[name] = {**found, "decisions": dict(wanted[name])}
        work.store()
        noisy = sum(bool(found.get("noisy")) for found in work.networks.values())
        say(listener, f"{len(work.networks)} of {len(wanted)} whole networks timed, {noisy} of them NOISY")
    return [work.networks[name] for name in wanted]


def _timed(
    group: Mapping[str, Decisions], space: SearchSpace, shapes: Shapes, building: Building
) -> dict[str, dict[str, Any]]:
    """The latency of a few networks, all interleaved; a reason for one that cannot be exported."""
    example = np.random.default_rng(building.seed).standard_normal((1, *shapes.input)).astype(np.float32)
    protocol = building.protocol.model_copy(update={"seconds": building.seconds * 10})
    found: dict[str, dict[str, Any]] = {}
    files = {}
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
        for name, decisions in group.items():
            path = Path(folder) / f"{name}.onnx"
            try:
                export_onnx(space.build(decisions, shapes), path, example=example)
            except ExportError as error:
                found[name] = {"reason": str(error)}
            else:
                files[name] = path
        times = time_files(files, example, protocol=protocol, sessions=3) if files else {}
    for name, latency in times.items():
        found[name] = {"latency_ms": latency.value_ms, "spread_ms": latency.spread_ms, "noisy": latency.noisy}
    return found


def _with_networks(table: LatencyTable, networks: Sequence[Mapping[str, Any]]) -> LatencyTable:
    """The table with its networks and what it sums up to for each of them."""
    assert table.space is not None
    predictor = LatencyPredictor(table)
    graph_of = _graphs(table)
    rows = []
    for network in networks:
        if "reason" in network:
            continue
        graph = graph_of(network["decisions"])
        found = predictor.predict(graph)
        summed = {"lookup_ms": found.lookup_ms, "extrapolated": found.extrapolated}
        rows.append({**network, **summed, "macs": sum(unit.macs for unit in units_of(graph))})
    return table.model_copy(update={"networks": tuple(NetworkTime.parse(row) for row in rows)})


def _graphs(table: LatencyTable) -> Callable[[Decisions], LayerGraph]:
    """The networks of the table's own space and shapes."""
    space, shapes = space_of(table)
    return lambda decisions: space.graph(decisions, shapes)


def space_of(table: LatencyTable) -> tuple[SearchSpace, Shapes]:
    """The space and the shapes a table was sampled from; raises NetwrightError for an imported one."""
    from netwright.core.plugins import built

    if table.space is None or table.shapes is None:
        raise NetwrightError("this table names no search space; give --space and --input with --classes")
    space = built(SearchSpace, table.space)
    return space, Shapes.from_json(table.shapes)


def _runtime() -> str:
    from importlib.metadata import version

    return f"onnxruntime {version('onnxruntime')}, CPUExecutionProvider"
