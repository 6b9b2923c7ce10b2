"""`netwright space`: what it prints is what the space says, and one bad line stops nothing."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netwright.cli.main import run
from netwright.core.plugins import build, names
from netwright.core.shapes import Shapes
from netwright.search_spaces.cost import cost
from netwright.search_spaces.landmark import landmark_names
from netwright.search_spaces.space import SearchSpace

CIFAR = ["--input", "3x32x32", "--classes", "10"]
OWN = "tests.cli.own_space:Narrowing"
Speak = Callable[..., str]


@pytest.fixture
def speak(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Speak:
    """What `netwright space ...` prints for a standard input, and nothing else."""

    def told(*arguments: str, stdin: bytes = b"", code: int = 0) -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        assert run(["space", *arguments]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return told


def space_of(name: str) -> SearchSpace:
    space = build("space", name)
    assert isinstance(space, SearchSpace)
    return space


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_samples_are_lines_that_cost_reads_back_to_the_same_figures(speak: Speak) -> None:
    drawn = speak("sample", "convnet", "-n", "4", "--seed", "7", *CIFAR)
    rows = lines(drawn)
    assert drawn == speak("sample", "convnet", "-n", "4", "--seed", "7", *CIFAR)
    keys = ("identity", "params", "macs", "activation_bytes")
    expected = [{key: row[key] for key in keys} for row in rows]
    assert lines(speak("cost", "convnet", *CIFAR, "--json", "-", stdin=drawn.encode())) == expected
    genotypes = "\n".join(json.dumps({"genotype": row["genotype"]}) for row in rows)
    assert lines(speak("cost", "convnet", *CIFAR, "--json", "-", stdin=genotypes.encode())) == expected
    shapes, first = Shapes((3, 32, 32), 10), rows[0]["decisions"]
    assert expected[0]["params"] == space_of("convnet").cost(first, shapes).params
    assert expected[0]["activation_bytes"] == space_of("convnet").cost(first, shapes).peak_activation_bytes
    assert expected[0]["identity"] == space_of("convnet").identity(first, shapes)


def test_a_bad_line_is_answered_by_its_error_and_stops_nothing(speak: Speak) -> None:
    good = speak("sample", OWN, *CIFAR).encode().strip()
    bad = [b"{", b"[1]", b"", b"\xff\xfe", b'{"decisions": {"depth": 99}}', b'{"decisions": 3}', b'{"genotype": 5}']
    bad += [b"[" * 100_000, b'{"genotype": "depth"}', b'"text"', b"null"]
    bad += [b'{"decisions": {"depth": 2, "layer1/width": 4, "layer2/width": 8}}']
    answers = lines(speak("cost", OWN, *CIFAR, "--json", "-", stdin=b"\n".join([good, *bad, good])))
    assert len(answers) == len(bad) + 2
    assert answers[0] == answers[-1]
    assert answers[0]["params"] > 0
    assert all(set(answer) == {"error"} for answer in answers[1:-1])
    assert "'depth' is 99; expected a whole number from 1 to 3" in answers[5]["error"]
    assert "a layer is wider than the one before it" in answers[-2]["error"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"  ", "an empty line; expected"),
        (b'{"decisions": "depth"}', 'expected {"decisions": {...}} or {"genotype": ...}, came'),
        (b'{"matrix": [[0]]}', 'an architecture is {"decisions": {...}} or {"genotype": ...}'),
        (b'{"depth": ', "not a line of JSON: Expecting value, column 11"),
        (b'{"decisions": {"depth": "' + b"x" * 100_000 + b'"}}', "expected a whole number"),
        (b'{"decisions": {"depth": 1, "layer1/width": 8' + b"".join(b', "n%d": 1' % n for n in range(999)) + b"}}",
         "and 994 more"),
    ],
)  # fmt: skip
def test_an_error_says_in_a_few_words_what_is_wrong_with_a_line(speak: Speak, line: bytes, reason: str) -> None:
    (answer,) = lines(speak("cost", OWN, *CIFAR, "--json", "-", stdin=line))
    assert reason in answer["error"]
    assert len(answer["error"]) < 600


def test_a_published_genotype_may_stand_alone(speak: Speak) -> None:
    cell = {"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}
    given = f"{json.dumps(cell)}\n{json.dumps({'genotype': cell})}".encode()
    alone, wrapped = lines(speak("cost", "nasbench101", *CIFAR, "--json", "-", stdin=given))
    assert alone == wrapped
    assert alone["params"] == 882_570


def test_two_landmarks_are_enough_for_a_diff(speak: Speak) -> None:
    short = speak("diff", "landmark:resnet-18", "landmark:resnet-34", "--json")
    assert short == speak("diff", "landmark:resnet-18", "landmark:resnet-18", "landmark:resnet-34", "--json")
    assert "Missing argument 'RIGHT'" in speak("diff", OWN, "{}", code=2)


def test_the_example_of_the_help_works(speak: Speak) -> None:
    example = re.search(r"echo '(.*)'", speak("cost", "--help"))
    assert example
    (answer,) = lines(speak("cost", "nasbench201", *CIFAR, "--json", "-", stdin=example[1].encode()))
    assert answer["params"] == 73306 + 5 * (2 * 48608 + 5600)


def test_costs_are_told_line_by_line(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "netwright", "space", "cost", "convnet", *CIFAR, "--json", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(b"{}\n")
            process.stdin.flush()
            assert "error" in json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 0


def test_every_space_is_listed_with_its_size(speak: Speak) -> None:
    found = json.loads(speak("list", "--json"))
    assert [row["space"] for row in found["spaces"]] == names("space")
    assert all(row["what"] and (row["size"] or row["estimate"] or row["log10"]) for row in found["spaces"])
    assert [row["landmark"] for row in found["landmarks"]] == landmark_names()
    assert all(row["params"] > 0 for row in found["landmarks"])
    said = speak("list")
    assert "convnet" in said
    assert "netwright space size NAME" in said


@pytest.mark.parametrize("name", names("space"))
def test_every_space_is_shown_with_the_decisions_of_a_sample(speak: Speak, name: str) -> None:
    found = json.loads(speak("show", name, "--seed", "3", "--layers", "--json"))
    space = space_of(name)
    shapes = space.examples()[0]
    assert set(found["domains"]) == set(found["decisions"])
    assert sum(row["params"] for row in found["layers"]) == found["params"]
    assert found["macs"] == space.cost(found["decisions"], shapes).macs
    assert sum(row["macs"] for row in found["layers"]) == cost(space.graph(found["decisions"], shapes)).macs
    assert found["identity"] == space.identity(found["decisions"], shapes)
    assert "drawn with seed 3" in speak("show", name, "--seed", "3")


@pytest.mark.parametrize("name", landmark_names())
def test_every_landmark_is_shown_beside_its_published_figures(speak: Speak, name: str) -> None:
    found = json.loads(speak("show", f"landmark:{name}", "--json"))
    assert found["title"]
    assert found["params"] > 0
    assert len(found["counts"]) > 0
    assert speak("show", f"landmark:{name}").startswith(found["title"])


def test_a_published_figure_that_differs_is_shown_with_its_difference(speak: Speak) -> None:
    told = speak("show", "landmark:inception-v3")
    assert "5.72B     +0.12 %" in told
    assert "23.8M           yes" in told


def test_settings_are_shown_where_they_differ_from_the_defaults(speak: Speak) -> None:
    assert "space          nasnet_cell  filters=[36]  cells=[6]\n" in speak("show", "landmark:darts-v2")
    assert "space          mlp  with its default settings\n" in speak("show", "mlp")


def test_more_walks_are_taken_where_an_estimate_would_be_rough(speak: Speak) -> None:
    found = json.loads(speak("size", "nasbench101", "--samples", "400", "--json"))
    assert found["walks"] > 400
    # counted in test_nasbench101
    assert abs(found["estimate"] - 1_824_025) < 3 * found["standard_error"]


def test_a_size_says_whether_it_was_counted(speak: Speak) -> None:
    # falling sequences of 3 widths: 3 of one, 6 of two, 10 of three layers
    assert speak("size", OWN).strip() == f"{OWN}: 19 sets of decisions, counted"
    found = json.loads(speak("size", OWN, "--limit", "5", "--samples", "4000", "--json"))
    assert found["exact"] is False
    assert found["size"] is None
    assert 0 < found["standard_error"] < 2
    assert abs(found["estimate"] - 19) < 4 * found["standard_error"]


def test_a_space_may_be_a_file_or_a_recipe_and_settings_change_it(speak: Speak, tmp_path: Path) -> None:
    space, recipe = tmp_path / "space.yaml", tmp_path / "recipe.yaml"
    space.write_text(f"kind: {OWN}\nwidths: [8, 16]\n")
    recipe.write_text(f"task: digits\nspace: {{kind: '{OWN}', depth: [3, 3]}}\n")
    assert "9 sets" in speak("size", str(space))
    assert "2 sets" in speak("size", str(space), "--set", "depth=[1, 1]")
    shown = json.loads(speak("show", str(recipe), "--json"))
    assert shown["decisions"]["depth"] == 3
    assert shown["input"] == [1, 8, 8]
    assert shown["output"] == 10


def test_decisions_may_be_text_a_file_a_genotype_or_standard_input(speak: Speak, tmp_path: Path) -> None:
    row = speak("sample", OWN, *CIFAR)
    (tmp_path / "a.json").write_text(row)
    genotype, decisions = lines(row)[0]["genotype"], json.dumps(lines(row)[0]["decisions"])
    for given in (row, decisions, genotype, str(tmp_path / "a.json"), "-"):
        shown = speak("show", OWN, *CIFAR, "--decisions", given, "--json", stdin=decisions.encode())
        assert json.loads(shown)["identity"] == lines(row)[0]["identity"]


def test_a_profile_says_first_what_cannot_be_kept_and_by_how_much(speak: Speak) -> None:
    words = speak("profile", OWN, *CIFAR, "--bound", "params<=1e3", "--bound", "macs<=1e9")
    space = space_of(OWN)
    least = min(space.cost(d, Shapes((3, 32, 32), 10)).params for d in space.enumerate())
    assert words.startswith(f"cannot be kept: params <= 1,000; the smallest is {least:,}, {least / 1000:.3g} times")
    assert "0 % keep params <= 1,000 and macs <= 1,000,000,000" in words
    found = json.loads(speak("profile", OWN, *CIFAR, "--bound", "params <= 1e3", "--json"))
    assert found["size"]["size"] == found["looked_at"] == 19
    assert found["bounds"][0]["reachable"] is False
    assert found["bounds"][0]["best"] == found["costs"]["params"]["least"] == least


def test_a_profile_of_a_large_space_gives_an_interval_and_a_standard_error(speak: Speak) -> None:
    words = speak("profile", "convnet", *CIFAR, "--bound", "macs<=3e6", "--samples", "50")
    assert "standard error" in words
    assert "95 % interval" in words


def test_a_recipe_is_profiled_for_its_task_with_its_bounds(speak: Speak, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"task: digits\nspace: '{OWN}'\nobjectives: [accuracy, {{metric: macs, bound: 700}}]\n"
        "constraints: [{metric: peak_activation_bytes, bound: 1e6}]\n"
    )
    found = json.loads(speak("profile", str(recipe), "--json"))
    assert found["shapes"] == "1x8x8 -> 10"
    assert [row["bound"] for row in found["bounds"]] == ["macs <= 700", "activation_bytes <= 1,000,000"]
    assert 0 < found["feasible"]["share"] < 1


@pytest.mark.parametrize("suffix", [".svg", ".html"])
@pytest.mark.parametrize("name", names("space"))
def test_every_space_can_be_drawn(speak: Speak, tmp_path: Path, name: str, suffix: str) -> None:
    out = tmp_path / f"network{suffix}"
    assert "drawn with seed 2" in speak("draw", name, "--seed", "2", "--out", str(out))
    text = out.read_text(encoding="utf-8")
    assert text.startswith("<svg" if suffix == ".svg" else "<!doctype html>")
    assert f"{name}, drawn with seed 2" in text


def test_levels_leave_out_the_column_or_the_details(speak: Speak, tmp_path: Path) -> None:
    found = {}
    for level in ("macro", "cell", "both"):
        speak("draw", "nasbench201", "--seed", "2", "--level", level, "--out", str(tmp_path / f"{level}.svg"))
        found[level] = (tmp_path / f"{level}.svg").read_text(encoding="utf-8")
    assert ["input 3×" in text or "input 1×" in text for text in found.values()] == [True, False, True]
    assert ["A: " in text for text in found.values()] == [False, True, True]


def test_a_diff_names_decisions_costs_and_layers(speak: Speak) -> None:
    left, right = '{"depth": 1, "layer1/width": 4}', '{"depth": 2, "layer1/width": 8, "layer2/width": 4}'
    found = json.loads(speak("diff", OWN, left, right, *CIFAR, "--json"))
    assert found["equal"] is False
    assert {row["name"] for row in found["decisions"]} == {"depth", "layer1/width", "layer2/width"}
    by_name = {row["metric"]: row for row in found["costs"]}
    assert by_name["params"]["right"] - by_name["params"]["left"] == sum(
        row["right_params"] - row["left_params"] for row in found["layers"]
    )
    assert "2 added" in speak("diff", OWN, left, right, *CIFAR)
    assert "the two are the same network" in speak("diff", OWN, left, left, *CIFAR)


def test_a_mistake_in_a_space_of_ones_own_is_told_as_such(speak: Speak, tmp_path: Path, monkeypatch: Any) -> None:
    module = tmp_path / "mistaken_space.py"
    module.write_text(
        "from netwright.search_spaces.space import SearchSpace\n"
        "class Mistaken(SearchSpace):\n"
        "    def decide(self, choose):\n"
        "        return choose.integer('depth', 1, 3)\n"
        "    def lower(self, plan, net, shapes):\n"
        "        return net.input.size\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    said = speak("show", "mistaken_space:Mistaken", code=2)
    assert said.startswith("error: your own code stopped at mistaken_space.py, line 6, in lower: AttributeError")
    assert "--input" not in said


def test_a_diff_says_which_side_is_refused(speak: Speak) -> None:
    good, wrong = '{"depth": 1, "layer1/width": 4}', '{"depth": 2, "layer1/width": 4, "layer2/width": 8}'
    assert "RIGHT: " in speak("diff", OWN, good, wrong, *CIFAR, code=2)
    said = speak("diff", OWN, wrong, good, *CIFAR, code=2)
    assert "LEFT: " in said
    assert "a layer is wider than the one before it" in said
    assert "LEFT: " in speak("diff", OWN, "landmark:none", good, *CIFAR, code=2)


def test_landmarks_are_compared_each_in_its_own_space(speak: Speak) -> None:
    given = ("landmark:resnet-18", "landmark:resnet-18", "landmark:resnet-34")
    found = json.loads(speak("diff", *given, "--json"))
    assert next(row for row in found["costs"] if row["metric"] == "params")["right"] == 21_797_672
    assert {row["change"] for row in found["layers"]} >= {"added"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "convnett"], "did you mean 'convnet'?"),
        (["show", "landmark:nothing"], "no landmark is called 'nothing'"),
        (["show", "missing.yaml"], "no such file"),
        (["show", "convnet", "--input", "3xx3", "--classes", "2"], "--input expects sizes joined by x"),
        (["show", "convnet", "--input", "3x8x8"], "--input needs --classes"),
        (["show", "convnet", "--classes", "3"], "need --input"),
        (["show", "convnet", "--task", "digits", "--classes", "3"], "--task gives the shapes"),
        (["show", "convnet", "--task", "digit"], "did you mean 'digits'?"),
        (["show", "convnet", "--decisions", "{"], "no JSON object"),
        (["show", "convnet", "--decisions", "nothing.json"], "cannot be read"),
        (["show", "convnet", "--input", "20x6", "--classes", "3"], "image-like"),
        (["show", OWN, "--set", "depht=3"], "did you mean 'depth'?"),
        (["cost", OWN, "nothing.jsonl"], "nothing.jsonl cannot be read: No such file"),
        (["sho", "convnet"], "did you mean 'show'?"),
        (["profile", OWN, "--bound", "macs"], "--bound expects something like 'macs<=5e6'"),
        (["profile", OWN, "--bound", "macs<=nan"], "--bound expects"),
        (["profile", OWN, "--bound", "mac<=5"], "did you mean 'macs'?"),
        (["draw", OWN, "--out", "picture.png"], "ends in .svg or .html"),
        (["diff", OWN, "{}", "{}"], "the decision 'depth' is missing"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(speak: Speak, arguments: list[str], sentence: str) -> None:
    told = speak(*arguments, code=2)
    assert sentence in told
    assert "Traceback" not in told


def test_none_of_it_imports_torch() -> None:
    code = f"""
import sys
from netwright.cli.main import run
for words in (["list"], ["show", "convnet"], ["sample", "convnet"], ["size", "{OWN}"], ["profile", "mlp"]):
    assert run(["space", *words]) == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
