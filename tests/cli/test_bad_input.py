"""Whatever a person gets wrong is answered by one clear sentence and exit code 2, never by a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from netwright.cli.main import run
from netwright.core.files import write_atomic
from tests.conftest import ROOT

TINY = str(ROOT / "recipes" / "digits-tiny.yaml")

MISTAKES = [
    (["serach", "x.yaml"], "no command is called 'serach'; did you mean 'search'?"),
    (["search"], "give a recipe to start a search"),
    (["run"], "give a recipe to start a run, or --resume RUN"),
    (["run", TINY, "--resume", "x"], "give a recipe to start a run, or --resume RUN"),
    (["run", "--resume", "nowhere"], "nowhere is not a run folder"),
    (["run", TINY, "--executor", "spark"], "no executor is called 'spark'"),
    (["search", "absent.yaml"], "absent.yaml: no such file"),
    (["search", TINY, "--trails", "3"], "No such option"),
    (["search", TINY, "--set", "search.trails=3"], "search.trails: unknown field; did you mean 'trials'?"),
    (["search", TINY, "--set", "search.trials=many"], "search.trials"),
    (["search", TINY, "--set", "search.trials=0"], "greater than or equal to 1"),
    (["search", TINY, "--set", "space.kind=cels"], "no space is called 'cels'; did you mean 'cells'?"),
    (["search", TINY, "--set", "space.widths=[]"], "space.widths"),
    (["search", TINY, "--set", "search.strategy=evolutoin"], "did you mean 'evolution'?"),
    (["search", TINY, "--executor", "spark"], "no executor is called 'spark'"),
    (["search", TINY, "--set", "objectives=[acuracy]"], "did you mean 'accuracy'?"),
    (["search", TINY, "--set", "objectives=[accuracy, accuracy]"], "name a metric twice"),
    (["search", TINY, "--set", "objectives=[accuracy, {metric: macs, bound: 5}]"], "macs bound 5, nearest"),
    (["search", TINY, "--set", "constraints=[macs]"], "the constraint on 'macs' needs a bound"),
    (["search", TINY, "--set", "winner.metric=params"], "not one of the objectives"),
    (["search", TINY, "--set", "task=my_pkg.nowhere:Task"], "task.kind: 'my_pkg.nowhere:Task' cannot be imported"),
    (["search", TINY, "--set", "name=my run"], "name: expected 1 to 64 letters, digits, '.', '_' or '-'"),
    (
        ["search", str(ROOT / "recipes" / "diabetes.yaml"), "--set", "winner.training.balanced=true"],
        "winner.training.balanced: needs a task with one class for each sample; leave it out",
    ),
    (["search", TINY, "--set", "device=gpu"], "device: expected auto, cpu, cuda or cuda:0; came 'gpu'"),
    (["search", TINY, "--set", "device=cuda:99"], "'cuda:99' is not on this machine"),
    (["search", TINY, "--out", "x" * 300], "File name too long"),
    (["report", TINY], "it is a file"),
    (["search", TINY, "--set", "task={kind: image_classification, path: nowhere.npz}"], "nowhere.npz"),
    (["search", TINY, "--set", "compress.passes=[quantize, structured_prune]"], "put structured_prune first"),
    (["search", TINY, "--set", "nonsense"], "expected name.name=value"),
    (["search", "--resume", "nowhere"], "nowhere is not a run folder"),
    (["runs", "show", "nowhere"], "nowhere is not a run folder"),
    (["report", "nowhere"], "nowhere is not a run folder"),
    (["export", "nowhere"], "nowhere is not a run folder"),
    (["dashboard", "nowhere"], "nowhere is not a run folder"),
    (["compress"], "give a run folder, or --model"),
    (["compress", "--model", "a.b:c"], "--model needs --recipe"),
    (["compress", "a-run", "--weights", "w.safetensors"], "--weights goes with --model"),
    (["compress", "--model", "no.such:thing", "--recipe", TINY, "--out", "x"], "cannot be imported"),
    (["bench", "nowhere.onnx"], "there is no file nowhere.onnx"),
    (["bench", "model.onnx", "--threads", "two"], "'two' is not a whole number"),
    (["space", "show", "mlp", "--seed", "two"], "'two' is not a whole number"),
    (["space", "show", "convet"], "error: no space is called 'convet'; did you mean 'convnet'?"),
    (["space", "show", "mlp", "--task", "digit"], "error: no task is called 'digit'; did you mean 'digits'?"),
    (["export", "runs/a", "--format", "onx"], "error: no format is called 'onx'; did you mean 'onnx'?"),
    (["search", TINY, "--executor", ""], "search.executor: expected the name"),
    (["list", "spces"], "did you mean 'spaces'?"),
    (["run", "--resume", "runs/a", "--out", "runs/b"], "--resume goes on in runs/a; leave out --out"),
    (["search", "--resume", "runs/a", "--out", "runs/b"], "--resume goes on in runs/a; leave out --out"),
    (["runs", "list", "--in", "nowhere"], "there is no folder nowhere"),
    (["runs", "list", "--in", TINY], "is a file"),
    (["space", "draw", "mlp", "--out", "/proc/x/y.svg"], "/proc/x cannot be written or read: No such file"),
]


@pytest.mark.parametrize(
    ("arguments", "says"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert captured.err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_with_json_an_error_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", "nowhere", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert "not a run folder" in document["error"]
    assert document["exit_code"] == 2


def test_a_name_that_is_no_text_is_written_and_shown_as_an_escape(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/l\xe4uf.svg"
    command = [sys.executable, "-m", "netwright", "space", "draw", "mlp", "--out", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"l\\udce4uf.svg" in done.stdout
    write_atomic(tmp_path / "a", os.fsdecode(name))
    assert (tmp_path / "a").read_bytes().endswith(b"l\\udce4uf.svg")


def test_the_exit_code_is_the_same_where_nobody_reads_the_sentence() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "netwright", "report", "nowhere"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stderr=writes, env=environment, check=False)
    os.close(writes)
    assert done.returncode == 2


def test_a_full_disk_is_said_with_how_to_go_on() -> None:
    command = [sys.executable, "-m", "netwright", "list", "passes"]
    with Path("/dev/full").open("w") as full:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "Free some space, then give the command again; a search goes on with --resume RUN" in done.stderr


def test_labels_out_of_range_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = np.zeros((40, 8, 8), np.uint8)
    np.savez(tmp_path / "bad.npz", inputs=inputs, targets=np.arange(40) % 4 - 1, class_names=["a", "b", "c"])
    task = f"task={{kind: image_classification, path: {tmp_path / 'bad.npz'}}}"
    assert run(["search", TINY, "--set", task, "--out", str(tmp_path / "run")]) == 2
    assert "-1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    assert run(["bench", str(path)]) == 2
    assert "ONNX Runtime refuses model.onnx" in capsys.readouterr().err


def test_foreign_weights_are_refused_and_nothing_is_unpickled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pickle

    class Canary:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "fired"),))

    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(Canary()))
    arguments = ["--weights", str(tmp_path / "weights.safetensors"), "--recipe", TINY, "--out", str(tmp_path / "run")]
    assert run(["compress", "--model", "tests.cli.own_model:build", *arguments]) == 2
    assert "is not a safetensors file" in capsys.readouterr().err
    assert not (tmp_path / "fired").exists()


def test_an_internal_fault_is_exit_code_1_with_the_details_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("netwright.runs.view.find_runs", None)
    assert run(["runs", "list"]) == 1
    error = capsys.readouterr().err
    assert "internal fault: TypeError: 'NoneType' object is not callable" in error
    details = Path(error.split("Details: ")[1].strip())
    assert "Traceback" in details.read_text()
    details.unlink()


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["quickstart", "--help"], ["runs", "--help"]])
def test_help_is_instant_because_nothing_heavy_is_imported(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom netwright.cli.main import run\n"
        f"assert run({arguments!r}) == 0\n"
        "heavy = {'torch', 'ray', 'optuna', 'numpy', 'pandas', 'plotly', 'onnx', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "netwright" in done.stdout


def test_every_command_has_help_with_an_example_every_option_and_the_exit_codes() -> None:
    import click

    from netwright.cli.main import cli

    def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield f"{path} {name}", found
            if isinstance(found, click.Group):
                yield from commands(found, f"{path} {name}")

    all_commands = dict(commands(cli, "netwright"))
    assert {"netwright runs list", "netwright space cost", "netwright latency build"} <= set(all_commands)
    for path, command in all_commands.items():
        said = command.get_help(click.Context(command, info_name=path))
        assert command.help, path
        assert "Example" in said, path
        assert said.count("Exit codes: 0 done, 2") == 1, path
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, (path, option.name)
