"""Tables that hold a few of a space's architectures, lack values, or are met by a search that finds nothing."""

from __future__ import annotations

import json
import random
from math import nan
from pathlib import Path
from typing import Any

import pandas
import pytest

from netwright.core.errors import DataError, SpaceError
from netwright.nas.benchmarking.peer import make_peer
from netwright.nas.benchmarking.scoring import Scale, curve_rows, summary
from netwright.nas.benchmarking.searching import TableSearch, search_table, search_with_peer
from netwright.nas.benchmarking.table import BenchmarkTable, make_table, read_architecture, read_frame
from netwright.nas.evidence import key_of
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.space import SearchSpace
from tests.nas.searching import strategy
from tests.nas.spaces import Mixed, Only
from tests.nas.tables import Letters, all_letters, goals, letters_table


def made(frame: pandas.DataFrame, space: SearchSpace) -> BenchmarkTable:
    return make_table(frame, name="mine", space=space, architecture="arch", values=["quality"])


class Exact(Only):
    """One number and one letter."""

    def decide(self, choose: Chooser) -> Any:
        return choose.real("dropout", 0.0, 1.0), choose.one_of("letter", ("x", "y"))


def drawn_frame(count: int) -> pandas.DataFrame:
    """Random architectures of real numbers, drawn as a user would; the best has dropout 0.5 and y."""
    space, rng = Exact(), random.Random(0)
    made = [space.sample(rng) for _ in range(count)]
    quality = [(d["letter"] == "y") - abs(float(str(d["dropout"])) - 0.5) for d in made]
    return pandas.DataFrame({"arch": [json.dumps(d) for d in made], "quality": quality})


def test_of_real_numbers_the_nearest_row_answers_and_is_what_the_strategy_sees() -> None:
    table = made(drawn_frame(120), Exact())
    assert table.absent == "nearest"
    scale = Scale(table, goals())
    chance, climbed = (
        [search_table(strategy(name), table, goals(), budget=30, seed=seed) for seed in range(6)]
        for name in ("random_search", "local_search")
    )
    assert all(
        found.repeats == 0 and len(found.paid) == 30 and found.ended == "budget" for found in [*chance, *climbed]
    )
    regret = {len(f): summary("any", f, scale, budget=30)["regret_mean"] for f in (chance, climbed[:5])}
    assert regret[5] < regret[6]


def test_all_rows_of_a_sparse_table_are_found_before_a_search_is_at_its_end() -> None:
    found = search_table(strategy("random_search"), made(drawn_frame(25), Exact()), goals(), budget=40, seed=0)
    assert {paid.row for paid in found.paid} == set(range(25))
    assert found.ended == "exhausted"


def test_a_peer_on_a_sparse_table_is_told_the_nearest_row() -> None:
    peer = make_peer("optuna", "random", settings={}, space=Exact(), objectives=goals().objectives, seed=0)
    found = search_with_peer(peer, made(drawn_frame(50), Exact()), goals(), budget=10, cache=False)
    assert (len(found.paid), found.absent) == (10, 10)


def test_where_most_architectures_have_a_row_the_others_fail() -> None:
    frame = pandas.DataFrame({"arch": [json.dumps(d) for d in all_letters()[:60]], "quality": range(60)})
    assert made(frame, Letters()).absent == "failed"


def test_rows_that_lack_a_value_are_neither_the_optimum_nor_the_reference() -> None:
    """No search can pay for them."""
    columns = {"quality": [1.0, 5.0, 3.0, 2.0], "size": [1.0, nan, 2.0, 3.0]}
    keys = {key_of(decisions): row for row, decisions in enumerate(all_letters()[:4])}
    scale = Scale(BenchmarkTable("mine", Letters(), keys, columns), goals("max:quality", "min:size"))
    assert (scale.optimum, scale.reference) == (3.0, (1.0, 3.0))
    empty = BenchmarkTable("mine", Letters(), keys, {**columns, "size": [nan] * 4})
    other = Scale(empty, goals("max:size", "min:quality"))
    with pytest.raises(DataError, match="'size' of mine holds no value"):
        _ = other.optimum


def test_a_search_that_finds_nothing_has_no_hypervolume() -> None:
    scale = Scale(letters_table(), goals("max:quality", "min:size"))
    nothing = TableSearch((), 5, 0.1, 0, 5, "absent")
    row = summary("lost", [nothing], scale, budget=10)
    assert (row["best_mean"], row["hypervolume_mean"]) == (None, 0.0)
    json.dumps([row, curve_rows({"lost": [nothing]}, scale, budget=10)], allow_nan=False)


@pytest.mark.parametrize("how", ["struct", "printed", "json with points"])
def test_decisions_are_read_as_tables_keep_them(how: str, tmp_path: Path) -> None:
    """A parquet structure has all names in all rows, arrays for lists, and floats where a number is missing."""
    space, rng = Mixed(), random.Random(5)
    drawn = [space.sample(rng) for _ in range(12)]
    cells: dict[str, list[Any]] = {
        "struct": drawn,
        "printed": [repr(d) for d in drawn],
        "json with points": [json.dumps({n: float(v) if type(v) is int else v for n, v in d.items()}) for d in drawn],
    }
    pandas.DataFrame({"arch": cells[how], "quality": range(12)}).to_parquet(tmp_path / "t.parquet")
    table = made(read_frame(tmp_path / "t.parquet"), space)
    assert table.skipped == 0
    assert set(table.rows) == {key_of(decisions) for decisions in drawn}


class Rates(Only):
    """Options that are numbers of every kind, one of them only for two layers."""

    def decide(self, choose: Chooser) -> Any:
        count = choose.one_of("count", (1, 2))
        return [choose.one_of(f"rate{i}", (0.5, 1.0)) for i in range(count)], choose.one_of("flag", (False, True))


@pytest.mark.parametrize(
    "written",
    [
        {"count": 1, "rate0": 1.0, "flag": True},
        {"count": 1, "rate0": 1, "flag": 1},
        {"count": 1.0, "rate0": 1.0, "flag": 1.0, "rate1": None},
        {"count": 1, "rate0": 1.0, "flag": True, "rate1": 0.5},
    ],
)
def test_a_number_in_a_table_stands_for_the_option_that_is_equal_to_it(written: dict[str, Any]) -> None:
    found = read_architecture(Rates(), written)
    assert found == {"count": 1, "rate0": 1.0, "flag": True}
    assert [type(value) for value in found.values()] == [int, float, bool]


def test_a_number_that_no_option_is_equal_to_is_refused() -> None:
    with pytest.raises(SpaceError, match="rate0"):
        read_architecture(Rates(), {"count": 1, "rate0": 2, "flag": True})
    with pytest.raises(SpaceError, match="never asks for 'rate9'"):
        read_architecture(Rates(), {"count": 1, "rate0": 1, "flag": 1, "rate9": 1})
