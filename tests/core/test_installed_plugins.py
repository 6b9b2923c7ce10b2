"""Plugins that installed packages bring: found by name, never in place of another, and told when they are broken."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netwright.cli.main import run
from netwright.core import plugins
from netwright.core.errors import ConfigurationError, UnknownNameError
from netwright.core.plugins import build, load, name_of, names, summary

MODULE = "installed_for_test"
CODE = '''
from netwright.nas.strategies.random_search import RandomSearch


class Bright(RandomSearch):
    """Bright ideas."""


class Other(RandomSearch):
    """Other ideas."""
'''

Install = Callable[[str, str], None]


def forget() -> None:
    for memo in (plugins._entry_points, plugins._file_for):
        memo.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Install]:
    """Puts a package on the search path whose metadata names these strategies, as pip would."""

    def put(package: str, points: str) -> None:
        folder = tmp_path / package
        (folder / f"{package}-1.0.dist-info").mkdir(parents=True)
        (folder / f"{package}-1.0.dist-info/METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n"
        )
        (folder / f"{package}-1.0.dist-info/entry_points.txt").write_text(f"[netwright.strategy]\n{points}")
        (folder / f"{MODULE}.py").write_text(CODE)
        (folder / f"{MODULE}_broken.py").write_text("class C(\n")
        monkeypatch.syspath_prepend(folder)
        forget()

    yield put
    monkeypatch.undo()
    forget()
    for name in (MODULE, f"{MODULE}_broken"):
        sys.modules.pop(name, None)


def test_an_installed_plugin_comes_by_its_name_unless_that_is_taken(install: Install) -> None:
    install("first", f"bright = {MODULE}:Bright\nevolution = {MODULE}:Bright\ntwin = {MODULE}:Bright\n")
    install("second", f"twin = {MODULE}:Other\n")
    assert name_of(build("strategy", "bright")) == f"{MODULE}:Bright"
    assert load("strategy", "evolution").__module__ == "netwright.nas.strategies.evolution"
    assert {"bright", "evolution", f"{MODULE}:Bright", f"{MODULE}:Other"} <= set(names("strategy"))
    with pytest.raises(UnknownNameError, match=f"no strategy is called 'twin'.*{MODULE}:Other"):
        load("strategy", "twin")


def test_an_installed_plugin_that_cannot_be_loaded_is_told_and_the_others_are_listed(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    points = f"bright = {MODULE}:Bright\ngone = {MODULE}:Gone\nlost = no_such_pkg.a:B\nbroken = {MODULE}_broken:C\n"
    install("first", points)
    for name, said in {
        "gone": f"kind: '{MODULE}:Gone' was not found",
        "lost": "kind: 'no_such_pkg.a:B' cannot be imported: No module named 'no_such_pkg'",
        "broken": f"kind: importing '{MODULE}_broken:C' failed.*SyntaxError",
    }.items():
        with pytest.raises(ConfigurationError, match=said):
            build("strategy", name)
    assert run(["list", "strategies", "--json"]) == 0
    rows = {row["name"]: row["what"] for row in json.loads(capsys.readouterr().out)}
    assert rows["bright"] == "Bright ideas."
    assert rows["gone"].startswith("cannot be used: ")
    assert rows["evolution"] == summary("strategy", "evolution")
