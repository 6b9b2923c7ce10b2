"""netwright from Python: the same steps as the command line, as plain functions.

>>> import netwright as nw
>>> run = nw.search("recipes/digits-tiny.yaml", out="runs/digits")      # doctest: +SKIP
>>> nw.compress(run)["summary"]                                         # doctest: +SKIP
>>> nw.report(run)                                                      # doctest: +SKIP
>>> nw.export_trial(run)["bundle"]                                      # doctest: +SKIP

A run is given by its folder, or as `search` and `open_run` return it. `overrides` are texts as of `--set`, such as
`["search.trials=4"]`; `listener` is called with every Event, None for nobody. What can be mended is a NetwrightError.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.api_arguments import (
    AnyPath,
    Description,
    Passes,
    Run,
    changes_of,
    check_count,
    heard,
    own_model,
    own_run,
    passes_of,
    path_of,
    path_or_none,
    paths_of,
    run_path,
    specification_of,
)
from netwright.core.errors import ConfigurationError, InfeasibleError, Mistake, RunError
from netwright.core.progress import Listener

if TYPE_CHECKING:
    from netwright.compression.recipe import Recipe
    from netwright.runs.search import OpenRun
    from netwright.runs.view import RunView
    from netwright.runs.winner import Winner


def search(
    recipe: Description,
    *,
    out: AnyPath | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> RunView:
    """Search the space of a recipe: a YAML file, the same as a mapping, or a RunSpecification.

    Every trial is recorded in the folder `out` (default: `runs/<name>-<number>`). Raises ConfigurationError
    with every mistake before anything starts.

    >>> run = nw.search("recipes/digits-tiny.yaml", overrides=["search.trials=4"])   # doctest: +SKIP
    >>> [trial.value("accuracy") for trial in run.trials]                             # doctest: +SKIP
    """
    return _begun(recipe, out=out, overrides=overrides, listener=heard(listener), command="search")


def resume(run: Run, *, overrides: Sequence[str] = (), listener: Listener | None = None) -> RunView:
    """Go on with a search. Overrides may change how it is run: trials, executor, budget.

    >>> nw.resume("runs/digits", overrides=["search.trials=50"])                      # doctest: +SKIP
    """
    return _resumed(run, overrides=overrides, listener=heard(listener), command="search")


def compress(
    run: Run,
    *,
    trial: str | int = "best",
    recipe: Passes | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Compress a trial of a run, pass by pass; returns what `netwright compress --json` prints.

    `stages` has a row per stage with its accuracy (or the task's score), `latency_ms`, `size_bytes`, `kept` and
    `reason`; `summary` says it in a sentence; `report` and `bundle` are paths. The trial is trained in full first,
    unless that was done. Open fields of the recipe, by default the run's own, are searched first. The bundle holds the
    last stage that was kept. Raises InfeasibleError when no setting of the open fields keeps all bounds; the report
    then shows every try.

    >>> nw.compress(run, recipe={"passes": ["structured_prune", "quantize"]})["stages"]   # doctest: +SKIP
    """
    from netwright.runs.compressing import winner_of
    from netwright.runs.search import writing

    listener = heard(listener)
    path = run_path(run)
    with writing(path) as opened:
        chosen = passes_of(recipe, overrides, own=opened)
        winner = winner_of(opened, str(trial), listener=listener)
        _compressed(opened, winner, recipe=chosen, listener=listener)
    report(path)
    return _result(path)


def compress_model(
    model: str,
    *,
    weights: AnyPath | None = None,
    recipe: Description,
    out: AnyPath | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Compress a trained network of your own: `model` names a function, `package.module:build`, that makes it.

    `torchvision:NAME` and `timm:NAME` name one of those packages. `weights` is a safetensors file, or one of
    `torch.save` that holds tensors alone; `recipe` a YAML file or mapping with a `task` and a `compress` part. With the
    `out` of a compression that was cut short, given the same recipe, it goes on. Returns what `compress` does.

    >>> nw.compress_model("my_net:build", weights="w.safetensors", recipe="mine.yaml")    # doctest: +SKIP
    """
    from netwright.runs.compressing import recipe_of

    listener = heard(listener)
    with own_run(model, weights=weights, recipe=recipe, out=out, overrides=overrides, listener=listener) as (
        opened,
        winner,
    ):
        _compressed(opened, winner, recipe=recipe_of(opened), listener=listener)
    path = opened.folder.path
    report(path)
    return _result(path)


def plan_compression(
    run: Run | None = None,
    *,
    model: str | None = None,
    weights: AnyPath | None = None,
    trial: str | int = "best",
    recipe: Passes | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> dict[str, Any]:
    """What a recipe would do to a trial of a run, or to a model of your own, without training.

    `passes` has a row per pass: predicted params, macs, size_bytes, coded_bytes, peak_activation_bytes, and a verdict
    with its reason for every layer group; `open` the range of every open field. Nothing is written.

    >>> nw.plan_compression(run)["passes"][-1]["size_bytes"]                          # doctest: +SKIP
    """
    from netwright.runs.compressing import module_as_it_is, plan
    from netwright.runs.reading import reading

    _one_of(run, model)
    listener = heard(listener)
    if run is not None:
        with reading(run_path(run)) as opened:
            chosen = passes_of(recipe, overrides, own=opened)
            module = module_as_it_is(opened, str(trial))
        specification = opened.specification
    else:
        specification, module = own_model(model, weights=weights, recipe=recipe, overrides=overrides)
        assert specification.compress is not None
        chosen = specification.compress
    rows = plan(specification, module, recipe=chosen, listener=listener)
    return {"passes": rows, "open": {one.name: one.domain().describe() for one in chosen.open}}


def sensitivity(
    run: Run | None = None,
    *,
    model: str | None = None,
    weights: AnyPath | None = None,
    trial: str | int = "best",
    recipe: Passes | None = None,
    out: AnyPath | None = None,
    overrides: Sequence[str] = (),
    samples: int = 1000,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """The score after each layer group alone was compressed by each pass, without training; kept in the run.

    `rows` has one per pass, group and strength: score, loss as a share of the network's own score, n of validation
    samples (`samples` at most); `run` and `report` are paths.

    >>> rows = nw.sensitivity(run, samples=200)["rows"]                               # doctest: +SKIP
    >>> max(rows, key=lambda row: row["loss"])["group"]                               # doctest: +SKIP
    """
    from netwright.runs.compressing import measure_bearing, recipe_of, winner_of
    from netwright.runs.search import writing

    _one_of(run, model)
    listener = heard(listener)
    check_count("samples", samples)
    if run is not None:
        with writing(run_path(run)) as opened:
            chosen = passes_of(recipe, overrides, own=opened)
            winner = winner_of(opened, str(trial), listener=listener)
            rows = measure_bearing(opened, winner, recipe=chosen, samples=samples, listener=listener)
    else:
        with own_run(model, weights=weights, recipe=recipe, out=out, overrides=overrides, listener=listener) as (
            opened,
            winner,
        ):
            rows = measure_bearing(opened, winner, recipe=recipe_of(opened), samples=samples, listener=listener)
    path = opened.folder.path
    return {"run": str(path), "rows": rows, "report": str(report(path))}


def report(run: Run, *, out: AnyPath | None = None, trust: bool = False) -> Path:
    """Write one self-contained HTML page about a run; returns its path, by default `report.html` in the run folder.

    With `trust` a search space of the run's own is imported, so that its networks can be drawn.
    """
    from netwright.dashboards.report import write_report

    path = run_path(run)
    page = path_or_none(out) or path / "report.html"
    if page.is_dir():
        raise ConfigurationError([Mistake("out", f"{page} is a folder; give the path of a file")])
    view = open_run(path, trust=trust)
    try:
        return write_report(view, page)
    except OSError as error:
        raise RunError(f"{page} cannot be written: {error.strerror}; name another file with --out") from None


def export_trial(
    run: Run,
    *,
    trial: str | int = "best",
    format_name: str = "onnx",
    out: AnyPath | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Export a trial, or with `best` the compressed winner, as a folder ready for deployment.

    Returns the folder as `bundle`, its `files`, and how far the network was `trained`. `netwright list formats` shows
    the formats.

    >>> nw.export_trial(run, format_name="pt2", out="model")["files"]                 # doctest: +SKIP
    """
    from netwright.runs.publishing import publish
    from netwright.runs.search import writing

    with writing(run_path(run)) as opened:
        found = heard(listener)
        return publish(opened, str(trial), out=path_or_none(out), format_name=format_name, listener=found)


def run(
    recipe: Description,
    *,
    out: AnyPath | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Do all that a recipe describes: search, full training, compression if there is any, bundle, report.

    Returns what `compress` does.

    >>> print(nw.run("recipes/digits-tiny.yaml")["summary"])                          # doctest: +SKIP
    """
    return _finished(_begun(recipe, out=out, overrides=overrides, listener=heard(listener), command="run"), listener)


def resume_run(run: Run, *, overrides: Sequence[str] = (), listener: Listener | None = None) -> dict[str, Any]:
    """Go on with `run` where it was cut short, in the search or later; overrides as of `resume`."""
    return _finished(_resumed(run, overrides=overrides, listener=heard(listener), command="run"), listener)


def quickstart(
    *, out: AnyPath | None = None, overrides: Sequence[str] = (), listener: Listener | None = None
) -> dict[str, Any]:
    """The whole way on images that ship with the package; needs no network. Returns what `compress` does."""
    with as_file(files("netwright.recipes") / "quickstart.yaml") as recipe:
        return run(recipe, out=out, overrides=overrides, listener=listener)


def bench(models: AnyPath | Sequence[AnyPath], *, threads: int = 1, batch: int = 1) -> list[dict[str, Any]]:
    """The latency of ONNX files by the protocol, interleaved; the first is what the others are compared with.

    A row per file: `model`, milliseconds per call (`median_ms`, `p10_ms`, `p90_ms`, `p95_ms`, `iqr_ms`), `n`, the
    `verdict` (ok or NOISY), `speed-up`, `resolution` and the whole `protocol`. Raises ExportError for a file that is
    missing or refused, and when the files take different inputs.

    >>> nw.bench(["model.onnx", "model.int8.onnx"])[1]["speed-up"]                    # doctest: +SKIP
    """
    from netwright.runs.benching import bench_files

    return bench_files(paths_of(models, where="models"), threads=threads, batch=batch)


def open_run(run: AnyPath, *, trust: bool = False) -> RunView:
    """A run as it is now, to read; raises RunError when there is none. Safe while the run is being written.

    Nothing of the run is executed, unless `trust` allows to import its own search space, which drawing needs.

    >>> view = nw.open_run("runs/digits")                                             # doctest: +SKIP
    >>> view.counts["done"], view.trials[0].decisions                                 # doctest: +SKIP
    """
    from netwright.runs.view import open_run as view_of

    return view_of(run_path(run), trust=trust)


def list_runs(root: AnyPath = "runs") -> list[dict[str, Any]]:
    """The runs in a folder: name, state, trials by state."""
    from netwright.runs.view import find_runs

    rows = []
    for path in find_runs(path_of(root, where="root")):
        try:
            view = open_run(path)
        except RunError as error:
            rows.append({"run": str(path), "state": f"unreadable: {error}"})
            continue
        done = f"{view.counts['done']} of {view.asked}" if view.asked else ""
        rows.append({"run": str(path), "name": view.name, "state": view.state, "done": done})
    return rows


def _begun(
    recipe: Description, *, out: AnyPath | None, overrides: Sequence[str], listener: Listener, command: str
) -> RunView:
    """The search that `command` begins with, which goes on by the same command's --resume."""
    from netwright.runs.search import create_run, going_on_by, tell_without_network
    from netwright.runs.search import search as run_search

    specification = specification_of(recipe, overrides)
    again = f"netwright {command} --resume"
    path = create_run(specification, path_or_none(out), again=again).path
    with going_on_by(f"{again} {path}"):
        tell_without_network(specification, listener)
        run_search(path, specification=specification, listener=listener, command=command)
        return open_run(path)


def _resumed(run: Run, *, overrides: Sequence[str], listener: Listener, command: str) -> RunView:
    from netwright.runs.search import resumed_specification
    from netwright.runs.search import search as run_search

    path, changes = run_path(run), changes_of(overrides)
    run_search(path, specification=resumed_specification(path, changes), listener=listener, command=command)
    return open_run(path)


def _finished(view: RunView, listener: Listener | None) -> dict[str, Any]:
    """What follows the search; a run that describes no passes has its winner trained in full, proven and tested."""
    from netwright.compression.recipe import Recipe
    from netwright.runs.search import going_on_by

    with going_on_by(f"netwright run --resume {view.path}"):
        return compress(view, recipe=None if view.specification.get("compress") else Recipe(), listener=listener)


def _compressed(run: OpenRun, winner: Winner, *, recipe: Recipe, listener: Listener) -> None:
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


def _result(path: Path) -> dict[str, Any]:
    from netwright.runs.rows import summary, summary_sentence

    view = open_run(path)
    return {**summary(view), "summary": summary_sentence(view)}


def _one_of(run: object, model: object) -> None:
    if (run is None) == (model is None):
        raise ConfigurationError([Mistake("run", "give a run, or the model of your own, one of them")])
