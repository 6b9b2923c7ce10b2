"""A latency session tells real differences from noise, and says so when it cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest

from netwright.core.config import Settings
from netwright.core.errors import ConfigurationError, NetwrightError
from netwright.core.files import canonical_json
from netwright.evaluation.latency import LatencyProtocol, measure_latency, paired_speedup

X = np.zeros((1, 4), np.float32)


class SimulatedMachine:
    """A stopwatch that candidates push forward: a drifting, noisy machine whose true costs are known."""

    def __init__(self, *, seed: int, noise: float) -> None:
        self.random = np.random.default_rng(seed)
        self.noise = noise
        self.now = 0.0
        self.spent = 0.0

    def wall_ns(self) -> int:
        return int(self.now)

    def cpu_ns(self) -> int:
        return int(self.spent)

    def candidate(self, cost_ns: float):
        def call(batch: np.ndarray) -> None:
            drift = 1 + 0.3 * np.sin(self.now / 3e8)
            took = cost_ns * drift * (1 + self.noise * abs(self.random.standard_normal()))
            if self.random.random() < 0.02:
                took *= 10  # another process had the core
            self.now += took
            self.spent += cost_ns * (1 + 0.01 * abs(self.random.standard_normal()))

        return call


PROTOCOL = LatencyProtocol(pairs=80, seconds=100, warmup_seconds=0.01, sample_us=0, noisy_above=10)


def _simulated(seed: int, planted: float, *, noise: float = 0.1, protocol: LatencyProtocol = PROTOCOL):
    machine = SimulatedMachine(seed=seed, noise=noise)
    calls = {"a": machine.candidate(1e6), "b": machine.candidate(1e6 * planted)}
    return measure_latency(calls, X, protocol=protocol, reference="a", stopwatch=machine)


def test_equal_candidates_are_hardly_ever_told_apart() -> None:
    claims = sum(bool(_simulated(seed, 1.0)["b"].resolved) for seed in range(100))
    assert claims <= 5


def test_a_ten_percent_cost_is_found() -> None:
    found = [_simulated(seed, 1.1)["b"] for seed in range(40)]
    assert sum(bool(f.resolved and f.speedup < 1) for f in found) >= 38
    assert np.median([f.speedup for f in found]) == pytest.approx(1 / 1.1, rel=0.02)


def test_the_interval_covers_the_truth() -> None:
    found = [_simulated(seed, 1.5)["b"] for seed in range(40)]
    covered = sum(f.speedup_low <= 1 / 1.5 <= f.speedup_high for f in found)
    assert covered >= 34  # nominally 95 %


def test_a_wide_spread_is_noisy_and_has_no_value_but_keeps_the_numbers() -> None:
    protocol = PROTOCOL.model_copy(update={"noisy_above": 0.25})
    found = _simulated(0, 1.0, noise=3.0, protocol=protocol)["b"]
    record = found.to_measurement()
    assert found.noisy
    assert record.value is None
    assert record.reason.startswith("NOISY: the inter-quartile range is ")
    assert record.protocol["median_ms"] > 0
    assert record.protocol["n"] == found.n
    assert found.speedup_text == "NOISY"


def test_a_session_that_cannot_tell_a_model_from_itself_is_noisy() -> None:
    protocol = PROTOCOL.model_copy(update={"pairs": 4})
    found = [_simulated(seed, 1.0, noise=8.0, protocol=protocol)["b"] for seed in range(10)]
    blind = [one for one in found if one.resolution >= 1]
    assert blind
    assert {one.speedup_text for one in blind} == {"NOISY"}
    assert all(one.to_measurement().value is None for one in blind)
    assert all("two runs of the same model differ by up to" in one.reason for one in blind)
    assert not any(one.noisy for one in found if one.resolution < 1)


def test_the_slow_tail_is_told() -> None:
    found = _simulated(0, 1.0, noise=1.0)["b"]
    quantiles = [found.p10_ms, found.median_ms, found.p90_ms, found.p95_ms]
    assert quantiles == sorted(quantiles)
    assert found.p95_ms > found.p90_ms
    assert found.protocol["p95_ms"] == found.p95_ms


def test_screening_reads_cpu_time_so_that_a_neighbour_does_not_matter() -> None:
    screening = LatencyProtocol.screening().model_copy(update={"seconds": 100})
    quiet = _simulated(1, 2.0, noise=0.0, protocol=screening)["b"].to_measurement()
    loud = _simulated(1, 2.0, noise=3.0, protocol=screening)["b"].to_measurement()
    assert quiet.value == pytest.approx(2.0, rel=0.03)
    assert loud.value == pytest.approx(2.0, rel=0.03)
    assert loud.protocol["statistic"] == "cpu"


def test_short_calls_are_repeated_within_a_sample() -> None:
    machine = SimulatedMachine(seed=0, noise=0.0)
    protocol = LatencyProtocol(pairs=20, sample_us=200)
    found = measure_latency({"a": machine.candidate(10_000)}, X, protocol=protocol, stopwatch=machine)["a"]
    assert 10 <= found.protocol["inner_repeats"] <= 30
    assert found.cpu_median_ms == pytest.approx(0.01, rel=0.05)


def test_sampling_time_is_bounded() -> None:
    machine = SimulatedMachine(seed=0, noise=0.0)
    protocol = LatencyProtocol(pairs=1000, seconds=1.0, control=False)
    found = measure_latency({"slow": machine.candidate(1e8)}, X, protocol=protocol, stopwatch=machine)["slow"]
    assert 4 <= found.n <= 16


def test_the_record_says_where_and_how() -> None:
    record = _simulated(0, 1.5)["b"].to_measurement()
    wanted = {"threads", "batch", "statistic", "cpu", "isa", "load_before", "p10_ms", "p90_ms", "p95_ms", "iqr_ms", "n"}
    assert wanted | {"cpu_median_ms", "resolution", "speedup", "inner_repeats"} <= set(record.protocol)
    assert json.loads(canonical_json(record.to_json()))["unit"] == "ms"


def _work(rounds: int):
    matrix = np.ones((96, 96), np.float32)

    def call(batch: np.ndarray) -> None:
        for _ in range(rounds):
            matrix @ matrix

    return call


@pytest.mark.parametrize("protocol", [LatencyProtocol(pairs=60, seconds=1, warmup_seconds=0.2)], ids=["short"])
def test_a_dearer_workload_is_found_on_this_machine(protocol: LatencyProtocol) -> None:
    protocol = protocol.model_copy(update={"statistic": "cpu", "noisy_above": 10.0})
    found = measure_latency(
        {"base": _work(4), "same": _work(4), "dearer": _work(16)}, X, protocol=protocol, reference="base"
    )
    assert found["dearer"].speedup_high < 1
    assert found["dearer"].speedup < found["same"].speedup
    assert found["base"].speedup is None


def test_paired_speedup_of_an_exact_ratio_is_exact() -> None:
    times = np.array([1.0, 3.0, 2.0, 2.0, 5.0, 1.0])
    assert paired_speedup(times, times / 2) == (2.0, 2.0, 2.0)


def test_text_says_when_a_difference_is_below_the_resolution() -> None:
    texts = {_simulated(seed, 1.0)["b"].speedup_text for seed in range(3)}
    assert any(text.startswith("not resolved (below ") for text in texts)
    assert _simulated(0, 0.5)["b"].speedup_text.startswith("2.0")


def test_mistakes_are_one_sentence() -> None:
    with pytest.raises(NetwrightError, match="at least one candidate"):
        measure_latency({}, X, protocol=PROTOCOL)
    with pytest.raises(NetwrightError, match="'c' is not among the candidates: a"):
        measure_latency({"a": _work(1)}, X, protocol=PROTOCOL, reference="c")
    with pytest.raises(ConfigurationError, match="sees only the calling thread"):
        LatencyProtocol.parse({"statistic": "cpu", "threads": 2})
    assert issubclass(LatencyProtocol, Settings)
