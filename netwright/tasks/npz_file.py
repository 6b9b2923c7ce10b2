"""Arrays in one .npz file: read under the usual names of their parts, or written for worker processes."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from netwright.core.errors import DataError
from netwright.core.files import write_atomic
from netwright.tasks.data import AnyArray, Arrays, Pair
from netwright.tasks.table import is_table

PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", ""),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
INPUTS = ("x", "inputs", "images", "data", "samples", "features", "input", "image", "arr_0")
TARGETS = ("y", "targets", "labels", "target", "label", "arr_1")
GROUPS = ("groups", "groups_train", "train_groups", "group")
CLASSES = ("class_names", "classes")
SHOWN = 8
EXPECTED = "expected x_train and y_train (x_test and y_test if there are any), or inputs and targets"


def read_arrays(path: Path) -> Arrays:
    """The parts stored in an .npz file, as they are; raises DataError that names the file.

    A part is an input array and a target array, named like `x_train`/`y_train`, `train_images`/
    `train_labels`, `inputs_test`/`targets_test`, or without a part: `inputs`/`targets`. Upper or lower
    case does not matter. `class_names` is optional, and so are `groups` of the training samples.
    """
    stored = read_stored(path)
    by_name = {key.lower(): key for key in stored}
    if len(by_name) < len(stored):
        raise DataError(f"{path} has arrays whose names differ only by case: {', '.join(stored)}; rename them")
    parts = {part: pair for part in PARTS if (pair := _pair(path, part, stored, by_name)) is not None}
    if "train" not in parts:
        raise DataError(f"{path} has no training data: {EXPECTED}; it has {listed(stored)}")
    names = next((stored[by_name[name]] for name in CLASSES if name in by_name), None)
    classes = () if names is None else tuple(str(name) for name in names.ravel())
    groups = next((stored[by_name[name]] for name in GROUPS if name in by_name), None)
    return Arrays.of(parts, classes=classes, groups=groups)


def write_arrays(
    inputs: AnyArray, targets: AnyArray, *, folder: Path, test: Pair | None = None, classes: Sequence[str] = ()
) -> Path:
    """Write arrays to an .npz file in `folder` and give its absolute path.

    The file is named by its content, so equal arrays share one file and a task that refers to it
    means the same data in every process.
    """
    arrays: dict[str, AnyArray] = {"x_train": np.asarray(inputs), "y_train": np.asarray(targets)}
    if test is not None:
        arrays |= {"x_test": np.asarray(test[0]), "y_test": np.asarray(test[1])}
    if classes:
        arrays["class_names"] = np.array([str(name) for name in classes])
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise DataError(f"{name} holds Python objects, perhaps rows of unequal length; give arrays of numbers")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    path = folder.expanduser().resolve() / f"arrays-{hashlib.sha256(content).hexdigest()[:16]}.npz"
    if not path.exists():
        write_atomic(path, content)
    return path


def read_stored(path: Path) -> dict[str, AnyArray]:
    """All arrays of an .npz file by name; raises DataError that names the file."""
    if not path.is_file():
        raise DataError(f"{path} is not a file; give the path of an .npz file")
    if not zipfile.is_zipfile(path):
        if is_table(path):
            raise DataError(f"{path} is a table, which this task does not read; write an .npz file with numpy.savez")
        raise DataError(f"{path} is not an .npz file; write one with numpy.savez, or save a table as .csv")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {key: _as_text(stored[key]) for key in stored.files}
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise DataError(f"{path} cannot be read ({error}); write plain arrays with numpy.savez") from None
        raise DataError(
            f"{path} cannot be read: it holds Python objects, which are refused; write plain arrays: texts as "
            "numpy.array(texts, dtype=str), sequences of unequal length filled up to one length"
        ) from None
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); write plain arrays of numbers with numpy.savez") from None


def _as_text(array: AnyArray) -> AnyArray:
    """Bytes, as HDF5 and C programs write texts, as the texts that they are in UTF-8; all else as it is."""
    return np.char.decode(array, "utf-8", "backslashreplace") if array.dtype.kind == "S" else array


def listed(names: Collection[str]) -> str:
    """The names of a file's arrays, of many the first ones."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(list(names)[:SHOWN]) + more or "no array"


def _pair(path: Path, part: str, stored: Mapping[str, AnyArray], by_name: Mapping[str, str]) -> Pair | None:
    inputs = [by_name[name] for name in _spellings(part, INPUTS) if name in by_name]
    targets = [by_name[name] for name in _spellings(part, TARGETS) if name in by_name]
    for what, found in (("inputs", inputs), ("targets", targets)):
        if len(found) > 1:
            raise DataError(f"{path} has the {part} {what} twice, as {' and '.join(found)}; keep one of them")
    if not inputs and not targets:
        return None
    if not inputs or not targets:
        missing = "targets" if inputs else "inputs"
        came = (inputs or targets)[0]
        raise DataError(f"{path} has {came} but no {part} {missing}: {EXPECTED}; it has {listed(stored)}")
    return stored[inputs[0]], stored[targets[0]]


def _spellings(part: str, names: Sequence[str]) -> Iterator[str]:
    for alias, name in product(PARTS[part], names):
        yield from dict.fromkeys([f"{name}_{alias}", f"{alias}_{name}"] if alias else [name])
