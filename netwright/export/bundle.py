"""The folder that leaves: model files, preprocessing, proof of parity, numbers, and a loader.

Contents: `model.onnx`, `model.int8.onnx` if it was quantized or `model.compressed.onnx` if a pass made another file,
`model.nwz` with `load_nwz.py` if the file was entropy-coded, `weights.safetensors` and `architecture.json`,
`model.netron.json` (figures per node, to drop onto the model in Netron); or the file of one other format. Beside them
`preprocessing.json`, `card.json` (what it is, decisions, parity, measurements, provenance), `load.py` (needs only the
runtime and numpy) with `task.py`, `README.md` and `SHA256SUMS`.
"""

from __future__ import annotations

import hmac
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from netwright.core.errors import ExportError
from netwright.core.files import file_hash
from netwright.core.plugins import build
from netwright.export.coding.archive import read_archive
from netwright.export.format import Format
from netwright.export.loaders import TASK, task_script
from netwright.export.netron import write_attachment
from netwright.export.onnx_runtime import Session
from netwright.export.parity import Parity
from netwright.export.quantization import full_range
from netwright.export.weights import describe, write_weights

if TYPE_CHECKING:
    from torch import nn

FLOAT, INT8, COMPRESSED, ARCHIVE = "model.onnx", "model.int8.onnx", "model.compressed.onnx", "model.nwz"
SUMS, CARD = "SHA256SUMS", "card.json"

RUN = """
Run it with {alone} alone:

```
pip install {needs}
python {loader}                              # what this folder is
python {loader} inputs.npy outputs.npy       # raw inputs in, the network's outputs out
python {loader} data.npz                     # scores on its raw `inputs` and `targets`
```
"""

SATURATES = """
`{name}` multiplies by weights of all 8 bits: exact on ARM and on x86 CPUs with VNNI or AMX, wrong on other x86 CPUs,
for which it is made anew with `reduce_range: true` of the pass `quantize`."""

ARCHIVED = (
    f"`{ARCHIVE}` is all of the model in the fewest bytes: `python load.py --model {ARCHIVE}` runs it, and",
    "`python load_nwz.py model.onnx` writes the ONNX file in it.\n",
)


class Preprocessing(Protocol):
    """How raw inputs become the network's: anything with scale, mean, std and axis as JSON."""

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleContents:
    """What goes into a bundle.

    `model` is the ONNX file of `module`; `int8` a quantized one, `compressed` one that a pass changed otherwise, and
    `archive` holds the one that is handed over, which must be the default. `architecture` is the module's layer graph
    or patch as plain JSON; left out, the layers are listed. `measurements` are rows of a table, one per stage.
    `default` names the file that the loader runs unless told otherwise. `gives` says in words what comes out;
    `answers` is the source of a module that reads outputs and scores them (as `netwright.tasks.answers.classes`,
    which stands in where nothing is given), with its `settings`; `reader` is that of one that makes numbers of raw
    inputs, with its settings in `reading`, whose `raw` says what they are. `prepared` says what was done to inputs
    before they were raw arrays, such as resizing.
    """

    name: str
    model: Path
    module: nn.Module
    preprocessing: Preprocessing
    classes: Sequence[str]
    prepared: str = ""
    gives: str = ""
    answers: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    reader: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)
    int8: Path | None = None
    compressed: Path | None = None
    archive: Path | None = None
    default: str = FLOAT
    architecture: Mapping[str, Any] | None = None
    decisions: Mapping[str, Any] | None = None
    parity: Mapping[str, Parity] = field(default_factory=dict)
    measurements: Sequence[Mapping[str, Any]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A written bundle: its folder and its files' names."""

    path: Path
    files: tuple[str, ...]


def write_bundle(folder: Path, contents: BundleContents) -> Bundle:
    """Write a bundle, whole or not at all; an older bundle in the same place is replaced.

    Raises ExportError when the folder exists and is something else, or a model file does not run.
    """
    if contents.default not in _models(contents):
        raise ExportError(f"the default model {contents.default!r} is not among the bundle's model files")
    return _written(folder, contents.default, lambda temporary: _fill(temporary, contents))


def write_file_bundle(folder: Path, contents: BundleContents, *, form: Format, file: Path) -> Bundle:
    """Write a bundle of one file in another format than ONNX, and of what lies beside that file, in the same way."""
    named = replace(contents, default=file.name)

    def fill(temporary: Path) -> None:
        shutil.copytree(file.parent, temporary, dirs_exist_ok=True)
        measured = file if form.any_length else contents.model
        shape = [size if isinstance(size, int) else None for size in Session(measured).input_shape[1:]]
        _finish(temporary, named, {file.name: (form.suffix.lstrip("."), form)}, shape)

    return _written(folder, file.name, fill)


def _written(folder: Path, default: str, fill: Callable[[Path], None]) -> Bundle:
    folder = Path(folder).absolute()
    check_place(folder, default)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        fill(temporary)
        sums = [f"{file_hash(path)}  {path.name}\n" for path in sorted(temporary.iterdir())]
        (temporary / SUMS).write_text("".join(sums), encoding="utf-8")
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle(path=folder, files=verify_bundle(folder))


def check_place(folder: Path, default: str, *, environment: Mapping[str, Any] | None = None) -> None:
    """Raise ExportError where no bundle of this file can be written.

    That is where something else is, or a bundle of another format, or of a run that began in another `environment`, as
    its provenance tells, or where no files can be put.
    """
    try:
        if folder.exists() and not (_is_bundle(folder) or (folder.is_dir() and not any(folder.iterdir()))):
            raise ExportError(f"{folder} exists and is not a bundle; give a folder that does not exist yet")
        if _is_bundle(folder):
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            held, origin = card["default"], card["provenance"].get("environment")
            if Path(held).suffix != Path(default).suffix:
                raise ExportError(f"{folder} is a bundle of {held}; give another folder for {default}")
            if environment is not None and origin != environment:
                raise ExportError(f"{folder} is a bundle of another run; remove it, or give another folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent):
            pass
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror}; give another folder") from None


def verify_bundle(folder: Path) -> tuple[str, ...]:
    """The names of a bundle's files, each checked against its SHA-256.

    Raises ExportError naming the file that is missing or is not the one that was written.
    """
    listing = folder / SUMS
    if not listing.is_file():
        raise ExportError(f"{folder} is not a bundle: it has no {SUMS}")
    names = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        if not name or Path(name).name != name:
            raise ExportError(f"{SUMS} in {folder} is damaged at the line {line!r}")
        path = folder / name
        if not path.is_file():
            raise ExportError(f"{name} is missing from the bundle {folder}")
        if not hmac.compare_digest(file_hash(path), expected):
            raise ExportError(f"{name} in the bundle {folder} was changed: its SHA-256 differs from {SUMS}")
        names.append(name)
    return tuple(names)


def _is_bundle(folder: Path) -> bool:
    return folder.is_dir() and (folder / SUMS).is_file() and (folder / CARD).is_file()


def _fill(folder: Path, contents: BundleContents) -> None:
    onnx, nwz = build("format", "onnx"), build("format", "nwz")
    assert isinstance(onnx, Format)
    assert isinstance(nwz, Format)
    models: dict[str, tuple[str, Format]] = {}
    for name, (path, kind) in _models(contents).items():
        shutil.copyfile(path, folder / name)
        models[name] = kind, onnx
    shapes = [Session(folder / name).input_shape[1:] for name in models]
    for name in models:
        write_attachment(folder / name)
    shape = [size if isinstance(size, int) else None for size in shapes[0]]
    if contents.archive is not None:
        if read_archive(contents.archive) != (folder / contents.default).read_bytes():
            text = f"{contents.archive.name} does not give back the {contents.default} that it was made of"
            raise ExportError(text)
        shutil.copyfile(contents.archive, folder / ARCHIVE)
        models[ARCHIVE] = f"archive of {contents.default}", nwz
    architecture = contents.architecture or describe(contents.module, input_shape=[s or 0 for s in shape])
    write_weights(contents.module, folder / "weights.safetensors", architecture=architecture)
    (folder / "weights.json").rename(folder / "architecture.json")
    _finish(folder, contents, models, shape)


def _finish(
    folder: Path, contents: BundleContents, models: Mapping[str, tuple[str, Format]], shape: Sequence[int | None]
) -> None:
    """Put everything beside the model files, which are there by their names with their kind and format."""
    settings = {**contents.preprocessing.to_json(), "input_shape": shape, "reading": dict(contents.reading)}
    _write_json(folder / "preprocessing.json", settings)
    found = [form.scripts(folder / name) for name, (_, form) in models.items()]
    scripts = {name: text for one in found for name, text in one.items()}
    if scripts:
        scripts[TASK] = task_script(reader=contents.reader, answers=contents.answers)
    for name, text in scripts.items():
        (folder / name).write_text(text, encoding="utf-8")
    entries = {name: _entry(folder / name, kind, form) for name, (kind, form) in models.items()}
    _write_json(folder / CARD, _card(contents, entries, shape))
    (folder / "README.md").write_text(_readme(contents, entries, shape, models), encoding="utf-8")


def _entry(path: Path, kind: str, form: Format) -> dict[str, Any]:
    """What the card says of a model file."""
    loader = next(iter(form.scripts(path)), None)
    known = {"type": kind, "bytes": path.stat().st_size, "sha256": file_hash(path), "loader": loader}
    return {**known, **form.calls(path)}


def _models(contents: BundleContents) -> dict[str, tuple[Path, str]]:
    """The bundle's ONNX files by their names there, with what they hold."""
    found = {
        FLOAT: (contents.model, "float32"),
        INT8: (contents.int8, "int8"),
        COMPRESSED: (contents.compressed, "compressed"),
    }
    return {name: (path, kind) for name, (path, kind) in found.items() if path is not None}


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Move the finished bundle to its name; an older one is put aside first and then removed."""
    if not folder.exists():
        temporary.rename(folder)
        return
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(aside)
    temporary.rename(folder)
    for path in _added(aside):
        if not (folder / path.name).exists():
            path.rename(folder / path.name)
    shutil.rmtree(aside)


def _added(folder: Path) -> list[Path]:
    """What somebody put into a bundle, such as data to score, which stays there."""
    if not _is_bundle(folder):
        return []
    ours = {line.partition("  ")[2] for line in (folder / SUMS).read_text(encoding="utf-8").splitlines()}
    return [path for path in folder.iterdir() if path.name not in {*ours, SUMS, "__pycache__"}]


def _card(
    contents: BundleContents, entries: Mapping[str, Mapping[str, Any]], shape: Sequence[int | None]
) -> dict[str, Any]:
    return {
        "name": contents.name,
        "default": contents.default,
        "files": entries,
        "input": {
            "name": "input",
            "shape": list(shape),
            "type": "float32 after preprocessing.json",
            "prepared": contents.prepared,
        },
        "output": "output",
        "classes": list(contents.classes),
        "gives": _gives(contents),
        "answers": dict(contents.settings),
        "decisions": dict(contents.decisions) if contents.decisions is not None else None,
        "parity": {name: parity.to_json() for name, parity in contents.parity.items()},
        "measurements": [dict(row) for row in contents.measurements],
        "provenance": dict(contents.provenance),
    }


def _takes(contents: BundleContents, shape: Sequence[int | None]) -> str:
    """What goes in; raw inputs that are no arrays are named too."""
    array = f"[N, {', '.join(str(size or 'any') for size in shape)}]"
    raw = contents.reading.get("raw")
    return f"{raw}, which the loader makes {array} of," if raw else array


def _gives(contents: BundleContents) -> str:
    return contents.gives or f"tells {len(contents.classes)} classes"


def _readme(
    contents: BundleContents,
    entries: Mapping[str, Mapping[str, Any]],
    shape: Sequence[int | None],
    models: Mapping[str, tuple[str, Format]],
) -> str:
    """A page for the person who gets the folder."""
    rows = [f"| `{name}` | {entry['type']} | {entry['bytes']:,} |" for name, entry in entries.items()]
    loader, needs = entries[contents.default]["loader"], models[contents.default][1].needs
    proofs = [
        f"- `{name}`: at most {p.max_difference:.2g} apart from the original on {p.n} samples, {_sizes(p)}"
        + ("." if p.agreement is None else f", the same class for {100 * p.agreement:.2f} %.")
        for name, p in contents.parity.items()
    ]
    full = [name for name, (path, _) in _models(contents).items() if full_range(path)]
    measured = "the measurements with their protocol, " if contents.measurements else ""
    return "\n".join(
        [
            f"# {contents.name}\n",
            f"Takes {_takes(contents, shape)} and {_gives(contents)}.\n",
            "| file | type | bytes |\n|---|---|---|",
            *rows,
            *(SATURATES.format(name=name) for name in full if name in entries),
            RUN.format(loader=loader, needs=needs, alone=" and ".join(needs.split())) if loader else "",
            *(ARCHIVED if ARCHIVE in entries and len(entries) > 1 else []),
            "`preprocessing.json` says what is done to raw inputs before the network gets them.",
            *([f"Before that, {contents.prepared}, which is expected to be done."] if contents.prepared else []),
            f"`card.json` has {measured}the decisions and the provenance.",
            "Check that nothing was changed: `sha256sum -c SHA256SUMS`.\n",
            *(["## Parity\n", *proofs, ""] if proofs else []),
        ]
    )


def _sizes(parity: Parity) -> str:
    """The sizes of each dynamic axis at which a file was run."""
    found = {"batches": parity.batch_sizes, "lengths": parity.lengths}
    return " and ".join(f"{name} of {', '.join(map(str, sizes))}" for name, sizes in found.items() if sizes)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, default=_plain) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """NumPy's numbers and paths as JSON's."""
    if isinstance(value, Path):
        return value.name
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
