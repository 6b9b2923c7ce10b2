"""The documentation is true: its plugin files work, its commands parse, its links lead somewhere."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest

from netwright.cli.main import cli
from netwright.core.config import parse_yaml
from netwright.core.plugins import KINDS
from netwright.runs.specification import RunSpecification, load_specification
from netwright.runs.view import open_run

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md")) + [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")
]
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = "netwright.cli.commands"


@dataclass(frozen=True)
class Plugin:
    """The complete file on a how-to page: where it belongs and what it holds."""

    page: str
    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def package(self) -> str:
        return ".".join(self.path.parent.parts)

    @property
    def kind(self) -> str:
        return next((kind.name for kind in KINDS.values() if kind.package == self.package), "command")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


@cache
def plugin_of(page: Path) -> Plugin:
    (text,) = [block for block in blocks(page, "python") if block.startswith("# file: ")]
    return Plugin(page.name, Path(text.splitlines()[0].removeprefix("# file: ")), text)


PLUGINS = {plugin_of(page).kind: plugin_of(page) for page in HOW_TO}


def commands(page: Path) -> Iterator[list[str]]:
    """Every `netwright ...` command on a page as a list of arguments; ends of lines with a backslash go on."""
    text = page.read_text(encoding="utf-8")
    lines = [line for _, block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`(netwright [a-z][^`]*)`", FENCE.sub("", text))
    for line in lines:
        if line.startswith("netwright "):
            yield shlex.split(line, comments=True)[1:]
    # A command named in a sentence may leave its arguments out.
    yield from ([*shlex.split(span)[1:], "--help"] for span in spans if not span.startswith("netwright --"))


ALL_COMMANDS = [(page, arguments) for page in PAGES for arguments in commands(page)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its tests in which every file of the how-to pages lies in its place."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("netwright", "tests", "recipes"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for plugin in PLUGINS.values():
        assert not (folder / plugin.path).exists(), f"{plugin.page}: there is a plugin of this name already"
        (folder / plugin.path).write_text(plugin.text, encoding="utf-8")
    return folder


def run(checkout: Path, *arguments: str) -> str:
    """What a command prints in the copy."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_every_kind_of_plugin_has_a_page_with_a_complete_file() -> None:
    assert set(PLUGINS) == {*KINDS, "command"}
    assert len(PLUGINS) == len(HOW_TO)
    for plugin in PLUGINS.values():
        assert 10 <= plugin.text.count("\n") <= 80, plugin.page


def test_the_files_keep_the_rules_of_the_code(checkout: Path) -> None:
    files = [str(plugin.path) for plugin in PLUGINS.values()]
    run(checkout, "-m", "ruff", "check", *files)
    run(checkout, "-m", "ruff", "format", "--check", *files)


LIGHT = {
    "metric": "tests/evaluation/test_metrics.py",
    "strategy": "tests/nas/test_strategies.py",
    "stopper": "tests/nas/test_stoppers.py",
    "promotion": "tests/nas/test_promotions.py",
}
HEAVY = {
    "space": "tests/search_spaces/test_spaces.py",
    "task": "tests/tasks/test_every_task.py",
    "format": "tests/export/test_formats.py",
    "pass": "tests/compression/test_conformance.py",
}


def conformance(checkout: Path, suites: Mapping[str, str], *more: str) -> str:
    """What the conformance tests of some kinds say of the plugins of the pages, which they find by themselves."""
    wanted = " or ".join(plugin.name for plugin in PLUGINS.values())
    options = ("-p", "no:cacheprovider", "-q", "-rA", "-k", wanted)
    said = run(checkout, "-m", "pytest", *options, *suites.values(), *more)
    for kind, suite in suites.items():
        found = rf"^PASSED {suite}::\w+\[.*\b{PLUGINS[kind].name}\b"
        assert re.search(found, said, re.MULTILINE), f"{suite} has no test of {PLUGINS[kind].name}"
    return said


def test_the_light_conformance_suites_find_the_plugins_and_pass(checkout: Path) -> None:
    said = conformance(checkout, LIGHT, "tests/core/test_plugins.py")
    for kind in KINDS:
        assert f"test_every_plugin_file_holds_one_documented_class_of_its_kind[{kind}-{PLUGINS[kind].name}]" in said


@pytest.mark.slow
def test_the_heavy_conformance_suites_find_the_plugins_and_pass(checkout: Path) -> None:
    conformance(checkout, HEAVY)


def test_the_task_reads_its_recordings(checkout: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from netwright.core.plugins import build, load
task = build("task", {"kind": "recordings", **load("task", "recordings").example_settings(Path(sys.argv[1]))})
data = task.data()
assert data.classes == ("calm", "shaking") and task.shapes().input == (24, 3)
assert len(data.train) + len(data.validation) + len(data.test) == 60
spread = [float(data.train.inputs[data.train.targets == label].std()) for label in (0, 1)]
assert spread[1] > 2 * spread[0]
"""
    run(checkout, "-c", code, str(tmp_path))


def test_the_operation_costs_what_it_says_and_computes_what_it_should(checkout: Path) -> None:
    code = """
import torch
from torch.utils.flop_counter import FlopCounterMode
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.cost import cost
from netwright.search_spaces.graph import GraphBuilder
from netwright.search_spaces.operations.squeeze_excite import SqueezeExcite
net = GraphBuilder((12, 5, 5))
graph = net.finish(net.add(SqueezeExcite(reduction=3), net.input))
model, x = compile_graph(graph, seed=0).eval(), torch.randn(4, 12, 5, 5)
weights = model(x) / x
assert torch.allclose(weights, weights[..., :1, :1].expand_as(x), atol=1e-5) and 0 < weights.min() and weights.max() < 1
assert sum(p.numel() for p in model.parameters()) == cost(graph).params
with FlopCounterMode(display=False) as counter:
    model(x[:1])
assert counter.get_total_flops() == 2 * cost(graph).macs > 0
assert type(model).__module__.startswith("torch.")
"""
    run(checkout, "-c", code)


def test_the_executor_ends_a_trial_at_the_first_row_that_is_not_gone_on_from(checkout: Path) -> None:
    code = """
from concurrent.futures import Future
from types import SimpleNamespace
from netwright.runs.executor import Outcome
from netwright.runs.executors.futures import _finish
done, rows, ended = Future(), [], []
done.set_result(([{"epoch": 1}, {"epoch": 2}, {"epoch": 3}], Outcome(state="done").to_json()))
work = SimpleNamespace(
    report=lambda number, row: rows.append(row["epoch"]) or row["epoch"] < 2,
    finish=lambda number, outcome: ended.append(str(outcome.state)),
)
_finish(work, SimpleNamespace(number=0), done)
assert (rows, ended) == ([1, 2], ["stopped"]), (rows, ended)
"""
    run(checkout, "-c", code)


@pytest.fixture(scope="module")
def searched(checkout: Path) -> Path:
    """A run in which whatever can be a plugin is one from the pages."""
    settings = [
        "space={kind: separable, depth: [1, 2], filters: [8]}",
        "objectives=[accuracy, {metric: download_bytes, bound: 60000}]",
        "search={trials: 2, strategy: {kind: greedy, startup: 1}, stopper: truncation, training: {epochs: 1, "
        "batch_size: 64}, executor: {kind: futures, workers: 1}}",
        "winner.training.epochs=1",
    ]
    changes = [part for text in settings for part in ("--set", text)]
    run(checkout, "-m", "netwright", "search", "recipes/digits-tiny.yaml", *changes, "--out", "searched")
    return checkout / "searched"


def test_a_search_made_of_the_plugins_of_the_pages_comes_to_an_end(searched: Path) -> None:
    view = open_run(searched)
    assert view.counts["done"] == view.asked == 2
    assert all(0 < trial.value("download_bytes") < 60000 for trial in view.trials)
    assert all(len(trial.curve) == 1 for trial in view.trials)
    assert {trial.origin.split()[0] for trial in view.trials} == {"random", "beside"}
    assert {trial.decisions["block1/filters"] for trial in view.trials} == {8}


def test_the_pass_the_panel_the_format_and_the_command_serve_that_run(searched: Path, checkout: Path) -> None:
    recipe = "--recipe recipes/digits-tiny.yaml --set compress.passes=[half_weights]"
    lines = [
        f"compress searched {recipe}",
        "report searched",
        "export searched --trial 0 --format c_header --out firmware",
        "table searched --out trials.csv",
    ]
    code = "import sys; from netwright.cli.main import run; sys.exit(any(run(line.split()) for line in sys.argv[1:]))"
    assert "2 trials" in run(checkout, "-c", code, *lines)
    before, after = open_run(searched).stages
    assert after["kept"]
    assert after["size_bytes"] < before["size_bytes"]
    assert abs(after["accuracy"] - before["accuracy"]) <= 0.01
    assert "No trial has failed or broken a bound." in (searched / "report.html").read_text(encoding="utf-8")
    header = checkout / "firmware" / "model.h"
    assert re.search(r"static const float head_linear_bias\[10\] = \{-?\d[^}]*f\};", header.read_text(encoding="utf-8"))
    compiler = shutil.which("cc")
    if compiler is not None:
        subprocess.run([compiler, "-fsyntax-only", "-x", "c", str(header)], check=True)
    rows = (checkout / "trials.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3
    assert "decision:block1/filters" in rows[0]


def test_the_panel_counts_reasons_and_draws_them(checkout: Path) -> None:
    code = """
import json
from netwright.core.plugins import build
from netwright.core.records import Trial, TrialState as S
from types import SimpleNamespace
found = [(S.DONE, ""), (S.FAILED, "<b>loud</b>"), (S.FAILED, "<b>loud</b>"), (S.INFEASIBLE, "macs 3 is above 2")]
trials = [Trial(number=n, decisions={}, identity=str(n), state=s, reason=r) for n, (s, r) in enumerate(found)]
view = SimpleNamespace(trials=trials)
panel = build("panel", "failures")
rows = panel.rows(view)
assert rows[0] == {"state": "failed", "reason": "<b>loud</b>", "trials": 2, "first": 1} and len(rows) == 2
assert {c.key for c in panel.columns(rows, view)} == set(rows[0])
figure = json.dumps(panel.figure(rows, view), allow_nan=False)
assert "<b>" not in figure and "&lt;b&gt;" in figure
"""
    run(checkout, "-c", code)


@pytest.mark.parametrize(("page", "arguments"), ALL_COMMANDS, ids=lambda value: getattr(value, "name", None))
def test_every_command_in_the_documentation_parses(page: Path, arguments: list[str]) -> None:
    if arguments[0] == PLUGINS["command"].name:
        return  # the command of its own how-to page, which is run above
    command: click.Command = cli
    rest = list(arguments)
    context: click.Context | None = None
    asks_for_help = rest[-1] == "--help"
    while isinstance(command, click.Group) and rest and rest[0] != "--help":
        context = click.Context(command, parent=context, info_name=command.name)
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    context = command.make_context(command.name, rest, parent=context, resilient_parsing=asks_for_help)
    recipe = context.params.get("recipe")
    if recipe is not None and (ROOT / recipe).exists() and not uses_plugins(arguments):
        load_specification(ROOT / recipe, overrides=context.params["overrides"])


def uses_plugins(arguments: list[str]) -> bool:
    """Whether a command needs a plugin of a page, or a file of the reader's own."""
    return any(plugin.name in text for plugin in PLUGINS.values() for text in arguments) or "my_module" in str(
        arguments
    )


def help_of(group: click.Group, *path: str) -> Iterator[tuple[str, str]]:
    """Every command's name and what stands under its help."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield " ".join((*path, name)), found.epilog or ""
        if isinstance(found, click.Group):
            yield from help_of(found, *path, name)


def test_the_examples_of_every_help_parse() -> None:
    seen = 0
    for name, epilog in help_of(cli):
        for line in epilog.replace("\\\n", " ").splitlines():
            for text in re.findall(r"(?:^|Example: |\| )\s*netwright ([^|]*)", line):
                command: click.Command = cli
                rest = shlex.split(re.split(r" > |  +[a-z]|`", text)[0], comments=True)
                while isinstance(command, click.Group):
                    _, found, rest = command.resolve_command(click.Context(command), rest)
                    assert found is not None, (name, line)
                    command = found
                command.make_context(command.name, rest)
                seen += 1
    assert seen > 50


def test_every_page_can_be_reached_from_the_first() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        targets = re.findall(r"\]\(([^)\s:]+)\)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in targets]
    assert set((ROOT / "docs").rglob("*.md")) <= seen


def test_the_documentation_shows_commands() -> None:
    assert {arguments[0] for _, arguments in ALL_COMMANDS} >= {
        "search",
        "compress",
        "report",
        "export",
        "bench",
        "list",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist_and_code_parses(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    own = {str(plugin.path) for plugin in PLUGINS.values()}
    for name in re.findall(r"`((?:netwright|tests|scripts|docs)/[\w/.-]+\.\w+)`", text):
        assert (ROOT / name).exists() or name in own, f"{page.name} names {name}, which does not exist"
    for block in blocks(page, "python"):
        ast.parse(block)
    for block in blocks(page, "yaml"):
        assert isinstance(parse_yaml(block, source=page.name), dict)


def test_the_run_description_shown_in_full_is_valid() -> None:
    (shown,) = blocks(ROOT / "docs" / "recipes.md", "yaml")
    specification = RunSpecification.parse(parse_yaml(shown, source="recipes.md"))
    assert set(parse_yaml(shown, source="recipes.md")) | {"latency"} == set(RunSpecification.model_fields)
    assert specification.winner.training.epochs == 20


def test_the_tables_of_fields_are_those_of_the_settings() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "make_recipe_docs.py"), "--check"], check=False)
    assert done.returncode == 0, "docs/recipes.md is out of date: run python scripts/make_recipe_docs.py"


def test_the_python_page_names_what_there_is() -> None:
    import netwright

    named = set(re.findall(r"\bnw\.(\w+)", (ROOT / "docs" / "python.md").read_text(encoding="utf-8")))
    assert named >= {"search", "compress", "export_trial", "open_run"}
    assert named == set(netwright.__all__) - {"__version__"}


def test_the_tables_of_the_record_are_as_described() -> None:
    from netwright.runs import record

    text = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    described = dict(re.findall(r"^\| `(nw_\w+)` \|[^|]*\| (.*) \|$", text, re.MULTILINE))
    assert set(described) == set(record.metadata.tables)
    for name, columns in described.items():
        stated = [part.split()[0] for part in re.sub(r"\([^)]*\)", "", columns).split(",")]
        assert stated == [
            column.name for column in record.metadata.tables[name].columns if (name, column.name) != ("nw_trials", "")
        ]
