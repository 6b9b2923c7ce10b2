"""What the functions of `netwright.api` are given, read and checked: runs, recipes, a model of the caller's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from netwright.core.config import read_yaml, with_overrides
from netwright.core.errors import ConfigurationError, Mistake, RunError
from netwright.core.progress import Listener, say, silent

if TYPE_CHECKING:
    from torch.nn import Module

    from netwright.compression.recipe import Recipe
    from netwright.runs.search import OpenRun
    from netwright.runs.specification import RunSpecification
    from netwright.runs.view import RunView
    from netwright.runs.winner import Winner

AnyPath: TypeAlias = "str | PathLike[str]"

Run: TypeAlias = "str | PathLike[str] | RunView"
"""A run by its folder, or as `search` and `open_run` return it."""

Description: TypeAlias = "str | PathLike[str] | Mapping[str, Any] | RunSpecification"
"""A run description: a YAML file, the same as a mapping, or parsed."""

Passes: TypeAlias = "Description | Recipe"
"""A compression recipe, or a run description with a `compress` part: a YAML file, the same as a mapping, or parsed."""


def run_path(run: Run) -> Path:
    """The folder of a run."""
    if isinstance(run, (str, PathLike)):
        return path_of(run, where="run")
    from netwright.runs.view import RunView

    if isinstance(run, RunView):
        return run.path
    raise _unexpected("run", "the path of a run folder, or what search and open_run return", run)


def path_of(given: AnyPath, *, where: str = "out") -> Path:
    """The path of an argument, with `~` filled in."""
    if not isinstance(given, (str, PathLike)):
        raise _unexpected(where, "a path", given)
    if "\0" in str(given):
        raise _unexpected(where, "a path without a NUL byte", given)
    return Path(given).expanduser()


def paths_of(given: AnyPath | Iterable[AnyPath], *, where: str) -> list[Path]:
    """One path or several, as a list."""
    if isinstance(given, Iterable) and not isinstance(given, (str, PathLike)):
        return [path_of(path, where=where) for path in given]
    return [path_of(given, where=where)]


def heard(listener: Listener | None) -> Listener:
    """Who is told of events; None stands for nobody."""
    if listener is not None and not callable(listener):
        raise _unexpected("listener", "a function that takes an Event, or None", listener)
    return listener or silent


def check_count(name: str, given: int) -> None:
    """Raise ConfigurationError for what is no whole number of at least 1."""
    if not isinstance(given, int) or given < 1:
        raise _unexpected(name, "a whole number of at least 1", given)


def path_or_none(given: AnyPath | None, *, where: str = "out") -> Path | None:
    """The path, where one is given."""
    return None if given is None else path_of(given, where=where)


def changes_of(overrides: Sequence[str]) -> list[str]:
    """The texts of an argument `overrides`; raises ConfigurationError for what is no list of such texts."""
    with_overrides({}, overrides)
    return list(overrides)


def specification_of(description: Description, overrides: Sequence[str]) -> RunSpecification:
    """A run description with changes applied; raises ConfigurationError with every mistake in it."""
    from netwright.runs.specification import RunSpecification, load_specification

    if isinstance(description, (str, PathLike)):
        loaded = load_specification(path_of(description), overrides=overrides)
        _check_solve(loaded.compress, source=str(description))
        return loaded
    if isinstance(description, RunSpecification):
        description = description.to_json()
    if not isinstance(description, Mapping):
        raise _unexpected("recipe", "the path of a YAML file, a mapping or a RunSpecification", description)
    parsed = RunSpecification.parse(with_overrides(description, overrides))
    _check_solve(parsed.compress)
    return parsed


def passes_of(recipe: Passes | None, overrides: Sequence[str], *, own: OpenRun) -> Recipe:
    """The compression recipe that is given, by default the run's own, with changes applied.

    Of a file or a mapping its `compress` part counts, or the whole when it has none.
    """
    from netwright.compression.recipe import Recipe
    from netwright.runs.compressing import recipe_of

    found = recipe_of(own) if recipe is None else recipe
    if isinstance(found, Recipe) and not overrides:
        return found
    changes = [text.removeprefix("compress.") for text in changes_of(overrides)]
    part, source = _compress_part(found), _source(found)
    if part is None:
        raise _no_passes(found)
    parsed = Recipe.parse(with_overrides(part, changes) if isinstance(part, Mapping) else part, source=source)
    _check_solve(parsed, source=source)
    return parsed


def own_model(
    model: object, *, weights: AnyPath | None, recipe: Passes | None, overrides: Sequence[str]
) -> tuple[RunSpecification, Module]:
    """The run description and the network of somebody's own model.

    Raises ConfigurationError where something is missing or the network cannot be built, and CompressionError where it
    does not fit the task.
    """
    from netwright.compression.recipe import Recipe
    from netwright.runs.compressing import check_own_model, load_own_model

    if not isinstance(model, str):
        raise _unexpected("model", "the text `package.module:build` that names a function which makes it", model)
    if recipe is None or isinstance(recipe, Recipe):
        raise ConfigurationError([Mistake("recipe", "a model of your own needs one with `task` and `compress`")])
    specification = specification_of(recipe, overrides).model_copy(update={"space": None})
    if specification.compress is None:
        raise _no_passes(recipe)
    outputs = specification.task.shapes().output_shape[0]
    module = load_own_model(model, path_or_none(weights, where="weights"), outputs=outputs)
    check_own_model(module, specification, build=model)
    return specification, module


@contextmanager
def own_run(
    model: str | None,
    *,
    weights: AnyPath | None,
    recipe: Passes | None,
    out: AnyPath | None,
    overrides: Sequence[str],
    listener: Listener,
) -> Iterator[tuple[OpenRun, Winner]]:
    """A run for a model of somebody's own, new or one of the same recipe that goes on, open for writing.

    Where no folder was named, the listener is told which it is, before anything that could be cut short.
    """
    from netwright.runs.compressing import own_winner
    from netwright.runs.folder import RunFolder
    from netwright.runs.search import create_run, going_on_by, writing
    from netwright.runs.specification import RunSpecification

    specification, module = own_model(model, weights=weights, recipe=recipe, overrides=overrides)
    path, again = path_or_none(out), "the same command and --out"
    if path is None or not (path / "run.db").exists():
        path = create_run(specification, path, again=again).path
    elif RunSpecification.parse(RunFolder.open(path).read_specification()).to_json() != specification.to_json():
        hint = f"name another folder with --out, or give the recipe to `netwright compress {path} --recipe`"
        raise RunError(f"{path} holds a run of another recipe; {hint}")
    if out is None:
        say(listener, f"in {path}; if it is cut short: {again} {path}")
    with going_on_by(f"{again} {path}"), writing(path, specification=specification) as opened:
        yield opened, own_winner(opened, module, build=str(model))


def _compress_part(recipe: Passes) -> object:
    """The `compress` part as plain data; None where there is none."""
    from netwright.compression.recipe import Recipe
    from netwright.runs.specification import RunSpecification

    if isinstance(recipe, Recipe):
        return recipe.model_dump(mode="json")
    if isinstance(recipe, RunSpecification):
        return recipe.to_json().get("compress")
    if isinstance(recipe, (str, PathLike)):
        recipe = read_yaml(path_of(recipe))
    if not isinstance(recipe, Mapping):
        raise _unexpected("recipe", "the path of a YAML file, a mapping or a Recipe", recipe)
    return recipe.get("compress", recipe)


def _check_solve(recipe: Recipe | None, *, source: str = "") -> None:
    """Raise ConfigurationError, before anything starts, for a recipe whose search names no strategy there is."""
    if recipe is None or recipe.solve is None:
        return
    from netwright.runs.solving import strategy_of

    try:
        strategy_of(recipe)
    except ConfigurationError as error:
        raise ConfigurationError(error.mistakes, source=source) from None


def _unexpected(where: str, expected: str, came: object) -> ConfigurationError:
    return ConfigurationError([Mistake(where, f"expected {expected}; came {came!r:.80}")])


def _no_passes(recipe: Passes) -> ConfigurationError:
    return ConfigurationError([Mistake("compress", "is missing; say which passes to run")], source=_source(recipe))


def _source(recipe: Passes) -> str:
    """The file that a recipe is in; empty where it is in none."""
    return str(recipe) if isinstance(recipe, (str, PathLike)) else ""
