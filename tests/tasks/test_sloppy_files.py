"""Files as programs and people leave them: blanks in typed tables, no row of names, deep pixels, lost files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netwright.core.errors import DataError
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.segmentation import Segmentation
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.kinds.table_classification import TableClassification
from netwright.tasks.readers.tables import read
from netwright.tasks.table import read_rows

FLOWERS = ("iris", "rose")


def test_blanks_around_texts_count_in_no_kind_of_table(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"where ": [" north", "south "] * 20, "size": range(40), "kind": ["a ", " b"] * 20})
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    data = [TableClassification(path=tmp_path / name).data() for name in ("rows.parquet", "rows.csv")]
    assert data[0].classes == ("a", "b")
    assert data[0].reading == data[1].reading
    assert data[0].fingerprint == data[1].fingerprint
    assert read(np.array([[" north", "3"], ["south", "3"]]), data[0].reading).tolist() == [[1, 0, 3], [0, 1, 3]]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["5.1,3.5,iris", "4.9,3.0,iris", "6.3,2.5,rose"], "begins with a row of values; put a row of names above"),
        (["p,x,p", "e,x,p", "p,s,p"], "begins with a row of values"),
        (["# plants, 1936", "a,b,kind", "1,2,x", "3,4,y"], r"3 of 3 rows have 3 values, the first row has 2; "),
        (["plants", "", "a,b,kind", "1,2,x"], "the first row has 1; it must name every column, with nothing above it"),
        (["a,b", "r1,1,2", "r2,3,4"], "2 of 2 rows have 3 values, the first row has 2; it must name every column"),
        (["a,b", "1,2", "1,2", "3"], "row 4: 1 value for 2 columns; mend or remove it"),
        (["a,kind", "1,x", "2,y", "a,kind", "3,x"], "row 4 repeats the row of names; remove it"),
    ],
)
def test_a_first_row_that_does_not_name_the_columns_is_refused(tmp_path: Path, lines: list[str], sentence: str) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=sentence):
        read_rows(tmp_path / "rows.csv")


def test_names_that_are_numbers_or_stand_in_one_column_again_are_names(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("2019,2020,smoker,age\n1,2,smoker,3\n4,5,no,6\n", encoding="utf-8")
    assert list(read_rows(tmp_path / "rows.csv")) == ["2019", "2020", "smoker", "age"]


@pytest.mark.parametrize(("word", "said"), [("none", "'none', which counts as empty"), ("", "is empty")])
def test_a_class_whose_name_counts_as_an_empty_cell_is_told(tmp_path: Path, word: str, said: str) -> None:
    lines = ["size,damage", *(f"{n},{'severe' if n % 2 else word}" for n in range(20))]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        TableClassification(path=tmp_path / "rows.csv").data()


def pictures(folder: Path, *, count: int = 6) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (2 * count, 6, 8, 3), dtype=np.uint8)
    for number, one in enumerate(pixels):
        place = folder / FLOWERS[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(place / f"{number}.png")
    return folder


def test_pixels_of_32_bits_are_refused_beside_coloured_images_too(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    Image.fromarray(np.random.default_rng(0).random((6, 8)).astype(np.float32)).save(folder / "rose" / "z.tif")
    with pytest.raises(DataError, match=r"z\.tif cannot be read as an image \(its pixels have 32 bits"):
        ImageClassification(path=folder).data()


def test_files_that_are_passed_over_are_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    shutil.move(folder / "rose" / "1.png", folder / "rose" / "1.jfif")
    task = ImageClassification(path=folder)
    assert len(task.load().train[0]) == 12
    assert task.remarks() == ()
    for name in ("a.mp4", "b.heic", "c.heic", ".hidden"):
        (folder / "iris" / name).write_bytes(b"no image")
    assert task.remarks() == (
        "files passed over, since their names are not those of images (.bmp, .gif, .jfif, .jpeg, .jpg, .pgm, .png, "
        ".ppm, .tif, .tiff, .webp): .heic (2), .mp4 (1)",
    )
    for path in folder.glob("*/*.[pj]*"):
        path.unlink()
    with pytest.raises(DataError, match=r"has no images.*; it has \.heic \(2\), \.mp4 \(1\)"):
        ImageClassification(path=folder, split_seed=1).data()


def test_masks_that_were_blurred_by_compression_are_said_to_be(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        for name in ("images", "masks"):
            pixels = (rng.random((16, 16)) > 0.5).astype(np.uint8) * 255
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.jpg")
    for settings in ({}, {"mask_values": [0, 255]}):
        with pytest.raises(DataError, match=r"masks of \d+ different values; .* as \.png"):
            Segmentation.parse({"path": tmp_path, **settings}).data()


def test_labels_that_are_not_there_are_counted(tmp_path: Path) -> None:
    images, labels = np.zeros((12, 4, 4), np.uint8), np.arange(12) % 3
    np.savez(tmp_path / "a.npz", x=images, y=np.where(labels == 0, np.nan, labels))
    with pytest.raises(DataError, match=r"has 4 of 12 labels that are nan; remove those samples, or give them a class"):
        ImageClassification(path=tmp_path / "a.npz").data()


def test_of_many_arrays_some_are_named(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {f"set{n}/x_train": np.zeros(3) for n in range(40)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"it has set0/x_train, .*set7/x_train and 32 more$"):
        ImageClassification(path=tmp_path / "a.npz").data()


def test_copies_that_a_program_hides_among_images_are_no_samples(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    shutil.copytree(folder / "iris", folder / "iris" / ".ipynb_checkpoints")
    assert len(ImageClassification(path=folder).load().train[0]) == 12


def test_a_table_for_a_task_of_arrays_is_called_a_table(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"is a table, which this task does not read; write an \.npz file"):
        SequenceClassification(path=tmp_path / "rows.csv").data()
