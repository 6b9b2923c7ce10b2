"""netwright from Python: the same steps as the command line, as plain functions.

>>> import netwright as nw
>>> run = nw.search("recipes/digits-tiny.yaml", out="runs/digits")      # doctest: +SKIP
>>> nw.compress("runs/digits")                                         # doctest: +SKIP
>>> nw.report("runs/digits")                                           # doctest: +SKIP
>>> nw.export_trial("runs/digits")                                     # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.core.errors import ConfigurationError, InfeasibleError, Mistake, RunError
from netwright.core.progress import Event, Listener, silent

if TYPE_CHECKING:
    from torch.nn import Module

    from netwright.compression.recipe import Recipe
    from netwright.runs.search import OpenRun
    from netwright.runs.specification import RunSpecification
    from netwright.runs.view import RunView
    from netwright.runs.winner import Winner


def search(
    recipe: str | Path | Mapping[str, Any] | RunSpecification,
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = silent,
) -> RunView:
    """Search the space of a recipe: a YAML file, the same as a mapping, or a RunSpecification.

    Every trial is recorded in the folder `out` (default: `runs/<name>-<number>`). Raises ConfigurationError
    with every mistake before anything starts.
    """
    return _begun(recipe, out=out, overrides=overrides, listener=listener, command="search")


def _begun(
    recipe: str | Path | Mapping[str, Any] | RunSpecification,
    *,
    out: str | Path | None,
    overrides: Sequence[str],
    listener: Listener,
    command: str,
) -> RunView:
    """The search that `command` begins with, which goes on by the same command's --resume."""
    from netwright.runs.search import create_run
    from netwright.runs.search import search as run_search
    from netwright.runs.view import open_run

    specification = _specification(recipe, overrides)
    path = create_run(specification, _path(out)).path
    _tell_without_network(specification, listener)
    run_search(path, specification=specification, listener=listener, command=command)
    return open_run(path)


def _tell_without_network(specification: RunSpecification, listener: Listener) -> None:
    """What to know of the data, and what an answer without a network scores: a search should be better."""
    for remark in specification.task.remarks():
        listener(Event("step", {"text": remark}))
    found, metric = specification.task.naive(), specification.task.primary().metric
    if found is not None and metric in found[1]:
        text = f"without a network, {found[0]}: {metric} {found[1][metric]:.4g} on the validation split"
        listener(Event("step", {"text": text}))


def resume(run: str | Path, *, overrides: Sequence[str] = (), listener: Listener = silent) -> RunView:
    """Go on with a search. Overrides may change how it is run: trials, executor, budget."""
    return _resumed(run, overrides=overrides, listener=listener, command="search")


def _resumed(run: str | Path, *, overrides: Sequence[str], listener: Listener, command: str) -> RunView:
    from netwright.runs.search import resumed_specification
    from netwright.runs.search import search as run_search
    from netwright.runs.view import open_run

    path = Path(run)
    run_search(path, specification=resumed_specification(path, overrides), listener=listener, command=command)
    return open_run(path)


def compress(
    run: str | Path,
    *,
    trial: str | int = "best",
    recipe: str | Path | Recipe | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = silent,
) -> dict[str, Any]:
    """Compress a trial of a run, pass by pass; returns a row per stage and the paths of report and bundle.

    The trial is trained in full first, unless that was done. Open fields of the recipe are searched first. The bundle
    holds the last stage that was kept. Raises InfeasibleError when no setting of the open fields keeps all bounds;
    the report then shows every try.
    """
    from netwright.runs.compressing import winner_of
    from netwright.runs.search import writing

    with writing(Path(run)) as opened:
        chosen = _compression(recipe, overrides, own=opened)
        winner = winner_of(opened, str(trial), listener=listener)
        _compressed(opened, winner, chosen, listener)
    report(run)
    return _result(Path(run))


def compress_model(
    model: str,
    *,
    weights: str | Path | None = None,
    recipe: str | Path,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = silent,
) -> dict[str, Any]:
    """Compress a trained network of your own: `model` names a function, `package.module:build`, that makes it.

    `torchvision:NAME` and `timm:NAME` name one of those packages. `weights` is a safetensors file, or one of
    `torch.save` that holds tensors alone; `recipe` a YAML file with a `task` and a `compress` part. With the `out` of
    a compression that was cut short, given the same recipe, it goes on.
    """
    from netwright.runs.compressing import recipe_of

    with _own_run(model, weights=weights, recipe=recipe, out=out, overrides=overrides) as (opened, winner):
        _compressed(opened, winner, recipe_of(opened), listener)
    report(opened.folder.path)
    return _result(opened.folder.path)


def plan_compression(
    run: str | Path | None = None,
    *,
    model: str | None = None,
    weights: str | Path | None = None,
    trial: str | int = "best",
    recipe: str | Path | Recipe | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = silent,
) -> dict[str, Any]:
    """What a recipe would do to a trial of a run, or to a model of your own, without training.

    A row per pass: predicted params, macs, size_bytes, coded_bytes, peak_activation_bytes, and a verdict with its
    reason for every layer group. Nothing is written.
    """
    from netwright.runs.compressing import module_as_it_is, plan
    from netwright.runs.reading import reading

    if run is not None:
        with reading(Path(run)) as opened:
            chosen = _compression(recipe, overrides, own=opened)
            module = module_as_it_is(opened, str(trial))
        specification = opened.specification
    else:
        specification, module = _own_model(model, weights=weights, recipe=recipe, overrides=overrides)
        assert specification.compress is not None
        chosen = specification.compress
    rows = plan(specification, module, recipe=chosen, listener=listener)
    return {"passes": rows, "open": {one.name: one.domain().describe() for one in chosen.open}}


def sensitivity(
    run: str | Path | None = None,
    *,
    model: str | None = None,
    weights: str | Path | None = None,
    trial: str | int = "best",
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    samples: int = 1000,
    listener: Listener = silent,
) -> dict[str, Any]:
    """The score after each layer group alone was compressed by each pass, without training; kept in the run.

    A row per pass, group and strength: score, loss as a share of the network's own score, n of validation samples.
    """
    from netwright.runs.compressing import measure_bearing, recipe_of, winner_of
    from netwright.runs.search import writing

    if run is not None:
        with writing(Path(run)) as opened:
            chosen = _compression(recipe, overrides, own=opened)
            winner = winner_of(opened, str(trial), listener=listener)
            rows = measure_bearing(opened, winner, recipe=chosen, samples=samples, listener=listener)
    else:
        with _own_run(model, weights=weights, recipe=recipe, out=out, overrides=overrides) as (opened, winner):
            rows = measure_bearing(opened, winner, recipe=recipe_of(opened), samples=samples, listener=listener)
    path = opened.folder.path
    return {"run": str(path), "rows": rows, "report": str(report(path))}


def report(run: str | Path, *, out: str | Path | None = None, trust: bool = False) -> Path:
    """Write one self-contained HTML page about a run; returns its path.

    With `trust` a search space of the run's own is imported, so that its networks can be drawn.
    """
    from netwright.dashboards.report import write_report
    from netwright.runs.view import open_run

    view = open_run(Path(run), trust=trust)
    return write_report(view, _path(out) or Path(run) / "report.html")


def export_trial(
    run: str | Path,
    *,
    trial: str | int = "best",
    format_name: str = "onnx",
    out: str | Path | None = None,
    listener: Listener = silent,
) -> dict[str, Any]:
    """Export a trial, or with `best` the compressed winner, as a folder ready for deployment."""
    from netwright.runs.publishing import publish
    from netwright.runs.search import writing

    with writing(Path(run)) as opened:
        return publish(opened, str(trial), out=_path(out), format_name=format_name, listener=listener)


def run(
    recipe: str | Path | Mapping[str, Any] | RunSpecification,
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = silent,
) -> dict[str, Any]:
    """Do all that a recipe describes: search, full training, compression if there is any, bundle, report."""
    view = _begun(recipe, out=out, overrides=overrides, listener=listener, command="run")
    return compress(view.path, recipe=_none_needed(view), listener=listener)


def resume_run(run: str | Path, *, overrides: Sequence[str] = (), listener: Listener = silent) -> dict[str, Any]:
    """Go on with `run` where it was cut short, in the search or later; overrides as of `resume`."""
    view = _resumed(run, overrides=overrides, listener=listener, command="run")
    return compress(view.path, recipe=_none_needed(view), listener=listener)


def _none_needed(view: RunView) -> Recipe | None:
    """A compression without passes for a run that describes none: its winner is trained in full, proven and tested."""
    from netwright.compression.recipe import Recipe

    return None if view.specification.get("compress") else Recipe()


def quickstart(
    *, out: str | Path | None = None, overrides: Sequence[str] = (), listener: Listener = silent
) -> dict[str, Any]:
    """The whole way on images that ship with the package; needs no network."""
    with as_file(files("netwright.recipes") / "quickstart.yaml") as recipe:
        return run(recipe, out=out, overrides=overrides, listener=listener)


def bench(models: Sequence[str | Path], *, threads: int = 1, batch: int = 1) -> list[dict[str, Any]]:
    """The latency of ONNX files by the protocol, interleaved; the first is what the others are compared with."""
    from netwright.runs.benching import bench_files

    return bench_files([Path(model) for model in models], threads=threads, batch=batch)


def list_runs(root: str | Path = "runs") -> list[dict[str, Any]]:
    """The runs in a folder: name, state, trials by state."""
    from netwright.runs.view import find_runs, open_run

    rows = []
    for path in find_runs(Path(root)):
        try:
            view = open_run(path)
        except RunError as error:
            rows.append({"run": str(path), "state": f"unreadable: {error}"})
            continue
        done = f"{view.counts['done']} of {view.asked}" if view.asked else ""
        rows.append({"run": str(path), "name": view.name, "state": view.state, "done": done})
    return rows


def summary(view: RunView) -> dict[str, Any]:
    """A run in numbers: trials by state, the front, the winner, a row per compression stage."""
    from netwright.analysis.front import pareto_front
    from netwright.runs.rows import stage_row

    front = pareto_front(view.trials, view.objectives)
    names = [objective.metric for objective in view.objectives]
    rows = [
        {"trial": t.number, **{n: t.value(n) for n in names}, "params": t.value("params"), "macs": t.value("macs")}
        for t in front
    ]
    return {
        "run": str(view.path),
        "name": view.name,
        "state": view.state,
        "trials": {"asked": view.asked, **view.counts},
        "front": rows,
        "winner": {key: view.winner[key] for key in ("trial", "rule", "scores")} if view.winner else None,
        "stages": [stage_row(row, score=view.score.metric) for row in view.stages],
        "test": view.test,
        "report": str(view.report) if view.report else None,
        "bundle": str(view.bundle) if view.bundle else None,
    }


def _compressed(run: OpenRun, winner: Winner, recipe: Recipe, listener: Listener) -> None:
    """Compress, store and publish; the report is written also when there is nothing to publish."""
    from netwright.runs.compressing import compress as run_compress
    from netwright.runs.publishing import keep_compressed, publish

    try:
        result = run_compress(run, winner, recipe=recipe, listener=listener)
    except InfeasibleError:
        report(run.folder.path)
        raise
    keep_compressed(run, result, winner.module)
    publish(run, "best", listener=listener)


def _own_model(
    model: str | None,
    *,
    weights: str | Path | None,
    recipe: str | Path | Recipe | None,
    overrides: Sequence[str],
) -> tuple[RunSpecification, Module]:
    """The specification and network of somebody's own model; raises ConfigurationError where something is missing."""
    from netwright.runs.compressing import load_own_model

    if model is None or not isinstance(recipe, (str, Path)):
        raise ConfigurationError(
            [Mistake("recipe", "a model of your own needs a YAML file with `task` and `compress`")]
        )
    specification = _specification(recipe, overrides).model_copy(update={"space": None})
    if specification.compress is None:
        raise ConfigurationError([Mistake("compress", "is missing; say which passes to run")], source=str(recipe))
    outputs = specification.task.shapes().output_shape[0]
    return specification, load_own_model(model, _path(weights), outputs=outputs)


@contextmanager
def _own_run(
    model: str | None,
    *,
    weights: str | Path | None,
    recipe: str | Path | Recipe | None,
    out: str | Path | None,
    overrides: Sequence[str],
) -> Iterator[tuple[OpenRun, Winner]]:
    """A run for a model of somebody's own, new or one of the same recipe that goes on, open for writing."""
    from netwright.runs.compressing import own_winner
    from netwright.runs.folder import RunFolder
    from netwright.runs.search import create_run, writing
    from netwright.runs.specification import RunSpecification

    specification, module = _own_model(model, weights=weights, recipe=recipe, overrides=overrides)
    path = _path(out)
    if path is None or not (path / "run.db").exists():
        path = create_run(specification, path).path
    elif RunSpecification.parse(RunFolder.open(path).read_specification()).to_json() != specification.to_json():
        hint = f"name another folder with --out, or give the recipe to `netwright compress {path} --recipe`"
        raise RunError(f"{path} holds a run of another recipe; {hint}")
    with writing(path, specification=specification) as opened:
        yield opened, own_winner(opened, module, build=str(model))


def _result(path: Path) -> dict[str, Any]:
    from netwright.runs.rows import summary_sentence
    from netwright.runs.view import open_run

    view = open_run(path)
    return {**summary(view), "summary": summary_sentence(view)}


def _specification(
    recipe: str | Path | Mapping[str, Any] | RunSpecification, overrides: Sequence[str]
) -> RunSpecification:
    from netwright.core.config import with_overrides
    from netwright.runs.specification import RunSpecification, load_specification

    if isinstance(recipe, RunSpecification):
        data: Mapping[str, Any] = recipe.to_json()
    elif isinstance(recipe, Mapping):
        data = recipe
    else:
        loaded = load_specification(Path(recipe), overrides=overrides)
        _checked(loaded.compress, source=str(recipe))
        return loaded
    parsed = RunSpecification.parse(with_overrides(data, overrides))
    _checked(parsed.compress)
    return parsed


def _compression(recipe: str | Path | Recipe | None, overrides: Sequence[str], *, own: OpenRun) -> Recipe:
    """The recipe in a file (its `compress` part, or the whole file when it has none), or the run's own."""
    from netwright.compression.recipe import Recipe
    from netwright.core.config import read_yaml, with_overrides
    from netwright.runs.compressing import recipe_of

    if not isinstance(recipe, (str, Path)):
        recipe = recipe or recipe_of(own)
        if not overrides:
            return recipe
        part, source = recipe.model_dump(mode="json"), "the run's own recipe"
    else:
        data = read_yaml(Path(recipe))
        part, source = data.get("compress", data), str(recipe)
    changes = [text.removeprefix("compress.") for text in overrides]
    parsed = Recipe.parse(with_overrides(part, changes) if isinstance(part, dict) else part, source=source)
    _checked(parsed, source=source)
    return parsed


def _checked(recipe: Recipe | None, *, source: str = "") -> None:
    """Raise ConfigurationError, before anything starts, for a recipe whose search names no strategy there is."""
    if recipe is not None and recipe.solve is not None:
        from netwright.runs.solving import strategy_of

        try:
            strategy_of(recipe)
        except ConfigurationError as error:
            raise ConfigurationError(error.mistakes, source=source) from None


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
