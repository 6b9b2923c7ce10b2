"""A table is read from a file whatever its architectures are written in, and its numbers are judged rightly."""

from __future__ import annotations

import json
import random
import sys
from math import isnan
from pathlib import Path
from typing import Any

import pandas
import pytest

from netwright.core.errors import ConfigurationError, DataError, MissingPackageError, SpaceError, UnknownNameError
from netwright.core.plugins import build
from netwright.nas.benchmarking.goals import parse_goals
from netwright.nas.benchmarking.named_tables import named_table, table_names
from netwright.nas.benchmarking.scoring import Scale, course, curve_rows, summary
from netwright.nas.benchmarking.searching import Paid, TableSearch
from netwright.nas.benchmarking.table import BenchmarkTable, make_table, read_architecture, read_frame
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.space import SearchSpace
from tests.nas.spaces import Only
from tests.nas.tables import Letters, all_letters, goals, letters_table, quality, write_letters

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


def paying(*rows: int) -> TableSearch:
    """A search that paid for these rows."""
    return TableSearch(tuple(Paid(row, 0) for row in rows), len(rows), 0.1, 0, 0, "budget")


def made(frame: pandas.DataFrame, space: SearchSpace | None = None) -> BenchmarkTable:
    return make_table(frame, name="mine", space=space or Letters(), architecture="arch", values=["quality"])


def test_decisions_as_json_in_a_csv_file(tmp_path: Path) -> None:
    frame = read_frame(write_letters(tmp_path / "letters.csv"))
    table = made(frame)
    assert (len(table), table.skipped) == (256, 0)
    for decisions in all_letters()[::37]:
        row = table.row(decisions)
        assert row is not None
        assert table.value(row, "quality") == quality(decisions)


def test_published_genotypes_in_a_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    space = build("space", "nasbench201")
    assert isinstance(space, SearchSpace)
    pandas.DataFrame({"arch": [CELL], "quality": [90.5]}).to_parquet(tmp_path / "cells.parquet")
    table = made(read_frame(tmp_path / "cells.parquet"), space)
    assert table.row(space.from_genotype(CELL)) == 0


def test_genotypes_that_are_json_objects() -> None:
    space = build("space", "nasbench101")
    assert isinstance(space, SearchSpace)
    cell = {"matrix": [[0, 1, 1], [0, 0, 1], [0, 0, 0]], "ops": ["input", "conv3x3-bn-relu", "output"]}
    table = made(pandas.DataFrame({"arch": [json.dumps(cell)], "quality": [0.9]}), space)
    assert table.row(space.from_genotype(cell)) == 0


def test_what_is_wrong_with_a_genotype_that_is_an_object_is_said_of_the_genotype() -> None:
    space = build("space", "nasbench101")
    assert isinstance(space, SearchSpace)
    cell = {"matrix": [[0, 1, 1], [0, 0, 1], [0, 0, 0]], "ops": ["input", "conv9x9", "output"]}
    with pytest.raises(DataError, match="conv9x9"):
        made(pandas.DataFrame({"arch": [json.dumps(cell)], "quality": [0.9]}), space)


def test_rows_of_one_architecture_are_averaged_and_rows_of_none_are_counted() -> None:
    first = json.dumps(all_letters()[0])
    frame = pandas.DataFrame({"arch": [first, first, '{"a0": "q"}', "{", first], "quality": [1.0, 2.0, 9.0, 9.0, None]})
    table = made(frame)
    assert (len(table), table.skipped, table.averaged) == (1, 2, 2)
    assert table.skipped_why.startswith("row 3: ")
    assert table.value(0, "quality") == 1.5


def test_decisions_that_only_other_architectures_have_are_left_out() -> None:
    class Deep(Only):
        def decide(self, choose: Chooser) -> Any:
            return [choose.one_of(f"layer{i}", ("x", "y")) for i in range(choose.integer("depth", 1, 3))]

    row = {"depth": 1, "layer0": "y", "layer1": "x", "layer2": None}
    assert read_architecture(Deep(), json.dumps(row)) == {"depth": 1, "layer0": "y"}
    with pytest.raises(SpaceError, match="never asks for 'layer1', 'layr2'"):
        read_architecture(Deep(), json.dumps({"depth": 1, "layer0": "y", "layer1": "x", "layr2": "x"}))
    with pytest.raises(SpaceError, match="'layer0' is missing"):
        read_architecture(Deep(), json.dumps({"depth": 1, "layer1": "x"}))


def test_a_value_stands_for_the_option_that_says_the_same() -> None:
    class Mixed(Only):
        def decide(self, choose: Chooser) -> Any:
            return [
                choose.boolean("skip"),
                choose.one_of("kernel", ("3", "5")),
                choose.one_of("rate", (0.5, 1.0)),
                choose.integer("depth", 1, 4),
                choose.one_of("both", (1, "1")),
            ]

    asked = {"skip": True, "kernel": "3", "rate": 1.0, "depth": 2, "both": "1"}
    others: list[dict[str, Any]] = [
        {"skip": 1, "kernel": 3, "rate": 1, "depth": 2.0},
        {"skip": "True", "kernel": 3.0, "rate": "1", "depth": "2"},
        {"skip": "true", "kernel": "3", "rate": "1.0", "depth": "2.0"},
    ]
    for other in others:
        assert read_architecture(Mixed(), json.dumps({**asked, **other})) == asked
    with pytest.raises(SpaceError, match=r"'depth' is '2\.5'"):
        read_architecture(Mixed(), json.dumps({**asked, "depth": "2.5"}))


@pytest.mark.parametrize(("suffix", "sign"), [(".csv", ";"), (".tsv", "\t")])
def test_columns_may_be_parted_by_semicolons_and_tabs(tmp_path: Path, suffix: str, sign: str) -> None:
    frame = pandas.DataFrame({"arch": [json.dumps(all_letters()[0])], "quality": [1.5]})
    frame.to_csv(tmp_path / f"mine{suffix}", sep=sign, index=False)
    assert made(read_frame(tmp_path / f"mine{suffix}")).value(0, "quality") == 1.5


def test_a_value_that_was_not_recorded_is_none() -> None:
    table = letters_table(unmeasured=[4])
    assert table.value(4, "quality") is None
    assert isnan(table.columns["quality"][4])
    assert len(table.known("quality")) == 255


@pytest.mark.parametrize(
    ("frame", "error", "says"),
    [
        ({"arch": ["{}"], "qualty": [1.0]}, UnknownNameError, "did you mean 'qualty'"),
        ({"arhc": ["{}"], "quality": [1.0]}, UnknownNameError, "no column of mine is called 'arch'"),
        ({"arch": ["{}"], "quality": [1.0]}, DataError, "no row of mine is an architecture of the space; row 1: "),
        ({"arch": [], "quality": []}, DataError, "the table is empty"),
        (
            {"arch": [json.dumps(all_letters()[0])], "quality": ["good"]},
            DataError,
            "row 1 of mine has 'good' in the column",
        ),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    frame: dict[str, list[object]], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        made(pandas.DataFrame(frame))


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no table"):
        read_frame(tmp_path / "absent.csv")
    (tmp_path / "mine.json").write_text("[]")
    with pytest.raises(DataError, match=r"neither \.csv nor \.parquet"):
        read_frame(tmp_path / "mine.json")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_frame(tmp_path / "empty.csv")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_frame(tmp_path / "bad.parquet")


def test_goals_are_read_from_texts() -> None:
    found = parse_goals(["max:acc", "min:lat"], reported=["max:test"], fidelities=["acc@200", "acc12@12", "acc4@4"])
    assert [(o.metric, o.direction) for o in found.objectives] == [("acc", "maximize"), ("lat", "minimize")]
    assert [o.metric for o in found.reported] == ["test", "lat"]
    assert [(f.column, f.epochs) for f in found.fidelities] == [("acc4", 4), ("acc12", 12)]
    assert found.epochs == 200


@pytest.mark.parametrize(
    ("objectives", "more", "says"),
    [
        ([], {}, "--objective: is missing"),
        (["acc"], {}, "expected max:COLUMN or min:COLUMN, .* came 'acc'"),
        (["most:acc"], {}, "came 'most:acc'"),
        (["max:acc", "min:acc"], {}, "names a column twice"),
        (["max:acc"], {"fidelities": ["acc12"]}, "expected COLUMN@EPOCHS"),
        (["max:acc"], {"fidelities": ["acc@12", "early@20"]}, "early is not shorter"),
        (["max:acc"], {"reported": ["max:a", "max:b"]}, "2 columns for 1 objectives"),
        (["max:acc", "min:size>=3"], {}, "the bound of min:size is written <="),
        (["max:acc", "min:size<=big"], {}, "the bound of size is no number"),
        (["max:acc", "min:size"], {"known": ["params"]}, "none of the objectives"),
    ],
)
def test_goals_that_make_no_sense_are_refused(objectives: list[str], more: dict[str, list[str]], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_goals(objectives, **more)


def test_regret_is_counted_from_the_best_row() -> None:
    table = letters_table()
    scale = Scale(table, goals())
    ends = [table.columns["quality"].index(value) for value in (3.0, 12.0)]
    row = summary("mine", [paying(ends[0]), paying(*ends)], scale, budget=2)
    assert (scale.optimum, row["best_mean"], row["regret_mean"]) == (12.0, 7.5, 4.5)
    assert row["best_std"] == pytest.approx(9 / 2**0.5)
    assert (row["paid"], row["repeats_paid"], row["optimum_share"]) == (1.5, 0, 0.5)
    assert row["paid_to_optimum_mean"] == 2
    assert row["hypervolume_mean"] is None
    assert row["hypervolume_std"] is None


def test_a_smaller_is_better_objective_has_regret_too() -> None:
    table = letters_table()
    scale = Scale(table, goals("min:size"))
    biggest = table.columns["size"].index(max(table.columns["size"]))
    assert scale.optimum == 0.0
    assert summary("mine", [paying(biggest)], scale, budget=1)["regret_mean"] == max(table.columns["size"])


def test_the_choice_is_made_by_the_objective_and_judged_by_the_report() -> None:
    table = BenchmarkTable("mine", Letters(), letters_table().rows, {"valid": [1, 3, 2, 0], "test": [7, 5, 9, 8]})
    scale = Scale(table, parse_goals(["max:valid"], reported=["max:test"]))
    best = course(paying(3, 0, 1, 2), scale, length=5).best
    assert list(best) == [8, 7, 5, 5, 5]
    assert scale.optimum == 9


def test_all_rows_have_the_whole_hypervolume_and_the_worst_has_none() -> None:
    table = letters_table()
    scale = Scale(table, goals("max:quality", "min:size"))
    assert scale.reference == (0.0, max(table.columns["size"]))
    row = summary("mine", [paying(*range(256))], scale, budget=256)
    assert row["hypervolume_mean"] == pytest.approx(1.0)
    worst = table.columns["quality"].index(0.0)
    assert summary("mine", [paying(worst)], scale, budget=1)["hypervolume_mean"] == 0.0


def test_the_hypervolume_of_two_points_is_that_by_hand() -> None:
    columns = {"acc": [0.0, 1.0, 2.0, 3.0], "cost": [0.0, 1.0, 2.0, 4.0]}
    scale = Scale(BenchmarkTable("mine", Letters(), {}, columns), goals("max:acc", "min:cost"))
    assert scale.hypervolume == 1 * 3 + 1 * 2
    found = course(paying(2, 2, 1), scale, length=3).hypervolume
    assert found is not None
    assert list(found) == [4 / 5, 4 / 5, 1.0]


def test_curves_fall_and_their_intervals_hold_the_mean() -> None:
    table = letters_table()
    scale = Scale(table, goals("max:quality", "min:size"))
    searches = {"mine": [paying(*range(start, 256, 9)) for start in range(5)]}
    rows = curve_rows(searches, scale, budget=25)
    assert [row["paid"] for row in rows] == list(range(1, 26))
    for what in ("regret", "missing_hypervolume"):
        values = [row[what] for row in rows]
        assert values == sorted(values, reverse=True)
        assert all(row[f"{what}_low"] <= row[what] <= row[f"{what}_high"] for row in rows)
        assert rows[0][f"{what}_low"] < rows[0][f"{what}_high"]


def test_a_stopped_trial_is_never_the_choice() -> None:
    table = letters_table()
    best = table.columns["quality"].index(12.0)
    search = TableSearch((Paid(best, 10, whole=False), Paid(0, 100)), 2, 0.1, 0, 0, "budget")
    assert summary("mine", [search], Scale(table, goals()), budget=2)["best_mean"] == table.columns["quality"][0]


@pytest.mark.parametrize("name", table_names())
def test_every_named_table_is_described_rightly(name: str) -> None:
    table = named_table(name)
    assert isinstance(build("space", table.space), SearchSpace)
    for dataset, described in table.datasets.items():
        for protocol in described.protocols:
            assert table.goals(dataset=dataset, protocol=protocol).objectives
            assert isinstance(table.usual_fidelities(dataset=dataset, protocol=protocol), tuple)


def test_a_named_table_without_its_files_says_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = named_table("nasbench201")
    sought = table.goals(dataset=None, protocol=None)
    monkeypatch.setenv("NETWRIGHT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"set NETWRIGHT_DATA to the folder that holds nas/nb201_core\.parquet"):
        table.read(sought, name="nasbench201")
    monkeypatch.delenv("NETWRIGHT_DATA")
    with pytest.raises(DataError, match="set NETWRIGHT_DATA"):
        table.read(sought, name="nasbench201")


def test_a_name_that_no_table_has() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'nasbench201'"):
        named_table("nasbench202")
    with pytest.raises(UnknownNameError, match="no data set of this table is called 'imagenet'"):
        named_table("nasbench201").goals(dataset="imagenet", protocol=None)


def test_nas_bench_201_as_it_was_published(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("NETWRIGHT_DATA", str(data_folder))
    named = named_table("nasbench201")
    sought = named.goals(dataset="cifar10", protocol="published")
    scale = Scale(named.read(sought, name="nasbench201"), sought)
    assert len(scale.table) == 15_625
    assert scale.optimum == pytest.approx(94.37, abs=0.005)
    assert Scale(scale.table, parse_goals(["max:c10_valid_12"])).optimum < scale.optimum
    published = pandas.read_parquet(data_folder / "nas" / "nb201_core.parquet").set_index("arch_str")["c10_test_200"]
    row = scale.table.row(scale.table.space.from_genotype(CELL))
    assert row is not None
    assert scale.table.value(row, "c10_test_200") == published[CELL]


def test_a_search_that_paid_for_all_has_a_share_of_one_and_no_more() -> None:
    """Volumes of one front differ in their last digit with the order of its points."""
    rng = random.Random(0)
    columns = {
        "a": [rng.gauss(-120.0, 15.0) for _ in range(256)],
        "b": [1e12 * rng.randint(1, 24) + 1e10 * rng.random() for _ in range(256)],
        "c": [float(rng.randint(5, 9)) for _ in range(256)],
    }
    scale = Scale(BenchmarkTable("letters", Letters(), letters_table().rows, columns), goals("max:a", "min:b", "min:c"))
    for _ in range(5):
        shares = course(paying(*rng.sample(range(256), 256)), scale, length=256).hypervolume
        assert shares is not None
        assert shares.max() <= 1.0
        assert shares[-1] == pytest.approx(1.0)


def test_a_compression_that_needs_a_package_is_told_with_that_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "table.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(MissingPackageError, match="takes the package zstandard: pip install zstandard"):
        read_frame(tmp_path / "table.csv.zst")
