"""How many channels go, as numbers: floors, caps, rounding and ranking hold for any sizes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwright.compression.allocation import Limits, Ranked, allocate, kept, rounding

# A loaded machine draws slowly; how fast is not what is tested.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ranked(name: str, size: int, *, level: float = 1.0, slots: int = 1, start: int = 0, family: str = "") -> Ranked:
    return Ranked(
        name=name,
        order=[list(range(size))] * slots,
        steps=[level * (i + 1) for i in range(size)],
        start=start or size,
        family=family,
    )


@patient
@given(
    size=st.integers(1, 300),
    ratio=st.floats(0.01, 0.99),
    round_to=st.sampled_from([1, 2, 4, 8, 16]),
    floor=st.integers(1, 16),
    cap=st.floats(0.05, 0.99),
)
def test_no_layer_passes_its_limits(size: int, ratio: float, round_to: int, floor: int, cap: float) -> None:
    limits = Limits(round_to, floor, cap)
    left = kept(size, size * (1 - ratio), limits)
    assert min(size, floor) <= left <= size
    assert left >= min(size, size * (1 - cap) - 1e-6)
    assert left == size or left % rounding(size, round_to) == 0


@patient
@given(st.lists(st.integers(2, 64), min_size=1, max_size=6), st.sampled_from(["local", "global", "isomorphic"]))
def test_more_ratio_never_keeps_more(sizes: list[int], scope: str) -> None:
    couplings = [ranked(str(i), size, level=1 + i % 3, family=str(i % 2)) for i, size in enumerate(sizes)]
    counts = [
        sum(map(len, allocate(couplings, ratio=r, scope=scope, limits=Limits(4, 2, 0.9)).values()))
        for r in (0.1, 0.3, 0.5, 0.7, 0.9)
    ]
    assert counts == sorted(counts)


def test_small_layers_are_rounded_finely() -> None:
    assert [rounding(size, 8) for size in (3, 6, 8, 12, 16, 31, 32, 128)] == [1, 1, 2, 2, 4, 4, 8, 8]


def test_global_takes_from_the_unimportant_layer() -> None:
    couplings = [ranked("weak", 32, level=0.01), ranked("strong", 32)]
    gone = allocate(couplings, ratio=0.4, scope="global", limits=Limits(8, 4, 0.9))
    assert gone.keys() == {"weak"}
    assert gone["weak"] == tuple(range(24))


def test_isomorphic_ranks_within_each_family() -> None:
    couplings = [
        ranked("weak", 16, level=0.01, family="a"),
        ranked("strong", 16, level=1, family="a"),
        ranked("other", 32, level=100, family="b"),
    ]
    gone = allocate(couplings, ratio=0.25, scope="isomorphic", limits=Limits(1, 1, 0.9))
    assert {name: len(channels) for name, channels in gone.items()} == {"weak": 8, "other": 8}


def test_every_slot_loses_the_same_number() -> None:
    gone = allocate([ranked("r", 10, slots=3)], ratio=0.5, scope="global", limits=Limits(1, 1, 0.9))
    assert gone["r"] == tuple(slot * 10 + unit for slot in range(3) for unit in range(5))


@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
def test_ratio_counts_from_the_start(scope: str) -> None:
    gone = allocate([ranked("a", 24, start=32)], ratio=0.5, scope=scope, limits=Limits(1, 1, 0.9))
    assert len(gone["a"]) == 8
