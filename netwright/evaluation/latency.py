"""How long inference takes, measured so that the answer can be trusted: side by side, with its resolution.

One session measures all candidates together. After a warm-up, blocks follow one another; in a block every
candidate runs once in random order and once more in the reverse order (ABBA), so slow drifts of the machine
fall on all of them alike. The reference runs under a second name too: the difference between the two is
nothing but noise, and is the session's resolution. A speed-up smaller than that is not resolved.

A spread too wide for the median to mean something gives the verdict NOISY: no number, only the raw samples.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from netwright.core.config import Settings
from netwright.core.errors import NetwrightError
from netwright.core.records import Measurement
from netwright.evaluation.machine import load_average, this_machine
from netwright.evaluation.stopwatch import Stopwatch, SystemStopwatch

Candidate = Callable[[np.ndarray], object]
BLIND = 1.0
"""The resolution from which a session's latencies are NOISY whatever their spread: a model against itself, twofold."""
_CONTROL = "\0control"  # the reference's second name; no user's name can contain it


class LatencyProtocol(Settings):
    """How a latency is measured. The same protocol on another machine is another measurement."""

    threads: int = Field(default=1, ge=1, description="threads the sessions were made with (recorded, not set)")
    batch: int = Field(default=1, ge=1, description="samples per call")
    statistic: Literal["wall", "cpu"] = Field(
        default="wall", description="what the value is the median of: wall time, or the calling thread's CPU time"
    )
    pairs: int = Field(default=200, ge=2, description="samples per candidate to aim for")
    seconds: float = Field(default=3.0, gt=0, description="sampling time per candidate at most")
    warmup_seconds: float = Field(default=1.0, ge=0, description="warm-up per candidate at most")
    warmup_windows: int = Field(default=10, ge=1, description="windows of five calls that must agree within 5 %")
    sample_us: float = Field(default=200.0, ge=0, description="short calls are repeated to fill one sample")
    noisy_above: float = Field(default=0.25, gt=0, description="inter-quartile range / median that is NOISY")
    control: bool = Field(default=True, description="measure the reference twice to know the resolution")
    seed: int = Field(default=0, description="of the order in the blocks and of the bootstrap")

    @model_validator(mode="after")
    def _cpu_time_sees_one_thread(self) -> Self:
        if self.statistic == "cpu" and self.threads > 1:
            raise ValueError(
                f"statistic 'cpu' sees only the calling thread, came threads={self.threads}; use 'wall' or threads=1"
            )
        return self

    @classmethod
    def full(cls, *, threads: int = 1, batch: int = 1) -> Self:
        """For final tables: a few seconds per model. Raises ConfigurationError for less than one thread or sample."""
        return cls.parse({"threads": threads, "batch": batch})

    @classmethod
    def screening(cls, *, batch: int = 1) -> Self:
        """For trials during a search: about a tenth of a second per model.

        The value is the median CPU time of the calling thread, because a neighbour that shares the machine
        stretches wall time far more. No control: trials are compared across sessions.
        """
        return cls(
            batch=batch,
            statistic="cpu",
            pairs=30,
            seconds=0.15,
            warmup_seconds=0.05,
            warmup_windows=2,
            noisy_above=0.6,
            control=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One candidate's latency per call in milliseconds, and its paired speed-up over the reference.

    `speedup` is above 1 when the candidate is faster; `speedup_low` and `speedup_high` bound it with 95 %
    confidence. `resolution` is the relative difference that the session could not tell from none.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    p95_ms: float
    iqr_ms: float
    cpu_median_ms: float
    cpu_iqr_ms: float
    n: int
    noisy: bool
    reason: str
    protocol: Mapping[str, Any]
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    resolution: float | None = None

    @property
    def value_ms(self) -> float:
        """The median of the protocol's statistic, NOISY or not."""
        return self.cpu_median_ms if self.protocol["statistic"] == "cpu" else self.median_ms

    @property
    def spread_ms(self) -> float:
        """The inter-quartile range of the protocol's statistic."""
        return self.cpu_iqr_ms if self.protocol["statistic"] == "cpu" else self.iqr_ms

    @property
    def resolved(self) -> bool | None:
        """Whether the speed-up stands out of the noise; None when there is none or no control."""
        if self.speedup is None or self.resolution is None:
            return None
        assert self.speedup_low is not None
        assert self.speedup_high is not None
        excludes_one = self.speedup_low > 1 or self.speedup_high < 1
        return not self.noisy and excludes_one and abs(self.speedup - 1) > self.resolution

    @property
    def speedup_text(self) -> str:
        """The speed-up for a table: `1.52x (1.48 to 1.56)`, `not resolved (below 3.1 %)`, `NOISY` or empty."""
        if self.speedup is None:
            return ""
        if self.noisy:
            return "NOISY"
        if self.resolved is False:
            return f"not resolved (below {100 * (self.resolution or 0):.1f} %)"
        return f"{self.speedup:.2f}x ({self.speedup_low:.2f} to {self.speedup_high:.2f})"

    def to_measurement(self) -> Measurement:
        """The latency as it is recorded: no value when NOISY, the raw numbers always in the protocol."""
        return Measurement(
            metric="latency_ms",
            value=None if self.noisy else self.value_ms,
            unit="ms",
            protocol=self.protocol,
            spread=self.spread_ms,
            reason=self.reason,
        )


def measure_latency(
    candidates: Mapping[str, Candidate],
    example: np.ndarray,
    *,
    protocol: LatencyProtocol,
    reference: str | None = None,
    stopwatch: Stopwatch | None = None,
) -> dict[str, Latency]:
    """The latency of each candidate on `example`, measured in one interleaved session.

    `example` is [batch, *shape] and is cut or repeated to the protocol's batch. Candidates are plain callables,
    such as an exported model's session; they must have been made with the protocol's number of threads.
    Raises NetwrightError when there is nothing to measure or the reference is not among the candidates.
    """
    if not candidates or len(example) == 0:
        raise NetwrightError("latency needs at least one candidate and an example with at least one sample")
    if reference is not None and reference not in candidates:
        raise NetwrightError(f"the reference {reference!r} is not among the candidates: {', '.join(candidates)}")
    watch = stopwatch or SystemStopwatch()
    batch = np.ascontiguousarray(np.resize(example, (protocol.batch, *example.shape[1:])))
    calls = dict(candidates)
    if protocol.control:
        calls[_CONTROL] = candidates[reference or next(iter(candidates))]
    load_before = load_average()
    with _no_collection():
        repeats = {name: _warm_up(call, batch, protocol=protocol, watch=watch) for name, call in calls.items()}
        wall, cpu = _sample(calls, batch, protocol=protocol, repeats=repeats, watch=watch)
    session = {**protocol.model_dump(), "load_before": load_before, "load_after": load_average()}
    return _summaries(wall, cpu, protocol=protocol, reference=reference, session=session, repeats=repeats)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python's garbage collector from running inside a sample."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _warm_up(call: Candidate, batch: np.ndarray, *, protocol: LatencyProtocol, watch: Stopwatch) -> int:
    """Calls until the last windows' medians agree within 5 %; gives the calls that make one sample."""
    deadline = watch.wall_ns() + int(protocol.warmup_seconds * 1e9)
    medians: list[float] = []
    while True:
        times = []
        for _ in range(5):
            start = watch.wall_ns()
            call(batch)
            times.append(watch.wall_ns() - start)
        medians.append(float(np.median(times)))
        last = medians[-protocol.warmup_windows :]
        steady = len(last) == protocol.warmup_windows and max(last) <= 1.05 * min(last)
        if steady or watch.wall_ns() >= deadline:
            break
    typical_us = max(float(np.median(medians[-3:])) / 1000, 0.01)
    return int(np.clip(np.ceil(protocol.sample_us / typical_us), 1, 10_000))


def _sample(
    calls: Mapping[str, Candidate],
    batch: np.ndarray,
    *,
    protocol: LatencyProtocol,
    repeats: Mapping[str, int],
    watch: Stopwatch,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Wall and CPU milliseconds per call, [samples] per candidate; samples 2k and 2k+1 are of block k."""
    order = random.Random(protocol.seed)
    names = list(calls)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    deadline = watch.wall_ns() + int(protocol.seconds * len(names) * 1e9)
    for block in range((protocol.pairs + 1) // 2):
        if block >= 2 and watch.wall_ns() >= deadline:
            break
        order.shuffle(names)
        for name in (*names, *reversed(names)):
            call, count = calls[name], repeats[name]
            cpu_start, wall_start = watch.cpu_ns(), watch.wall_ns()
            for _ in range(count):
                call(batch)
            wall_end, cpu_end = watch.wall_ns(), watch.cpu_ns()
            wall[name].append((wall_end - wall_start) / count / 1e6)
            cpu[name].append((cpu_end - cpu_start) / count / 1e6)
    return {n: np.array(v) for n, v in wall.items()}, {n: np.array(v) for n, v in cpu.items()}


def _summaries(
    wall: Mapping[str, np.ndarray],
    cpu: Mapping[str, np.ndarray],
    *,
    protocol: LatencyProtocol,
    reference: str | None,
    session: Mapping[str, Any],
    repeats: Mapping[str, int],
) -> dict[str, Latency]:
    chosen = cpu if protocol.statistic == "cpu" else wall
    base = reference or next(iter(wall))
    resolution = None
    if protocol.control:
        _, low, high = paired_speedup(chosen[base], chosen[_CONTROL], seed=protocol.seed)
        resolution = max(abs(low - 1), abs(high - 1))
    found = {}
    for name in wall:
        if name == _CONTROL:
            continue
        speedup = None
        if reference is not None and name != reference:
            speedup = paired_speedup(chosen[reference], chosen[name], seed=protocol.seed)
        facts = {**session, "inner_repeats": repeats[name], "reference": reference, "resolution": resolution}
        found[name] = _summary(wall[name], cpu[name], protocol=protocol, facts=facts, speedup=speedup)
    return found


def _summary(
    wall: np.ndarray,
    cpu: np.ndarray,
    *,
    protocol: LatencyProtocol,
    facts: Mapping[str, Any],
    speedup: tuple[float, float, float] | None,
) -> Latency:
    p10, p25, median, p75, p90, p95 = (float(q) for q in np.quantile(wall, (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)))
    c25, cpu_median, c75 = (float(q) for q in np.quantile(cpu, (0.25, 0.5, 0.75)))
    centre, spread = (cpu_median, c75 - c25) if protocol.statistic == "cpu" else (median, p75 - p25)
    machine = this_machine()
    ratio, low, high = speedup or (None, None, None)
    reason = _noise(spread, centre, protocol) or _no_control(facts["resolution"])
    latency = Latency(
        median_ms=median,
        p10_ms=p10,
        p90_ms=p90,
        p95_ms=p95,
        iqr_ms=p75 - p25,
        cpu_median_ms=cpu_median,
        cpu_iqr_ms=c75 - c25,
        n=len(wall),
        noisy=bool(reason),
        reason=reason,
        speedup=ratio,
        speedup_low=low,
        speedup_high=high,
        resolution=facts["resolution"],
        protocol={"cpu": machine.cpu, "isa": list(machine.isa), "cpus": machine.cpus, **facts},
    )
    numbers = {f.name: getattr(latency, f.name) for f in fields(latency) if f.name not in {"protocol", "reason"}}
    return replace(latency, protocol={**latency.protocol, **numbers})


def _noise(spread: float, centre: float, protocol: LatencyProtocol) -> str:
    """Why the median is no result; empty when it is one."""
    if spread <= protocol.noisy_above * centre:
        return ""
    share = 100 * spread / max(centre, 1e-12)
    return (
        f"NOISY: the inter-quartile range is {share:.0f} % of the median {protocol.statistic} time "
        f"(at most {100 * protocol.noisy_above:.0f} %); measure on a quieter machine"
    )


def _no_control(resolution: float | None) -> str:
    """Why a session tells nothing in which one model was up to twice as fast as itself; empty when it tells."""
    if resolution is None or resolution < BLIND:
        return ""
    return f"NOISY: two runs of the same model differ by up to {100 * resolution:.0f} %; measure on a quieter machine"


def paired_speedup(
    reference: np.ndarray, candidate: np.ndarray, *, seed: int = 0, resamples: int = 2000
) -> tuple[float, float, float]:
    """Median over ABBA blocks of reference time / candidate time, and its 95 % bootstrap interval.

    Both are [samples] with samples 2k and 2k+1 of the same block k (Efron's percentile bootstrap).
    """
    blocks = len(reference) // 2
    before = reference[: 2 * blocks].reshape(blocks, 2).sum(axis=1)
    after = candidate[: 2 * blocks].reshape(blocks, 2).sum(axis=1)
    ratios = before / np.maximum(after, 1e-12)
    picks = np.random.default_rng(seed).integers(0, blocks, size=(resamples, blocks))
    medians = np.median(ratios[picks], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)
