"""Hand over a model: export it, prove it, read the test split once, write the bundle."""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from netwright.compression.patch import difference, load_compressed
from netwright.compression.recipe import RecipeResult
from netwright.core.errors import CheckpointError, RunError
from netwright.core.files import canonical_json, file_hash
from netwright.core.plugins import built
from netwright.core.progress import Listener, say, silent
from netwright.core.records import TrialState
from netwright.export.bundle import (
    COMPRESSED,
    FLOAT,
    INT8,
    BundleContents,
    check_place,
    write_bundle,
    write_file_bundle,
)
from netwright.export.coding.onnx_regions import holds_int8
from netwright.export.format import Format
from netwright.export.onnx_runtime import Session
from netwright.export.parity import Parity, check_parity
from netwright.export.scoring import score_file
from netwright.export.to_onnx import export_onnx
from netwright.runs.artifacts import Artifacts
from netwright.runs.own_models import built_model
from netwright.runs.search import OpenRun
from netwright.runs.stages import EXAMPLES
from netwright.runs.winner import build_trial, choose, weights_of
from netwright.search_spaces.graph import LayerGraph

HASHED = (("file", "sha256"), ("archive", "archive_sha256"))
"""Columns of a stage that name a file, and those with its SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployable:
    """A network ready to be handed over: its module, its ONNX files, and what is known of it.

    `model` is the module's file, `file` the one a pass made of it, if that is another, and `archive` what holds the
    one handed over in fewer bytes.
    """

    name: str
    module: nn.Module
    model: Path
    file: Path | None = None
    archive: Path | None = None
    decisions: Mapping[str, Any] | None = None
    architecture: Mapping[str, Any] | None = None
    measurements: tuple[Mapping[str, Any], ...] = ()
    baseline: Path | None = None
    trained: str = "in full"

    @property
    def deployed(self) -> str:
        """The bundle's name for the file that is handed over; it tells what a pass left in it."""
        if self.file is None:
            return FLOAT
        return INT8 if holds_int8(self.file.read_bytes()) else COMPRESSED

    @property
    def files(self) -> dict[str, Path]:
        """The ONNX files by their names in the bundle."""
        return {FLOAT: self.model} | ({self.deployed: self.file} if self.file else {})


def keep_compressed(run: OpenRun, result: RecipeResult, base: nn.Module) -> None:
    """Store the compressed network as a patch of its base and weights, so that it can be exported later."""
    artifacts = Artifacts(run.folder.path)
    last = next(stage for stage in reversed(result.stages) if stage.kept)
    module_stage = next(s for s in reversed(result.stages) if s.kept and s.model is not None and s.model.file is None)
    patch = canonical_json(difference(base, result.model.module))
    facts = {
        "stage": last.name,
        "file": last.row["file"],
        "float_file": module_stage.row["file"],
        "archive": last.row.get("archive"),
        "patch": artifacts.put(patch.encode()),
        "weights": artifacts.put_weights(result.model.module),
    }
    run.record.set_fact("compressed", facts)


def publish(
    run: OpenRun, name: str, *, out: Path | None = None, format_name: str = "onnx", listener: Listener = silent
) -> dict[str, Any]:
    """Export a trial, or with `best` the compressed winner; returns the folder and its files.

    `onnx` makes the whole bundle; any other format makes one of its file, with the proof that the file, if it can be
    run, computes what the network does on the validation split. Raises
    RunError when the trial has no weights or the compression was cut short, and ParityError when an export does not
    compute the same.
    """
    file_format = built(Format, format_name)
    if name == "best" and run.record.fact("state") == "compressing" and not run.record.fact("compressed"):
        raise RunError(
            f"the compression of {run.folder.path} did not come to an end; give the same command again, "
            "or name a trial with --trial"
        )
    deployable = _compressed(run) if name == "best" and run.record.fact("compressed") else _trial(run, name)
    folder = out or _default_folder(run, deployable, file_format)
    check_place(folder, f"model{file_format.suffix}", environment=run.folder.read_environment())
    if not _whole(file_format):
        return _one_file(run, deployable, file_format, folder)
    say(listener, "proving that the exported models compute the same")
    parity = _prove(run, deployable)
    test = _read_test_once(run, deployable, listener)
    if deployable.measurements:
        run.record.set_fact("parity", [{"file": file, **proof.to_json()} for file, proof in parity.items()])
        run.record.set_fact("state", "exported")
    bundle = write_bundle(folder, _contents(run, deployable, parity, test))
    return {
        "run": str(run.folder.path),
        "bundle": str(bundle.path),
        "files": list(bundle.files),
        "trained": deployable.trained,
        "test": test,
    }


def _contents(
    run: OpenRun, deployable: Deployable, parity: Mapping[str, Parity], test: Mapping[str, Any]
) -> BundleContents:
    task = run.specification.task
    data = task.data()
    return BundleContents(
        name=deployable.name,
        model=deployable.model,
        int8=deployable.files.get(INT8),
        compressed=deployable.files.get(COMPRESSED),
        archive=deployable.archive,
        default=deployable.deployed,
        module=deployable.module,
        preprocessing=data.preprocessing,
        classes=data.classes,
        prepared=task.prepared(),
        gives=task.targets().gives(task.shapes().output),
        answers=inspect.getsource(task.targets().answers),
        settings=data.answers,
        reader=inspect.getsource(task.reader()),
        reading=data.reading,
        architecture=deployable.architecture,
        decisions=deployable.decisions,
        parity=parity,
        measurements=deployable.measurements,
        provenance={
            "netwright": version("netwright"),
            "environment": run.folder.read_environment(),
            "task": task.model_dump(mode="json"),
            "trained": deployable.trained,
            "test": dict(test),
        },
    )


def _prove(run: OpenRun, deployable: Deployable) -> dict[str, Parity]:
    """Each file against the torch module on the whole validation split; what a pass made is reported, not judged."""
    return {
        name: _proof(run, Session(path), deployable.module, **({} if name == FLOAT else {"tolerance": None}))
        for name, path in deployable.files.items()
    }


def _proof(
    run: OpenRun,
    session: Callable[[np.ndarray], np.ndarray],
    module: nn.Module,
    **settings: Any,
) -> Parity:
    task = run.specification.task
    data, metric = task.data(), task.primary().metric
    inputs, targets = data.preprocessing(data.validation.inputs), data.validation.targets
    judged: dict[str, Any] = {"targets": targets}
    if metric != "accuracy":
        judged = {
            "same": lambda outputs, others: task.targets().same(outputs, others, data.answers),
            "score": (metric, lambda outputs: task.score(outputs, targets)[metric]),
        }
    return check_parity(session, module, inputs, **judged, **settings)


def _read_test_once(run: OpenRun, deployable: Deployable, listener: Listener) -> dict[str, Any]:
    """Scores on the test split by file, for the compressed winner alone: a choice among trials must not see it.

    A file that was tested before is not tested again.
    """
    if not deployable.measurements:
        return {}
    known: dict[str, Any] = run.record.fact("test") or {}
    files = {"winner": deployable.baseline, **deployable.files}
    task = run.specification.task
    found: dict[str, Any] = {}
    for name, path in files.items():
        if path is None:
            continue
        digest = file_hash(path)
        before = next((entry for entry in known.values() if entry["sha256"] == digest), None)
        if before is None:
            say(listener, f"reading the test split for {name}")
            split = task.test_split()
            before = {**score_file(Session(path), task, split), "n": len(split), "sha256": digest}
        found[name] = before
    run.record.set_fact("test", found)
    if run.record.fact("without_network") is None and (naive := task.naive(task.test_split())) is not None:
        run.record.set_fact("without_network", {"answer": naive[0], **naive[1]})
    return found


def _compressed(run: OpenRun) -> Deployable:
    """The compressed winner, rebuilt from its base, the patch and the stored weights."""
    facts, winner = run.record.fact("compressed"), run.record.fact("winner")
    artifacts = Artifacts(run.folder.path)
    base = _base(run, winner)
    patch = json.loads(artifacts.get(facts["patch"]))
    artifacts.get(facts["weights"])
    module = load_compressed(base, patch=patch, weights=artifacts.path(facts["weights"])).eval()
    stages = run.record.all_stages()
    _require_unchanged(run, stages)
    number = winner["trial"]
    model, file = (run.folder.path / facts[name] for name in ("float_file", "file"))
    return Deployable(
        name=f"{run.specification.name}{'-compressed' if sum(row.get('kept', True) for row in stages) > 1 else ''}",
        module=module,
        model=model,
        file=file if file_hash(file) != file_hash(model) else None,
        archive=run.folder.path / facts["archive"] if facts.get("archive") else None,
        decisions=winner["decisions"] if number is not None else None,
        architecture={
            "base": _graph(run, winner["decisions"]) if number is not None else winner["model"],
            "patch": patch,
        },
        measurements=tuple(stages),
        baseline=run.folder.path / stages[0]["file"],
    )


def _base(run: OpenRun, winner: Mapping[str, Any]) -> nn.Module:
    if winner["trial"] is None:
        return built_model(winner["model"], outputs=run.specification.task.shapes().output_shape[0])
    return build_trial(run.specification, winner["decisions"], seed=winner["seed"])


def _require_unchanged(run: OpenRun, stages: list[dict[str, Any]]) -> None:
    named = [(stage.get(name), stage.get(digest)) for stage in stages for name, digest in HASHED]
    for path, digest in ((run.folder.path / name, digest) for name, digest in named if name):
        if not path.exists() or file_hash(path) != digest:
            raise CheckpointError(f"{path} is missing or was changed since it was measured; run compress again")


def _trial(run: OpenRun, name: str) -> Deployable:
    """A trial as its search left it: trained for as many epochs as the search gave it."""
    trial, _ = choose(run, name)
    weights, seed, in_full = weights_of(run, trial)
    if weights is None:
        why = trial.reason or f"it is {trial.state}"
        done = [t.number for t in run.record.all_trials() if t.state is TrialState.DONE]
        raise RunError(f"trial {trial.number} has no weights to export: {why}; finished trials: {done}")
    module = build_trial(run.specification, trial.decisions, seed=seed)
    Artifacts(run.folder.path).load_weights(weights, module)
    module.eval()
    data = run.specification.task.data()
    path = run.folder.path / "models" / f"trial-{trial.number:06d}{'-full' if in_full else ''}.onnx"
    export_onnx(module, path, example=data.preprocessing(data.calibration.inputs[:EXAMPLES]))
    return Deployable(
        name=f"{run.specification.name}-trial-{trial.number}",
        module=module,
        model=path,
        decisions=dict(trial.decisions),
        architecture=_graph(run, trial.decisions),
        trained="in full" if in_full else f"by the search alone, {trial.fidelity:g} epoch{'s' * (trial.fidelity != 1)}",
    )


def _graph(run: OpenRun, decisions: Mapping[str, Any]) -> dict[str, Any]:
    graph: LayerGraph = run.specification.searched.graph(decisions, run.specification.task.shapes())
    return graph.to_json()


def _default_folder(run: OpenRun, deployable: Deployable, file_format: Format) -> Path:
    if not _whole(file_format):
        ending = "-any-length" if file_format.any_length else file_format.suffix.replace(".", "-")
        return run.folder.path / "exports" / f"{deployable.name}{ending}"
    return run.folder.bundle if deployable.measurements else run.folder.path / "exports" / deployable.name


def _whole(file_format: Format) -> bool:
    """Whether a bundle holds all files of a compressed network, which are ONNX, instead of one made now."""
    return file_format.suffix == ".onnx" and not file_format.any_length


def _one_file(run: OpenRun, deployable: Deployable, file_format: Format, folder: Path) -> dict[str, Any]:
    data = run.specification.task.data()
    example = data.preprocessing(data.calibration.inputs[:EXAMPLES])
    judged: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="netwright-") as made:
        path = Path(made) / f"model{file_format.suffix}"
        if file_format.from_onnx(deployable.files[deployable.deployed], path):
            judged = {} if deployable.file is None else {"tolerance": None}
        else:
            deployable = replace(deployable, measurements=())  # they are those of ONNX files
            file_format.write(deployable.module, path, example=example, architecture=deployable.architecture)
        if file_format.any_length:
            judged["lengths"] = (max(1, example.shape[1] // 2), 2 * example.shape[1])
        session = file_format.opened(path)
        proofs = {} if session is None else {path.name: _proof(run, session, deployable.module, **judged)}
        contents = _contents(run, deployable, proofs, {})
        bundle = write_file_bundle(folder, contents, form=file_format, file=path)
    return {
        "run": str(run.folder.path),
        "bundle": str(bundle.path),
        "files": list(bundle.files),
        "trained": deployable.trained,
        "test": None,
    }
