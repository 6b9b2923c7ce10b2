"""The folder that leaves: model files, preprocessing, proof of parity, numbers, and a loader.

Contents: `model.onnx`, `model.int8.onnx` if it was quantized or `model.compressed.onnx` if a pass made another file,
`model.nwz` with `load_nwz.py` if the file was entropy-coded, `weights.safetensors` and `architecture.json`,
`model.netron.json` (figures per node, to drop onto the model in Netron), `preprocessing.json`, `card.json` (what it
is, decisions, parity, measurements, provenance), `load.py` (needs only onnxruntime and numpy), `README.md` and
`SHA256SUMS`.
"""

from __future__ import annotations

import ast
import hmac
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from netwright.core.errors import ExportError
from netwright.core.files import file_hash
from netwright.export.coding.archive import read_archive
from netwright.export.coding.loader import LOADER
from netwright.export.coding.loader import loader_text as archive_loader
from netwright.export.netron import write_attachment
from netwright.export.onnx_runtime import Session
from netwright.export.parity import Parity
from netwright.export.weights import describe, write_weights

if TYPE_CHECKING:
    from torch import nn

IMPORTED = "from netwright.tasks.answers.classes import answers, scores, summary\n"
"""The line of the loader's template that what reads the outputs is written in place of."""

READ = "from netwright.tasks.readers.arrays import read\n"
"""The same for what makes numbers of raw inputs."""

KNOWN_IMPORTS = (
    "from __future__ import annotations",
    "from collections.abc import Mapping",
    "from typing import Any",
    "import numpy as np",
)
FLOAT, INT8, COMPRESSED, ARCHIVE = "model.onnx", "model.int8.onnx", "model.compressed.onnx", "model.nwz"
SUMS, CARD = "SHA256SUMS", "card.json"

ARCHIVED = (
    f"`{ARCHIVE}` is all of the model in the fewest bytes: `python load.py --model {ARCHIVE}` runs it, and",
    f"`python {LOADER} model.onnx` writes the ONNX file in it.\n",
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
    folder = Path(folder).absolute()
    check_place(folder)
    if contents.default not in _models(contents):
        raise ExportError(f"the default model {contents.default!r} is not among the bundle's model files")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _fill(temporary, contents)
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Bundle(path=folder, files=verify_bundle(folder))


def check_place(folder: Path) -> None:
    """Raise ExportError where no bundle can be written: something else is there, or the place takes no files."""
    try:
        if folder.exists() and not _is_bundle(folder):
            raise ExportError(f"{folder} exists and is not a bundle; give a folder that does not exist yet")
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
    models: dict[str, str] = {}
    for name, (path, kind) in _models(contents).items():
        shutil.copyfile(path, folder / name)
        models[name] = kind
    shapes = [Session(folder / name).input_shape[1:] for name in models]
    for name in models:
        write_attachment(folder / name)
    shape = [size if isinstance(size, int) else None for size in shapes[0]]
    if contents.archive is not None:
        _add_archive(folder, contents.archive, default=contents.default)
        models[ARCHIVE] = f"archive of {contents.default}"
    architecture = contents.architecture or describe(contents.module, input_shape=[s or 0 for s in shape])
    write_weights(contents.module, folder / "weights.safetensors", architecture=architecture)
    (folder / "weights.json").rename(folder / "architecture.json")
    settings = {**contents.preprocessing.to_json(), "input_shape": shape, "reading": dict(contents.reading)}
    _write_json(folder / "preprocessing.json", settings)
    _write_json(folder / CARD, _card(contents, models, shape, folder))
    (folder / "load.py").write_text(loader_text(contents), encoding="utf-8")
    (folder / "README.md").write_text(_readme(contents, models, shape, folder), encoding="utf-8")
    sums = [f"{file_hash(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def _models(contents: BundleContents) -> dict[str, tuple[Path, str]]:
    """The bundle's ONNX files by their names there, with what they hold."""
    found = {
        FLOAT: (contents.model, "float32"),
        INT8: (contents.int8, "int8"),
        COMPRESSED: (contents.compressed, "compressed"),
    }
    return {name: (path, kind) for name, (path, kind) in found.items() if path is not None}


def _add_archive(folder: Path, archive: Path, *, default: str) -> None:
    """Put the archive and its loader into the bundle; raises ExportError when it holds another file."""
    if read_archive(archive) != (folder / default).read_bytes():
        raise ExportError(f"{archive.name} does not give back the {default} that it was made of")
    shutil.copyfile(archive, folder / ARCHIVE)
    (folder / LOADER).write_text(archive_loader(ARCHIVE), encoding="utf-8")


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Move the finished bundle to its name; an older one is put aside first and then removed."""
    if not folder.exists():
        temporary.rename(folder)
        return
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(aside)
    temporary.rename(folder)
    shutil.rmtree(aside)


def _card(
    contents: BundleContents, models: Mapping[str, str], shape: Sequence[int | None], folder: Path
) -> dict[str, Any]:
    return {
        "name": contents.name,
        "default": contents.default,
        "files": {
            name: {"type": kind, "bytes": (folder / name).stat().st_size, "sha256": file_hash(folder / name)}
            for name, kind in models.items()
        },
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
    return f"{raw}, which `load.py` makes {array} of," if raw else array


def _gives(contents: BundleContents) -> str:
    return contents.gives or f"tells {len(contents.classes)} classes"


def loader_text(contents: BundleContents) -> str:
    """The loader, with what makes numbers of inputs and what reads and scores the outputs written into it."""
    tasks = files("netwright.tasks")
    template = files("netwright.export").joinpath("templates", "load.py").read_text(encoding="utf-8")
    reader = contents.reader or tasks.joinpath("readers", "arrays.py").read_text(encoding="utf-8")
    answers = contents.answers or tasks.joinpath("answers", "classes.py").read_text(encoding="utf-8")
    written = f"{_definitions(answers).rstrip()}\n\n{_definitions(reader)}"
    return template.replace(IMPORTED, written).replace(READ, "")


def _definitions(source: str) -> str:
    """A module's text without its opening line and what the loader has imported already."""
    imports = [node for node in ast.parse(source).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    unknown = [text for node in imports if (text := ast.unparse(node)) not in KNOWN_IMPORTS]
    if unknown:
        raise ExportError(f"what reads outputs may import no more than {', '.join(KNOWN_IMPORTS)}; it has {unknown[0]}")
    last = max((node.end_lineno or 0 for node in imports), default=0)
    return "\n" + "\n".join(source.splitlines()[last:]).strip() + "\n\n"


def _readme(contents: BundleContents, models: Mapping[str, str], shape: Sequence[int | None], folder: Path) -> str:
    """A page for the person who gets the folder."""
    rows = [f"| `{name}` | {kind} | {(folder / name).stat().st_size:,} |" for name, kind in models.items()]
    proofs = [
        f"- `{name}`: at most {p.max_difference:.2g} apart from the original on {p.n} samples"
        + ("." if p.agreement is None else f", the same class for {100 * p.agreement:.2f} %.")
        for name, p in contents.parity.items()
    ]
    return "\n".join(
        [
            f"# {contents.name}\n",
            f"Takes {_takes(contents, shape)} and {_gives(contents)}.\n",
            "| file | type | bytes |\n|---|---|---|",
            *rows,
            "\nRun it with onnxruntime and numpy alone:\n",
            "```\npip install onnxruntime numpy\npython load.py\npython load.py data.npz\n```\n",
            *(ARCHIVED if contents.archive is not None else []),
            "`data.npz` holds raw `inputs` and `targets`; `preprocessing.json` says what is done to the inputs.",
            *([f"Before that, {contents.prepared}: `load.py` expects it to be done."] if contents.prepared else []),
            "`card.json` has the measurements with their protocol, the decisions and the provenance.",
            "Check that nothing was changed: `sha256sum -c SHA256SUMS`.\n",
            *(["## Parity\n", *proofs, ""] if proofs else []),
        ]
    )


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, default=_plain) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """NumPy's numbers and paths as JSON's."""
    if isinstance(value, Path):
        return value.name
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
