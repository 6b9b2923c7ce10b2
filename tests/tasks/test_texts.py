"""Texts of one's own: how they are cut, which words are known, which files are read and what is refused."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netwright as nw
from netwright.core.errors import DataError
from netwright.core.plugins import spec_of
from netwright.export.loaders import task_script
from netwright.tasks.kinds.text_classification import TextClassification
from netwright.tasks.readers.texts import read, tokens

ROWS = [("a good film", "yes"), ("it is bad", "no"), ("good , good !", "yes"), ("Bad bad film", "no")] * 4


def table(folder: Path, rows: Sequence[tuple[str, ...]] = ROWS, *, header: str = "text,label", mark: str = ",") -> Path:
    path = folder / f"texts.{'tsv' if mark == chr(9) else 'csv'}"
    lines = [header.replace(",", mark), *(mark.join(f'"{cell}"' for cell in row) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def task(path: Path, **settings: Any) -> TextClassification:
    return TextClassification.parse({"path": path, **settings})


def test_a_text_is_cut_into_words_and_other_signs() -> None:
    assert tokens("It's 2 GOOD, naïve_1… ok?!", "words") == ["it's", "2", "good", ",", "naïve_1", "…", "ok", "?", "!"]
    assert tokens("हिन्दी में, ดีครับ cafe\u0301", "words") == ["हिन्दी", "में", ",", "ดีครับ", "cafe\u0301"]
    assert tokens("A b.", "characters") == ["A", " ", "b", "."]
    assert tokens("  ", "words") == []


def test_numbers_stand_at_the_end_and_unknown_words_are_one() -> None:
    settings = {"unit": "words", "length": 4, "vocabulary": ["film", "good"]}
    found = read(np.array(["good film", "", "a good good film again"]), settings)
    assert found[..., 0].tolist() == [[0, 0, 3, 2], [0, 0, 0, 0], [1, 3, 3, 2]]
    assert read(found, settings) is found
    with pytest.raises(ValueError, match=r"texts must be a list \[N\], even of one, not of shape \[\]"):
        read(np.array("good film"), settings)


def test_only_training_texts_make_the_vocabulary(tmp_path: Path) -> None:
    parts = [*[(*row, "train") for row in ROWS], ("strange strange", "no", "dev"), ("odd odd odd", "yes", "test")]
    path = table(tmp_path, parts, header="text,label,part")
    made = task(path, split="part")
    data = made.data()
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 1, 1)
    assert data.reading["vocabulary"] == ["bad", "good", "film", "!", ",", "a", "is", "it"]
    assert not {"strange", "odd"} & set(data.reading["vocabulary"])
    assert data.validation.inputs[0, -2:, 0].tolist() == [1, 1]
    assert made.shapes().tokens == 2 + len(data.reading["vocabulary"])


def test_words_are_known_by_how_often_they_are_there(tmp_path: Path) -> None:
    path = table(tmp_path)
    most = task(path, vocabulary=2, length=2).data()
    assert set(most.reading["vocabulary"]) == {"bad", "good"}
    assert most.train.inputs.shape[1:] == (2, 1)
    with pytest.raises(DataError, match=r"no word is 99 times or more .* lower `least`"):
        task(path, least=99).data()


@pytest.mark.parametrize("kind", ["csv", "semicolons", "tsv", "parquet", "npz"])
def test_every_kind_of_file_gives_the_same_data(kind: str, tmp_path: Path) -> None:
    expected = task(table(tmp_path)).data()
    texts, labels = (list(column) for column in zip(*ROWS, strict=True))
    path = tmp_path / f"other.{kind}"
    if kind == "npz":
        np.savez(path, inputs=np.array(texts), targets=np.array(labels))
    elif kind == "parquet":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        pandas.DataFrame({"text": texts, "label": labels}).to_parquet(path)
    else:
        path = table(tmp_path, mark={"tsv": "\t", "csv": ",", "semicolons": ";"}[kind])
    data = task(path).data()
    assert data.fingerprint == expected.fingerprint
    assert data.reading == expected.reading
    assert data.classes == ("no", "yes")


def _numbers(folder: Path) -> Path:
    np.savez(folder / "n.npz", inputs=np.zeros((8, 3)), targets=np.arange(8) % 2)
    return folder / "n.npz"


def _latin(folder: Path) -> Path:
    (folder / "latin.csv").write_bytes("text,label\nun café,yes\n".encode("latin-1"))
    return folder / "latin.csv"


@pytest.mark.parametrize(
    ("make", "settings", "sentence"),
    [
        (table, {"text": "texts"}, "has no column 'texts'; did you mean 'text'.* by `text`"),
        (table, {"split": "label"}, "row 2: the part 'yes' is none of train, validation and test"),
        (lambda f: table(f, [*ROWS, ("no class", "")]), {}, "row 18: the column 'label' is empty"),
        (lambda f: table(f, []), {}, "has no row of values"),
        (lambda f: f, {}, "is a folder; give the path of a .csv, .tsv, .jsonl, .parquet or .npz file"),
        (_latin, {}, "is not written in UTF-8; save it so"),
        (
            lambda f: f / "missing.csv",
            {},
            "does not exist; give the path of a .csv, .tsv, .jsonl, .parquet or .npz file",
        ),
        (_numbers, {}, "inputs of the type float64 and shape .8, 3.; give texts"),
        (lambda f: table(f, [*ROWS, ("rare", "maybe")]), {}, "class 'maybe' has 1 training sample"),
    ],
)
def test_unusable_files_are_refused(
    make: Callable[[Path], Path], settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        task(make(tmp_path), **settings).data()


def test_what_is_cut_and_what_is_not_known_is_told(tmp_path: Path) -> None:
    assert task(table(tmp_path)).remarks() == ()
    (cut,) = task(table(tmp_path), length=4).remarks()
    assert (
        cut == "17 % of the training texts have 4 words or more, of which the first 4 are read; set `length` for more"
    )
    rows = [*[(*row, "train") for row in ROWS], ("这部电影很好", "yes", "dev"), ("这部电影很差 film", "no", "dev")]
    (unknown,) = task(table(tmp_path, rows, header="text,label,part"), split="part").remarks()
    assert unknown.startswith("67 % of the words in the validation texts are not known; where blanks do not part words")


def test_the_bundles_loader_reads_texts(tmp_path: Path) -> None:
    made = task(table(tmp_path))
    reading = made.data().reading
    script = task_script(reader=inspect.getsource(made.reader()), answers="")
    found: dict[str, Any] = {"__file__": str(tmp_path / "task.py"), "__name__": "task"}
    exec(script, found)  # the text that a bundle gets
    texts = np.array(["Good FILM", "unheard-of bad"])
    np.testing.assert_array_equal(found["read"](texts, reading), read(texts, reading))
    assert "netwright" not in script


@pytest.mark.slow
def test_a_network_for_texts_is_handed_over(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    recipe = {
        "name": "words",
        "task": spec_of(task(table(tmp_path / "data", ROWS * 3))),
        "space": {"kind": "stack", "parts": [{"kind": "embedding", "widths": [8]}, {"kind": "tcn", "levels": [1, 1]}]},
        "objectives": ["accuracy"],
        "search": {"trials": 1, "training": {"epochs": 30, "learning_rate": 0.02}, "executor": {"kind": "inline"}},
    }
    nw.search(recipe, out=tmp_path / "run")
    nw.export_trial(tmp_path / "run", trial="best", out=tmp_path / "bundle")
    np.savez(tmp_path / "mine.npz", inputs=np.array([t for t, _ in ROWS]), targets=np.array([y for _, y in ROWS]))
    code = (
        "from load import Model; m = Model(); print([m.card['classes'][n] for n in m.predict(['GOOD, good!', 'bad'])])"
    )
    for arguments, expected in ((["-c", code], "['yes', 'no']"), (["load.py", "../mine.npz"], "accuracy 1.0")):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path / "bundle", capture_output=True, text=True, check=False
        )
        assert expected in done.stdout, done.stderr
    assert "Takes texts, which the loader makes [N, 4, 1] of, and tells 2 classes" in (
        tmp_path / "bundle" / "README.md"
    ).read_text(encoding="utf-8")
