"""Small tables of results for tests, and the space whose architectures they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from math import nan
from pathlib import Path
from typing import Any

from netwright.nas.benchmarking.goals import Goals, parse_goals
from netwright.nas.benchmarking.table import BenchmarkTable
from netwright.nas.evidence import key_of
from netwright.search_spaces.chooser import Chooser
from tests.nas.spaces import Only

WORTH = {"x": 0, "y": 1, "z": 3, "w": 2}


class Letters(Only):
    """Four choices of four letters: 256 architectures."""

    def decide(self, choose: Chooser) -> Any:
        return [choose.one_of(f"a{i}", ("x", "y", "z", "w")) for i in range(4)]


def quality(decisions: Mapping[str, str]) -> float:
    """0 for the worst, 12 for the only best, `z` four times."""
    return float(sum(WORTH[letter] for letter in decisions.values()))


def size(decisions: Mapping[str, str]) -> float:
    """What quality costs, a little differently for every letter's place."""
    return float(sum(WORTH[letter] ** 2 * (2 + place) for place, letter in enumerate(decisions.values())))


def all_letters() -> list[dict[str, str]]:
    return [{f"a{i}": letter for i, letter in enumerate(word)} for word in product("xyzw", repeat=4)]


def letters_table(*, without: Sequence[int] = (), unmeasured: Sequence[int] = ()) -> BenchmarkTable:
    """All architectures but some, with quality, half of it after 10 epochs and a size."""
    kept = [decisions for row, decisions in enumerate(all_letters()) if row not in set(without)]
    qualities = [quality(decisions) for decisions in kept]
    for row in unmeasured:
        qualities[row] = nan
    columns = {"quality": qualities, "early": [q / 2 for q in qualities], "size": [size(d) for d in kept]}
    return BenchmarkTable("letters", Letters(), {key_of(d): row for row, d in enumerate(kept)}, columns)


def goals(*objectives: str, fidelities: Sequence[str] = ()) -> Goals:
    return parse_goals(objectives or ("max:quality",), fidelities=fidelities)


def write_letters(path: Path) -> Path:
    """The same table as a file, decisions as JSON."""
    lines = ["arch,quality,early,size,remark"]
    for decisions in all_letters():
        text = json.dumps(decisions).replace('"', '""')
        lines.append(f'"{text}",{quality(decisions)},{quality(decisions) / 2},{size(decisions)},fine')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
