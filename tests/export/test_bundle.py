"""A bundle is whole, proves itself, and runs with nothing but onnxruntime and numpy."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_networks import Exported

from netwright.core.errors import ExportError
from netwright.export.bundle import BundleContents, check_place, verify_bundle, write_bundle
from netwright.export.coding.archive import write_archive
from netwright.export.integer_weights import store_integers
from netwright.export.onnx_runtime import Session
from netwright.export.parity import check_parity
from netwright.export.quantization import full_range, quantize_dynamic
from netwright.export.quantization_static import Static, quantize_static
from netwright.tasks.data import Preprocessing

RAW = np.random.default_rng(0).integers(0, 256, size=(300, 1, 12, 12), dtype=np.uint8)
PREPROCESSING = Preprocessing.of(RAW)


@pytest.fixture(scope="module")
def contents(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> BundleContents:
    int8 = tmp_path_factory.mktemp("int8") / "q.onnx"
    ready = PREPROCESSING(RAW)
    quantize_static(exported.file("convnet"), int8, calibration=ready[:64])
    model = exported.model("convnet")
    return BundleContents(
        name="tiny",
        model=exported.file("convnet"),
        int8=int8,
        module=model,
        preprocessing=PREPROCESSING,
        classes=("a", "b", "c", "d"),
        default="model.int8.onnx",
        decisions={"depth": 2},
        parity={
            "model.onnx": check_parity(Session(exported.file("convnet")), model, ready),
            "model.int8.onnx": check_parity(Session(int8), model, ready, tolerance=None),
        },
        measurements=[{"stage": "start", "accuracy": 0.5, "latency_ms": np.float64(0.1)}],
        provenance={"seed": 0},
    )


@pytest.fixture(scope="module")
def folder(contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("out") / "bundle", contents).path


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The loader in an isolated interpreter; it ends with 3 when it has imported what it must not need."""
    watch = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "sys.exit(3 if {'torch', 'netwright', 'onnx'} & set(sys.modules) else 0)"
    )
    command = [sys.executable, "-I", "-c", watch, str(folder / "load.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin"})


def test_the_loader_says_what_the_bundle_is(folder: Path) -> None:
    done = _run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tiny: model.int8.onnx, input [1, 12, 12], tells 4 classes")


@pytest.mark.parametrize(
    ("model", "names", "arrange"),
    [
        ("model.onnx", ("inputs", "targets"), lambda x: x),
        ("model.int8.onnx", ("x_test", "y_test"), lambda x: x[:, 0]),
        (None, ("inputs", "targets"), lambda x: np.moveaxis(x, 1, 3)),
    ],
    ids=["NCHW", "NHW", "NHWC"],
)
def test_the_loader_gives_exactly_our_accuracy(
    folder: Path, tmp_path: Path, model: str | None, names: tuple[str, str], arrange
) -> None:
    targets = np.random.default_rng(1).integers(0, 4, size=len(RAW))
    np.savez(tmp_path / "data.npz", **{names[0]: arrange(RAW), names[1]: targets})
    done = _run(folder, str(tmp_path / "data.npz"), *(["--model", model] if model else []))
    assert (done.returncode, done.stderr) == (0, "")
    ours = Session(folder / (model or "model.int8.onnx"))(PREPROCESSING(RAW)).argmax(axis=1)
    correct = int((ours == targets).sum())
    assert f"accuracy {correct / len(RAW)!r} ({correct} of 300), balanced_accuracy " in done.stdout
    assert "latency " in done.stdout


def test_the_loader_can_be_imported(folder: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); sys.dont_write_bytecode = True\n"
        "import numpy as np; from load import Model\n"
        f"print(Model({str(folder)!r}, file='model.onnx').predict(np.zeros((5, 12, 12), np.uint8)).tolist())"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    expected = Session(folder / "model.onnx")(PREPROCESSING(np.zeros((5, 1, 12, 12), np.uint8))).argmax(axis=1)
    assert json.loads(done.stdout) == expected.tolist()


def test_the_loader_rounds_by_one_sample_what_finds_ranges_as_it_runs(contents: BundleContents, tmp_path: Path) -> None:
    file = tmp_path / "dynamic.onnx"
    quantize_dynamic(contents.model, file)
    made = replace(contents, int8=None, compressed=file, default="model.compressed.onnx", parity={})
    folder = write_bundle(tmp_path / "bundle", made).path
    np.save(tmp_path / "raw.npy", RAW[:40])
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True\n"
        "import numpy as np; from load import Model\n"
        "print(json.dumps(Model(sys.argv[1]).outputs(np.load(sys.argv[2])).tolist()))"
    )
    command = [sys.executable, "-I", "-c", code, str(folder), str(tmp_path / "raw.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    session = Session(file)
    alone = np.concatenate([session(PREPROCESSING(RAW[i : i + 1])) for i in range(40)])
    assert np.abs(alone - session(PREPROCESSING(RAW[:40]))).max() > 1e-5
    np.testing.assert_array_equal(np.array(json.loads(done.stdout), np.float32), alone)


def test_the_loader_names_what_it_expected(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=RAW)
    done = _run(folder, str(tmp_path / "data.npz"))
    assert done.returncode == 1
    assert "holds images; expected inputs and targets, or x_test and y_test" in done.stderr


def test_names_of_classes_stand_for_their_numbers(folder: Path, tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 4, len(RAW))
    np.savez(tmp_path / "numbers.npz", inputs=RAW, targets=numbers)
    np.savez(tmp_path / "names.npz", inputs=RAW, targets=np.array(list("abcd"))[numbers])
    np.savez(tmp_path / "other.npz", inputs=RAW, targets=np.array(["e"] * len(RAW)))
    by_number, by_name, other = (_run(folder, str(tmp_path / f"{n}.npz")) for n in ("numbers", "names", "other"))
    assert by_number.returncode == by_name.returncode == 0
    assert by_name.stdout.splitlines()[1] == by_number.stdout.splitlines()[1]
    assert "'e' is no class of this model; its classes are a, b, c, d" in other.stderr


def test_what_was_done_before_is_told_to_who_runs_the_model(contents: BundleContents, tmp_path: Path) -> None:
    prepared = "images are resized to height 12 and width 12"
    bundle = write_bundle(tmp_path / "bundle", replace(contents, prepared=prepared)).path
    assert prepared in (bundle / "README.md").read_text(encoding="utf-8")
    np.savez(tmp_path / "large.npz", inputs=RAW.repeat(2, axis=2), targets=np.zeros(len(RAW), int))
    done = _run(bundle, str(tmp_path / "large.npz"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"not [300, 1, 24, 12]; {prepared}")


def test_the_readme_names_a_file_that_some_cpus_cannot_compute(
    contents: BundleContents, exported: Exported, tmp_path: Path
) -> None:
    told = "`model.int8.onnx` multiplies by weights of all 8 bits"
    for reduce_range in (False, True):
        int8 = tmp_path / f"{reduce_range}.onnx"
        settings = Static(weights="int8", reduce_range=reduce_range)
        quantize_static(exported.file("convnet"), int8, calibration=PREPROCESSING(RAW[:64]), settings=settings)
        found = write_bundle(tmp_path / f"bundle-{reduce_range}", replace(contents, int8=int8)).path
        assert (told in (found / "README.md").read_text()) == (not reduce_range)
    dynamic = quantize_dynamic(exported.file("lstm"), tmp_path / "dynamic.onnx").path
    assert not full_range(dynamic)
    assert not full_range(exported.file("lstm"))


def test_the_card_and_the_files_are_complete(folder: Path) -> None:
    assert set(verify_bundle(folder)) == {
        *("model.onnx", "model.int8.onnx", "weights.safetensors", "architecture.json"),
        *("preprocessing.json", "card.json", "load.py", "task.py", "README.md"),
        *("model.netron.json", "model.int8.netron.json"),
    }
    card = json.loads((folder / "card.json").read_text())
    assert card["decisions"] == {"depth": 2}
    assert card["parity"]["model.onnx"]["max_difference"] < 1e-4
    assert card["measurements"] == [{"stage": "start", "accuracy": 0.5, "latency_ms": 0.1}]
    told = (folder / "README.md").read_text()
    assert "apart from the original on 300 samples, batches of 1, 2, 7, the same class for " in told
    assert "`card.json` has the measurements with their protocol" in told


@pytest.mark.parametrize("name", ["model.int8.onnx", "card.json", "load.py"])
def test_tampering_is_found_and_named(name: str, contents: BundleContents, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", contents).path
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(ExportError, match=f"{name.replace('.', '[.]')} in the bundle .* was changed"):
        verify_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(ExportError, match=f"{name.replace('.', '[.]')} is missing"):
        verify_bundle(folder)


def test_a_listing_cannot_point_outside(contents: BundleContents, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", contents).path
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../secret\n")
    with pytest.raises(ExportError, match=r"SHA256SUMS in .* is damaged"):
        verify_bundle(folder)


def test_a_bundle_replaces_a_bundle_and_nothing_else(contents: BundleContents, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", contents)
    write_bundle(tmp_path / "bundle", contents)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="exists and is not a bundle"):
        write_bundle(tmp_path / "precious", contents)
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_the_bundle_of_another_run_is_not_replaced(contents: BundleContents, tmp_path: Path) -> None:
    began = {"started": 1.5, "seed": 0}
    folder = write_bundle(tmp_path / "bundle", replace(contents, provenance={"environment": began})).path
    check_place(folder, "model.onnx", environment=began)
    with pytest.raises(ExportError, match="bundle is a bundle of another run; remove it, or give another folder"):
        check_place(folder, "model.onnx", environment={**began, "started": 2.5})


def test_a_place_that_takes_no_files_is_called_so(contents: BundleContents, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (Path("/proc/nowhere"), tmp_path / "file" / "bundle", tmp_path / ("a" * 300)):
        with pytest.raises(ExportError, match=r"cannot be written: (No such|File).*; give another"):
            write_bundle(place, contents)


def test_a_failed_bundle_leaves_nothing(contents: BundleContents, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    broken = BundleContents(
        **{**{f: getattr(contents, f) for f in contents.__dataclass_fields__}, "int8": tmp_path / "bad.onnx"}
    )
    with pytest.raises(ExportError, match="refuses"):
        write_bundle(tmp_path / "bundle", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def test_an_archive_lies_beside_the_file_it_gives_back(contents: BundleContents, tmp_path: Path) -> None:
    assert contents.int8 is not None
    write_archive(contents.int8, tmp_path / "q.nwz")
    folder = write_bundle(tmp_path / "bundle", replace(contents, archive=tmp_path / "q.nwz")).path
    assert {"model.nwz", "load_nwz.py", "nwz.py"} <= set(verify_bundle(folder))
    card = json.loads((folder / "card.json").read_text())
    assert card["files"]["model.nwz"]["type"] == "archive of model.int8.onnx"
    assert "load_nwz.py model.onnx" in (folder / "README.md").read_text()
    targets = np.random.default_rng(1).integers(0, 4, size=len(RAW))
    np.savez(tmp_path / "data.npz", inputs=RAW, targets=targets)
    told = [_run(folder, str(tmp_path / "data.npz"), "--model", name) for name in ("model.nwz", "model.int8.onnx")]
    assert [done.returncode for done in told] == [0, 0], told[0].stderr
    assert told[0].stdout.splitlines()[1] == told[1].stdout.splitlines()[1]
    with pytest.raises(ExportError, match=r"does not give back the model\.onnx"):
        write_bundle(tmp_path / "other", replace(contents, archive=tmp_path / "q.nwz", default="model.onnx"))


def test_a_file_that_is_not_quantized_has_another_name(contents: BundleContents, tmp_path: Path) -> None:
    assert contents.int8 is not None
    renamed = replace(contents, int8=None, compressed=contents.int8, default="model.compressed.onnx", parity={})
    names = set(verify_bundle(write_bundle(tmp_path / "bundle", renamed).path))
    assert "model.compressed.onnx" in names
    assert "model.int8.onnx" not in names
    with pytest.raises(ExportError, match=r"'model\.int8\.onnx' is not among"):
        write_bundle(tmp_path / "other", replace(renamed, default="model.int8.onnx"))


LOADED = """import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True
import numpy as np, load, load_nwz
def told(session):
    try:
        return session.get_session_options().get_session_config_entry("session.disable_quant_qdq")
    except RuntimeError:
        return "unset"
model = load.Model(sys.argv[1])
answers = model.outputs(np.load(sys.argv[2])).tolist()
print(told(model.session), told(load_nwz.Model(sys.argv[1]).session), answers)
"""


@pytest.mark.parametrize(("integers", "wanted"), [("stored", "1"), ("computed", "unset")])
def test_weights_that_are_only_stored_as_integers_are_made_float_once(
    integers: str, wanted: str, contents: BundleContents, exported: Exported, tmp_path: Path
) -> None:
    assert contents.int8 is not None
    file = contents.int8
    if integers == "stored":
        file = tmp_path / "w4.onnx"
        store_integers(exported.file("convnet"), file, bits=4)
    write_archive(file, tmp_path / "q.nwz")
    made = replace(contents, int8=None, compressed=file, default="model.compressed.onnx", parity={})
    folder = write_bundle(tmp_path / "bundle", replace(made, archive=tmp_path / "q.nwz")).path
    np.save(tmp_path / "raw.npy", RAW[:5])
    command = [sys.executable, "-I", "-c", LOADED, str(folder), str(tmp_path / "raw.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *told, answers = done.stdout.split(" ", 2)
    assert told == [wanted] * 2
    np.testing.assert_array_equal(np.array(json.loads(answers), np.float32), Session(file)(PREPROCESSING(RAW[:5])))
