"""Archives in use: as a format, and with the scripts that leave with them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_networks import Exported, samples

from netwright.core.errors import CheckpointError
from netwright.core.plugins import build
from netwright.export.bundle import BundleContents, verify_bundle, write_file_bundle
from netwright.export.coding.archive import read_archive, write_archive
from netwright.export.coding.onnx_regions import positive_zeros
from netwright.export.formats.nwz import Nwz
from netwright.export.onnx_runtime import Session
from netwright.tasks.data import Preprocessing


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(folder / "load_nwz.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin"})


@pytest.fixture(scope="module")
def folder(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an archive of a recurrent network."""
    form, inputs = Nwz(), samples(16, *exported.shape("lstm"))
    made = tmp_path_factory.mktemp("nwz")
    form.write(exported.model("lstm"), made / "file" / "model.nwz", example=inputs)
    contents = BundleContents(
        name="net",
        model=exported.file("lstm"),
        module=exported.model("lstm"),
        preprocessing=Preprocessing(1.0, (0.0,) * 5, (1.0,) * 5, axis=2),
        classes=("a", "b", "c"),
    )
    return write_file_bundle(made / "bundle", contents, form=form, file=made / "file" / "model.nwz").path


def test_the_format_keeps_what_the_network_computes(folder: Path, exported: Exported) -> None:
    inputs = samples(5, *exported.shape("lstm"))
    opened = build("format", "nwz").opened(folder / "model.nwz")
    np.testing.assert_allclose(opened(inputs), Session(exported.file("lstm"))(inputs), atol=1e-6)
    assert verify_bundle(folder) == (
        *("README.md", "card.json", "load_nwz.py", "model.nwz", "nwz.py", "preprocessing.json", "task.py"),
    )


def test_the_loader_writes_the_very_file(folder: Path, tmp_path: Path) -> None:
    assert _run(folder, str(tmp_path / "model.onnx")).returncode == 0
    assert (tmp_path / "model.onnx").read_bytes() == read_archive(folder / "model.nwz")
    assert f"model.nwz ({(folder / 'model.nwz').stat().st_size:,} bytes)" in _run(folder).stdout


def test_the_loader_does_not_write_over_the_archive(folder: Path) -> None:
    before = (folder / "model.nwz").read_bytes()
    done = _run(folder, str(folder / "model.nwz"))
    assert done.returncode == 1
    assert "is no .npy or .npz file" in done.stderr
    assert (folder / "model.nwz").read_bytes() == before


def test_the_loader_says_in_a_line_that_an_archive_is_damaged(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for kept, reason in (
        (100, "the archive is damaged"),
        (3, "this is not an archive of this kind"),
        (None, "the model file is missing"),
    ):
        if kept is not None:
            (tmp_path / "model.nwz").write_bytes((folder / "model.nwz").read_bytes()[:kept])
        else:
            (tmp_path / "model.nwz").unlink()
        told = _run(tmp_path)
        assert told.returncode == 1
        assert reason in told.stderr
        assert len(told.stderr.strip().splitlines()) == 1


def test_a_finished_file_is_taken_as_it_is(exported: Exported, tmp_path: Path) -> None:
    path = build("format", "nwz").from_onnx(exported.file("convnet"), tmp_path / "m.nwz")
    assert read_archive(path) == exported.file("convnet").read_bytes()


def test_a_damaged_archive_is_named_and_not_run(folder: Path, exported: Exported, tmp_path: Path) -> None:
    raw = bytearray((folder / "model.nwz").read_bytes())
    raw[10] ^= 4  # of the SHA-256
    (tmp_path / "bad.nwz").write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"bad\.nwz cannot be read: .*get the file again"):
        read_archive(tmp_path / "bad.nwz")
    with pytest.raises(CheckpointError, match="begins with b'\\\\x08"):
        read_archive(exported.file("convnet"))


def test_a_changed_bit_is_told_or_changes_nothing(folder: Path, tmp_path: Path) -> None:
    """A coder's last byte may have bits that nobody reads; the SHA-256 of the file in the archive decides."""
    raw, damaged = (folder / "model.nwz").read_bytes(), tmp_path / "bad.nwz"
    whole, told = read_archive(folder / "model.nwz"), 0
    places = range(4, len(raw), len(raw) // 60)
    for place in places:
        damaged.write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
        try:
            assert read_archive(damaged) == whole
        except CheckpointError:
            told += 1
    assert told > 0.9 * len(places)


def test_negative_zeros_become_positive_and_nothing_else_changes(tmp_path: Path, exported: Exported) -> None:
    from netwright.export.coding.onnx_regions import tensors

    file = bytearray(exported.file("mlp").read_bytes())
    place = next(one for one in tensors(bytes(file)) if one.size > 1000)
    view = np.frombuffer(file, "<f4", place.size // 4, place.start)
    view[:100] = -0.0
    made = positive_zeros(bytes(file))
    found = np.frombuffer(made, "<f4", place.size // 4, place.start)
    assert not np.signbit(found[:100]).any()
    np.testing.assert_array_equal(found, view)
    assert len(made) == len(file)
    (tmp_path / "m.onnx").write_bytes(made)
    assert write_archive(tmp_path / "m.onnx", tmp_path / "m.nwz").file_bytes == len(made)
