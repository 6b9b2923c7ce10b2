"""Our identity against the classes of equal cells that come with NAS-Bench-201's table."""

from __future__ import annotations

import os
import random
import re
from collections import defaultdict
from pathlib import Path

import pytest

from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.space import SearchSpace

OPERATIONS = ("none", "skip", "conv_1x1", "conv_3x3", "average_pool_3x3")
EDGES = {f"e{s}{t}": f"cell/{s}-{t}" for t in (1, 2, 3) for s in range(t)}


def cells(count: int) -> list[tuple[dict[str, object], str]]:
    """Cells without dead edges, where both definitions of equality agree, with the table's class of each."""
    folder = Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[2] / "../shared/data"))
    path = folder / "nas" / "nb201_core.parquet"
    if not path.exists():
        pytest.skip("no NAS-Bench-201 table: set NETWRIGHT_DATA to the folder that holds nas/nb201_core.parquet")
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.read_parquet(path, columns=[*EDGES, "unique_str"])
    rows = [row for row in table.to_dict("records") if "#" not in row["unique_str"]]
    # cells of many skips share classes most often, so look at all of these and at some others
    rows.sort(key=lambda row: -sum(row[edge] == 1 for edge in EDGES))
    chosen = rows[: count // 2] + random.Random(0).sample(rows[count // 2 :], count - count // 2)
    fixed = {"width": 8, "depth": 1}
    return [
        (fixed | {name: OPERATIONS[row[edge]] for edge, name in EDGES.items()}, str(row["unique_str"]))
        for row in chosen
    ]


def in_order(text: str) -> str:
    """A published class with the terms of every sum in order: the table's own depend on how they were nested."""
    terms, depth, start = [], 0, 0
    for index, letter in enumerate(text + "+"):
        depth += (letter == "(") - (letter == ")")
        if letter == "+" and depth == 0:
            terms.append(text[start:index])
            start = index + 1
    inner = [re.fullmatch(r"\((.*)\)@(\w+)", term) for term in terms]
    return "+".join(sorted(f"({in_order(m[1])})@{m[2]}" if m else t for m, t in zip(inner, terms, strict=True)))


def test_identity_refines_the_published_classes():
    """What we call equal, they do; what only they call equal differs in whether a layer is shared."""
    space = build("space", {"kind": "cells", "widths": [8], "depths": [1], "stages": 1})
    assert isinstance(space, SearchSpace)
    ours: dict[str, set[str]] = defaultdict(set)
    theirs: dict[str, set[str]] = defaultdict(set)
    for decisions, published in cells(600):
        name = space.identity(decisions, Shapes((3, 8, 8), 10))
        ours[name].add(in_order(published))
        theirs[in_order(published)].add(name)
    assert len(ours) < 560
    assert {name: classes for name, classes in ours.items() if len(classes) > 1} == {}
    split = [published for published, classes in theirs.items() if len(classes) > 1]
    assert len(split) < 60
    assert all(any(p.count(f"(0)@nor_conv_{k}") > 1 for k in ("1x1", "3x3")) for p in split)
