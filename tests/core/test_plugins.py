"""Plugins: one file is one plugin; names are listed without importing; mistakes get the nearest name."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from netwright.core.errors import ConfigurationError, MissingPackageError, UnknownNameError
from netwright.core.plugins import KINDS, build, load, name_of, names, spec_of, summary

ALL = [(kind, name) for kind in KINDS for name in names(kind)]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_plugin_file_holds_one_documented_class_of_its_kind(kind: str, name: str) -> None:
    cls = load(kind, name)
    assert name_of(cls) == name
    assert len(summary(kind, name)) > 10
    assert cls.model_config["frozen"]
    assert cls.model_config["extra"] == "forbid"


@pytest.mark.parametrize(("kind", "name"), [("space", "cells"), ("strategy", "evolution"), ("operation", "flatten")])
def test_a_specification_makes_the_same_plugin_again(kind: str, name: str) -> None:
    plugin = build(kind, name)
    assert build(kind, spec_of(plugin)) == plugin


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cells'"):
        load("space", "cels")
    with pytest.raises(ConfigurationError, match="kind: no strategy is called 'evolutoin'; did you mean 'evolution'"):
        build("strategy", {"kind": "evolutoin"})


def test_a_plugin_that_was_found_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load("metric", "params")

    def refused(*_: object) -> None:
        raise AssertionError("the folder was read again")

    monkeypatch.setattr("pkgutil.iter_modules", refused)
    assert load("metric", "params") is found


def test_a_name_may_be_cut_short_while_it_means_one_plugin() -> None:
    assert load("executor", "ray") is load("executor", "ray_tune")


def test_a_file_dropped_in_is_a_plugin_with_no_other_edit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dropped.py").write_text(
        '"""A space of one network."""\n'
        "from netwright.search_spaces.operations.flatten import Flatten\n"
        "from netwright.search_spaces.operations.linear import Linear\n"
        "from netwright.search_spaces.space import SearchSpace\n\n\n"
        "class Dropped(SearchSpace):\n"
        '    """Logistic regression."""\n\n'
        "    def decide(self, choose):\n"
        "        return None\n\n"
        "    def lower(self, plan, net, shapes):\n"
        "        return net.chain(net.input, Flatten(), Linear(features=shapes.output))\n"
    )
    package = importlib.import_module(KINDS["space"].package)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert "dropped" in names("space")
    assert name_of(build("space", "dropped")) == "dropped"
    sys.modules.pop("netwright.search_spaces.spaces.dropped", None)


def test_a_users_own_plugin_comes_by_dotted_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine_for_test.py").write_text(
        "from netwright.nas.strategies.random_search import RandomSearch\n\n\n"
        "class Mine(RandomSearch):\n    pass\n\n\nx = 1\n"
        "from netwright.search_spaces.space import SearchSpace\n\n\nclass Half(SearchSpace):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugin = build("strategy", "mine_for_test:Mine")
    assert spec_of(plugin)["kind"] == "mine_for_test:Mine"
    with pytest.raises(ConfigurationError, match="is not a subclass of netwright"):
        build("strategy", "mine_for_test:x")
    with pytest.raises(ConfigurationError, match="'mine_for_test:Half' does not define decide, lower"):
        build("space", "mine_for_test:Half")
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        build("strategy", "no_such_module_here:Mine")


def test_a_missing_package_names_the_plugin_and_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "needy.py").write_text("import surely_not_installed\n")
    package = importlib.import_module(KINDS["format"].package)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    with pytest.raises(MissingPackageError, match=r"'needy' needs the package 'surely_not_installed'.*pip install"):
        load("format", "needy")
