"""The loaders: 20 lines each, raw inputs in, outputs out, with the runtime and numpy alone, and a sentence when not."""

from __future__ import annotations

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export_networks import Exported, samples

from netwright.core.errors import ExportError, MissingPackageError
from netwright.core.plugins import build, names
from netwright.export.bundle import BundleContents, verify_bundle, write_bundle, write_file_bundle
from netwright.export.format import Format
from netwright.export.formats.onnx_any_length import OnnxAnyLength
from netwright.export.loaders import task_script
from netwright.tasks.data import Preprocessing
from tests.conftest import ROOT

TEMPLATES = ROOT / "netwright" / "export" / "templates"
RAW = np.random.default_rng(0).integers(0, 256, size=(40, 12, 12), dtype=np.uint8)
PREPROCESSING = Preprocessing.of(RAW[:, None])
FORMATS = [name for name in names("format") if build("format", name).needs and not build("format", name).any_length]
CALLS = """
import json, runpy, sys
loader, calls = sys.argv[1], json.loads(sys.argv[2])
told = []
for call in calls:
    sys.argv = [loader, *call]
    try:
        runpy.run_path(loader, run_name="__main__")
        told.append("")
    except SystemExit as error:
        told.append(str(error.code))
print(json.dumps([told, sorted({"netwright", "onnx", "scipy", "pandas"} & set(sys.modules))]))
"""


@pytest.fixture(scope="module")
def contents(exported: Exported) -> BundleContents:
    model = exported.file("convnet")
    names = ("a", "b", "c", "d")
    return BundleContents(
        name="net", model=model, module=exported.model("convnet"), preprocessing=PREPROCESSING, classes=names
    )


@pytest.fixture(scope="module", params=FORMATS)
def folder(request: pytest.FixtureRequest, contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of each format."""
    made = tmp_path_factory.mktemp(request.param)
    if request.param == "onnx":
        return write_bundle(made / "bundle", contents).path
    return one_file(request.param, contents, made)


def one_file(name: str, contents: BundleContents, made: Path) -> Path:
    form = build("format", name)
    assert isinstance(form, Format)
    path = made / "file" / f"model{form.suffix}"
    try:
        form.write(contents.module, path, example=PREPROCESSING(RAW[:16, None]))
    except MissingPackageError as error:
        pytest.skip(str(error))
    return write_file_bundle(made / "bundle", contents, form=form, file=path).path


def run(folder: Path, *calls: tuple[object, ...]) -> tuple[list[str], list[str]]:
    """What a loader prints, and what it ends with, when it is called so, one call after the other, all alone."""
    loader = next(path for path in (folder / "load.py", folder / "load_nwz.py") if path.exists())
    given = json.dumps([[str(one) for one in call] for call in calls])
    command = [sys.executable, "-I", "-W", "ignore", "-c", CALLS, str(loader), given]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", env={"PATH": "/usr/bin"})
    *printed, last = done.stdout.splitlines()
    told, unwanted = json.loads(last)
    assert unwanted == []
    return printed, told


def test_raw_inputs_give_the_networks_outputs(folder: Path, contents: BundleContents, tmp_path: Path) -> None:
    with torch.no_grad():
        wanted = contents.module(torch.from_numpy(PREPROCESSING(RAW[:, None]))).numpy()
    np.save(tmp_path / "in.npy", RAW)
    np.save(tmp_path / "small.npy", RAW[:, :9])
    np.savez(tmp_path / "data.npz", inputs=RAW, targets=wanted.argmax(axis=1))
    out = tmp_path / "out.npy"
    printed, told = run(folder, (tmp_path / "in.npy", out), (tmp_path / "data.npz",), (tmp_path / "small.npy", out))
    np.testing.assert_allclose(np.load(out), wanted, atol=1e-4)
    assert printed[1].startswith("accuracy 1.0 (40 of 40)")
    assert told == ["", "", "inputs must be [N, 1, 12, 12], or images with channels last, not [40, 9, 12]"]


def test_sequences_may_have_any_length_where_the_file_takes_it(exported: Exported, tmp_path: Path) -> None:
    model, rows = exported.model("lstm"), Preprocessing(1.0, (0.5,) * 5, (2.0,) * 5, axis=2)
    file, form = tmp_path / "made" / "model.onnx", OnnxAnyLength()
    file.parent.mkdir()
    form.write(model, file, example=samples(16, 9, 5))
    made = BundleContents(name="net", model=file, module=model, preprocessing=rows, classes=("a", "b", "c"))
    folder = write_file_bundle(tmp_path / "bundle", made, form=form, file=file).path
    for length in (9, 12):
        np.save(tmp_path / f"{length}.npy", samples(3, length, 5))
    calls = [(tmp_path / f"{length}.npy", tmp_path / f"out{length}.npy") for length in (9, 12)]
    assert run(folder, *calls)[1] == ["", ""]
    for length in (9, 12):
        with torch.no_grad():
            wanted = model(torch.from_numpy(rows(samples(3, length, 5)))).numpy()
        np.testing.assert_allclose(np.load(tmp_path / f"out{length}.npy"), wanted, atol=1e-5)


def test_images_have_no_length_to_leave_open(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"is \[time, features\], but the network takes \(1, 12, 12\)"):
        OnnxAnyLength().write(exported.model("convnet"), tmp_path / "m.onnx", example=samples(2, 1, 12, 12))


def test_what_cannot_be_used_is_told_in_a_line(contents: BundleContents, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", contents).path
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "none.npy", RAW[:0])
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    np.savez(tmp_path / "few.npz", inputs=RAW, targets=np.zeros(3, int))
    told = {
        ("words.npy", "out.npy"): "inputs must be numbers, not of type <U1",
        ("none.npy", "out.npy"): "there are no inputs: the first axis is empty",
        ("objects.npy", "out.npy"): "is no .npy or .npz file of numbers or texts",
        ("table.csv", "out.npy"): "is no .npy or .npz file of numbers or texts",
        ("missing.npy", "out.npy"): "missing.npy: No such file or directory",
        ("few.npz", "nowhere/out.npy"): "nowhere/out.npy: No such file or directory",
        ("none.npy",): "holds one array alone; expected inputs and targets, or x_test and y_test",
        ("few.npz",): "there are 40 inputs and 3 targets; each input needs one",
        ("few.npz", "--model", "other.onnx"): "other.onnx is no model of this folder; there are model.onnx",
    }
    calls = [tuple(tmp_path / one if "." in one and one != "other.onnx" else one for one in call) for call in told]
    for found, sentence in zip(run(folder, *calls)[1], told.values(), strict=True):
        assert sentence in found
        assert "\n" not in found
    (folder / "model.onnx").unlink()
    assert run(folder, ())[1] == [f"{folder}/model.onnx: the model file is missing; get the folder again"]


def test_channels_are_named_for_images_alone() -> None:
    arrange = runpy.run_path(str(TEMPLATES / "task.py"))["arrange"]
    with pytest.raises(ValueError, match=r"inputs must be \[N, 12, 2\], not \[4, 9, 2\]"):
        arrange(np.zeros((4, 9, 2)), [12, 2])


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("load*.py")), ids=lambda path: path.stem)
def test_a_loader_has_20_lines_of_code(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    opening = tree.body[0].end_lineno
    lines = path.read_text(encoding="utf-8").splitlines()[opening:]
    assert sum(bool(line.strip()) for line in lines) <= 20


def test_the_page_shows_the_very_loader() -> None:
    page = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
    assert f"```python\n{(TEMPLATES / 'load_onnx.py').read_text(encoding='utf-8')}```\n" in page


def test_a_bundle_of_another_format_is_not_replaced(contents: BundleContents, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", contents)
    with pytest.raises(ExportError, match=r"bundle is a bundle of model\.onnx; give another folder for model\.nwz"):
        one_file("nwz", contents, tmp_path)
    assert "model.onnx" in verify_bundle(tmp_path / "bundle")


def test_what_somebody_put_into_a_bundle_stays_there(contents: BundleContents, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()  # an empty folder is a place too
    folder = write_bundle(tmp_path / "bundle", contents).path
    (folder / "data.npz").write_text("mine")
    assert "data.npz" not in write_bundle(folder, contents).files
    assert (folder / "data.npz").read_text() == "mine"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import pandas\n", r"may import Python's own modules and numpy, not pandas"),
        ("import math\n\n\ndef arrange(x):\n    return x\n", "must not define arrange, which the loader has already"),
    ],
)
def test_what_would_not_run_elsewhere_is_refused(source: str, sentence: str) -> None:
    with pytest.raises(ExportError, match=sentence):
        task_script(reader="", answers=f'"""Mine."""\n\n{source}')
