"""A recipe that ends in an archive: what is handed over is what was measured, under names that are true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import netwright as nw
from netwright.core.errors import CheckpointError
from netwright.export.bundle import verify_bundle
from netwright.export.coding.archive import read_archive
from netwright.runs.specification import load_specification
from netwright.runs.view import open_run
from tests.conftest import ROOT

RECIPE = ROOT / "recipes" / "digits-tiny.yaml"

pytestmark = pytest.mark.slow


def _finished(path: Path, passes: str) -> Path:
    nw.run(RECIPE, out=path, overrides=["search.trials=4", f"compress.passes={passes}"])
    return path


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _finished(tmp_path_factory.mktemp("quantized") / "run", "[quantize, entropy_code]")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _finished(tmp_path_factory.mktemp("plain") / "run", "[entropy_code]")


def test_sizes_are_those_of_the_archive(quantized: Path) -> None:
    row = open_run(quantized).stages[-1]
    archive = quantized / row["archive"]
    assert row["size_bytes"] == row["coded_bytes"] == archive.stat().st_size == sum(row["bytes"].values())
    assert read_archive(archive) == (quantized / row["file"]).read_bytes()
    low, high = row["interval"]
    assert low < row["accuracy"] < high


def test_the_bundle_runs_the_archive_like_the_file_in_it(quantized: Path, tmp_path: Path) -> None:
    view = open_run(quantized)
    assert view.bundle is not None
    assert view.test is not None
    assert {"model.onnx", "model.int8.onnx", "model.nwz", "load_nwz.py"} <= set(verify_bundle(view.bundle))
    split = load_specification(RECIPE).task.test_split()
    np.savez(tmp_path / "test.npz", inputs=split.inputs, targets=split.targets)
    command = [sys.executable, "-I", "load.py", str(tmp_path / "test.npz"), "--model", "model.nwz"]
    done = subprocess.run(command, cwd=view.bundle, capture_output=True, text=True, check=True)
    assert repr(view.test["model.int8.onnx"]["accuracy"]) in done.stdout, done.stdout


def test_a_file_that_nobody_quantized_is_not_called_int8(plain: Path) -> None:
    view = open_run(plain)
    assert view.bundle is not None
    names = set(verify_bundle(view.bundle))
    assert {"model.onnx", "model.nwz", "load_nwz.py"} <= names
    assert "model.int8.onnx" not in names
    card = json.loads((view.bundle / "card.json").read_text())
    assert card["files"]["model.nwz"]["type"] == f"archive of {card['default']}"
    assert read_archive(view.bundle / "model.nwz") == (view.bundle / card["default"]).read_bytes()


def test_the_format_hands_over_the_compressed_file(quantized: Path, tmp_path: Path) -> None:
    result = nw.export_trial(quantized, format_name="nwz", out=tmp_path / "out")
    assert {"model.nwz", "load_nwz.py", "nwz.py", "task.py", "preprocessing.json"} <= set(result["files"])
    stage = open_run(quantized).stages[-1]
    assert read_archive(tmp_path / "out" / "model.nwz") == (quantized / stage["file"]).read_bytes()


def test_an_archive_changed_since_it_was_measured_is_refused(plain: Path) -> None:
    archive = plain / open_run(plain).stages[-1]["archive"]
    content = archive.read_bytes()
    archive.write_bytes(content + b"x")
    with pytest.raises(CheckpointError, match=r"nwz is missing or was changed"):
        nw.export_trial(plain)
    archive.write_bytes(content)
