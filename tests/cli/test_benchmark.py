"""`netwright benchmark strategies`: its document, its table, its page, and what it says to a mistake."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netwright.cli.main import run
from tests.conftest import ROOT
from tests.nas.tables import write_letters

SPACE = ["--space", "tests.nas.tables:Letters", "--arch-column", "arch"]
KEYS = {"strategy", "paid", "best_mean", "best_std", "regret_mean", "hypervolume_mean", "hypervolume_std"}
KEYS |= {"repeats_paid", "seconds_per_ask"}


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table of 256 architectures as a csv file."""
    return str(write_letters(tmp_path_factory.mktemp("tables") / "letters.csv"))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The document that the command prints."""
    assert run(["benchmark", "strategies", *arguments, "--workers", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_the_document_of_one_objective(letters: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--objective", "max:quality", "--budget", "20", "--seeds", "2"]
    found = answer(capsys, "--table", letters, *SPACE, *asked, "--strategy", "evolution", "--strategy", "random_search")
    assert [row["strategy"] for row in found["strategies"]] == ["evolution", "random_search"]
    for row in found["strategies"]:
        assert set(row) >= KEYS
        assert (row["paid"], row["repeats_paid"]) == (20, 0)
        assert row["best_mean"] == pytest.approx(12 - row["regret_mean"])
        assert (row["hypervolume_mean"], row["hypervolume_std"]) == (None, None)
        assert row["seconds_per_ask"] > 0
        assert [point["paid"] for point in row["curve"]] == [1, 2, 5, 10, 20]
        assert row["curve"][-1]["regret"] == pytest.approx(row["regret_mean"])


SHORT = ["--fidelity", "early@10", "--fidelity", "quality@100"]


def test_shorter_trainings_are_used_within_the_epochs_of_the_budget(
    letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--table", letters, *SPACE, "--objective", "max:quality", "--budget", "10", "--seeds", "1"]
    asked += ["--strategy", "predictor"]
    (found,) = answer(capsys, *asked, *SHORT)["strategies"]
    assert 9 < found["paid"] <= 10
    assert found["architectures_mean"] > 15
    assert found["in_full_mean"] < 10
    assert (found["repeats_paid"], found["epochs_mean"]) == (0, pytest.approx(100 * found["paid"]))
    (whole,) = answer(capsys, *asked, *SHORT, "--promotion", "none")["strategies"]
    assert (whole["paid"], whole["architectures_mean"], whole["in_full_mean"]) == (10, 10, 10)
    (other,) = answer(capsys, *asked, *SHORT, "--promotion", "asha:eta=4")["strategies"]
    assert other["architectures_mean"] > found["in_full_mean"]


def test_shorter_trainings_beside_a_whole_one_of_unknown_length_are_not_used(
    letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--table", letters, *SPACE, "--objective", "max:quality", "--budget", "5", "--seeds", "1", *SHORT[:2]]
    assert run(["benchmark", "strategies", *asked, "--strategy", "random_search", "--workers", "1", "--json"]) == 0
    said = capsys.readouterr()
    assert "say how long the whole one is, --fidelity quality@N" in said.err
    assert json.loads(said.out)["strategies"][0]["paid"] == 5


def test_a_search_is_announced_and_what_answers_for_an_absent_architecture_can_be_said(
    letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--objective", "max:quality", "--budget", "5", "--seeds", "1", "--strategy", "random_search"]
    assert run(["benchmark", "strategies", "--table", letters, *SPACE, *asked, "--workers", "1"]) == 0
    assert capsys.readouterr().err.startswith("[0/1] searches\n")  # a first search may take minutes
    usual = answer(capsys, "--table", letters, *SPACE, *asked)
    other = answer(capsys, "--table", letters, *SPACE, *asked, "--absent", "nearest")
    assert (usual["table"]["absent"], other["table"]["absent"]) == ("failed", "nearest")


def test_the_document_of_two_objectives_is_the_same_for_the_same_seeds(
    letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--objective", "max:quality", "--objective", "min:size", "--budget", "15", "--seeds", "2"]
    once, again = (
        answer(
            capsys, "--table", letters, *SPACE, *asked, "--strategy", "nsga2:population=5", "--peer", "optuna:random"
        )
        for _ in range(2)
    )
    for row, same in zip(once["strategies"], again["strategies"], strict=True):
        assert 0 < row["hypervolume_mean"] < 1
        row["seconds_per_ask"] = same["seconds_per_ask"] = 0
    assert once == again
    assert once["table"]["reference"] == [0.0, 126.0]


def test_without_a_strategy_all_that_can_serve_take_part(letters: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--objective", "max:quality", "--budget", "3", "--seeds", "1"]
    found = answer(capsys, "--table", letters, *SPACE, *asked)
    assert {"random_search", "evolution", "tpe"} <= {row["strategy"] for row in found["strategies"]}
    assert all(row["repeats_paid"] == 0 for row in found["strategies"])


def test_for_people_there_is_a_table_and_a_page_with_curves(
    letters: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "curves.html"
    asked = [
        "--objective",
        "max:quality",
        "--objective",
        "min:size",
        "--budget",
        "10",
        "--seeds",
        "2",
        "--workers",
        "1",
    ]
    arguments = ["--table", letters, *SPACE, *asked, "--strategy", "random_search", "--plot", str(page)]
    assert run(["benchmark", "strategies", *arguments]) == 0
    out = capsys.readouterr().out
    for words in ("random_search", "hypervolume", "ms per ask", "optimum 12", "reference 0, 126", str(page)):
        assert words in out
    text = page.read_text(encoding="utf-8")
    assert text.count('<div id="figure') == 2
    assert "mean missing share of the hypervolume" in text
    assert "http://" not in text.split('<script type="application/json"')[0]


def test_a_space_can_be_narrowed_and_the_rows_outside_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.csv").write_text(
        'arch,acc\n"{""depth"": 1, ""layer1/width"": 4}",0.5\n"{""depth"": 1, ""layer1/width"": 8}",0.7\n'
        '"{""depth"": 1, ""layer1/width"": 16}",0.9\n'
    )
    arguments = [
        "--table",
        str(tmp_path / "own.csv"),
        "--space",
        "tests.cli.own_space:Narrowing",
        "--arch-column",
        "arch",
    ]
    narrow = [
        "--set",
        "depth=[1, 1]",
        "--set",
        "widths=[4, 8]",
        "--objective",
        "max:acc",
        "--strategy",
        "random_search",
    ]
    assert run(["benchmark", "strategies", *arguments, *narrow, "--workers", "1", "--seeds", "1", "--json"]) == 0
    captured = capsys.readouterr()
    (row,) = json.loads(captured.out)["strategies"]
    assert "1 of 3 rows are none of the space; the first, row " in captured.err
    assert (row["paid"], row["best_mean"], row["ended"]) == (2, 0.7, {"exhausted": 1})


def test_nas_bench_201_by_name(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("NETWRIGHT_DATA", str(data_folder))
    asked = ["--dataset", "cifar100", "--objective", "max:accuracy", "--objective", "min:lat_pixel2"]
    who = ["--strategy", "random_search", "--strategy", "evolution"]
    found = answer(capsys, "--table", "nasbench201", *asked, *who, "--budget", "60", "--seeds", "2")
    assert found["table"]["optimum"] == pytest.approx(73.51, abs=0.005)
    assert found["table"]["objectives"] == ["max:c100_test_200", "min:lat_pixel2"]
    chance, evolution = found["strategies"]
    assert (chance["paid"], chance["repeats_paid"], evolution["repeats_paid"]) == (60, 0, 0)
    assert 0.8 < chance["hypervolume_mean"] < 1


MISTAKES = [
    (["--table", "nasbench202"], "did you mean 'nasbench201'?"),
    (["--table", "nowhere.csv", *SPACE, "--objective", "max:a"], "there is no table nowhere.csv"),
    (["--table", "T", "--objective", "max:quality"], "needs --space and --arch-column"),
    (["--table", "T", *SPACE], "--objective: is missing"),
    (
        ["--table", "T", *SPACE, "--objective", "max:qualty"],
        "no column of T is called 'qualty'; did you mean 'quality'?",
    ),
    (["--table", "T", *SPACE, "--objective", "quality"], "expected max:COLUMN or min:COLUMN"),
    (["--table", "T", *SPACE, "--objective", "max:remark"], "which is no number; leave it empty"),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--strategy", "evolutoin"], "did you mean 'evolution'?"),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--strategy", "evolution:popul=3"], "unknown field"),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--peer", "optuna:tp"], "did you mean 'tpe'?"),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--stopper", "median"], "--stopper needs --fidelity"),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--promotion", "asha"], "--promotion needs --fidelity"),
    (["--table", "T", *SPACE, "--objective", "max:quality", *SHORT, "--promotion", "ash"], "did you mean 'asha'?"),
    (
        ["--table", "T", *SPACE, "--objective", "max:quality", *SHORT, "--promotion", "asha", "--stopper", "median"],
        "both say who goes on",
    ),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--fidelity", "early"], "expected COLUMN@EPOCHS"),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--budget-epochs", "9"], "--fidelity quality@EPOCHS"),
    (["--table", "T", *SPACE, "--objective", "max:quality", "--dataset", "cifar10"], "are for named tables"),
    (
        ["--table", "T", "--space", "nasbench2001", "--arch-column", "arch", "--objective", "max:quality"],
        "did you mean",
    ),
    (["--table", "T", "--space", "nasbench201", "--arch-column", "arch", "--objective", "max:quality"], "row 1: "),
    (["--table", "nasbench201", "--space", "nasbench201"], "brings its own --space"),
    (["--table", "nasbench211", "--space", "nasbench201"], "did you mean 'nasbench201'?"),
    (["--table", "nasbench201", "--dataset", "mnist"], "no data set of this table is called 'mnist'"),
    (["--table", "nasbench201", "--protocol", "publisht"], "did you mean 'published'?"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_a_mistake_gets_one_sentence_and_exit_code_2(
    arguments: list[str], says: str, letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [letters if argument == "T" else argument for argument in arguments]
    assert run(["benchmark", "strategies", *given, "--budget", "2", "--seeds", "1", "--workers", "1"]) == 2
    captured = capsys.readouterr()
    assert says.replace(" T ", f" {letters} ") in captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    """The page's space, its program that writes a table, its command and its use from Python."""
    text = (ROOT / "docs" / "benchmarking.md").read_text(encoding="utf-8")
    space, program, use = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    line, bounded = [
        block for block in re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "mine" in block
    ]
    for name, content in (("my_module", space), ("write_table", program), ("use", use)):
        (tmp_path / f"{name}.py").write_text(content, encoding="utf-8")
    command, with_bound = (["-m", *shlex.split(text.replace("\\\n", " "))] for text in (line, bounded))
    said = [_run(tmp_path, *arguments) for arguments in (["write_table.py"], command, ["use.py"], with_bound)]
    assert "reference 0.6769, 196608; 10 searches of each" in said[1]
    assert all(name in said[1] for name in ("random_search", "evolution", "optuna:nsga2+cache"))
    assert (tmp_path / "curves.html").stat().st_size > 1_000_000
    assert said[2].count("'regret_mean'") == 2
    assert "min:params<=60000; known before paying: params" in said[3]


def _run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
