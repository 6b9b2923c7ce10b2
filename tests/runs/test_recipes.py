"""The recipes are whole run descriptions; those on real data are run where the data is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import netwright as nw
from netwright.runs.specification import load_specification
from tests.conftest import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
REAL = {
    "diabetes": "diabetes",
    "esol": "esol",
    "etth1": "",
    "full-duplex": "fullduplex",
    "isbi-membranes": "",
    "jsb-chorales": "jsb",
    "t91-superresolution": "t91",
    "trec": "trec",
}
"""The recipes on data that does not come along, and what makes their data."""


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_valid_and_bears_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWRIGHT_DATA", str(ROOT))
    assert load_specification(path).name == path.stem


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_recipe_runs_on_real_data(
    name: str, tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETWRIGHT_DATA", str(data_folder))
    monkeypatch.chdir(tmp_path)
    if name == "esol":
        pytest.importorskip("rdkit")
    if REAL[name]:
        subprocess.run([sys.executable, str(ROOT / "scripts" / "make_recipe_data.py"), REAL[name]], check=True)
    result = nw.run(ROOT / "recipes" / f"{name}.yaml", out=tmp_path / "run")
    assert result["stages"]
    assert result["test"]["model.onnx"]["n"] > 0
