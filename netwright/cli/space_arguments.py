"""What the commands of `netwright space` are given: a space, shapes, decisions, bounds."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from netwright.core.records import Decisions, Objective
    from netwright.core.shapes import Shapes
    from netwright.search_spaces.landmark import Landmark
    from netwright.search_spaces.space import SearchSpace

Function = TypeVar("Function", bound=Callable[..., Any])
METRICS = {"params": "params", "macs": "macs", "activation_bytes": "activation_bytes"} | {
    "peak_activation_bytes": "activation_bytes"
}
EXPECTED = '{"decisions": {...}} or {"genotype": ...}'
BOUND = re.compile(r"^\s*(\w+)\s*(<=|>=)\s*(\S+)\s*$")

settings_option = click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Change a setting of the space; may be repeated."
)
decisions_option = click.option(
    "--decisions",
    metavar="FILE|-|JSON",
    help="The architecture: a JSON file, - for standard input, JSON text, a genotype, or landmark:NAME.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="For what is drawn at random.")


def shape_options(function: Function) -> Function:
    """Adds the options that say what goes in and what comes out."""
    options: list[Callable[[Any], Any]] = [
        click.option("--task", metavar="TASK|RECIPE", help="Take the shapes from a task or a recipe's task."),
        click.option("--output", "output_shape", metavar="CxHxW", help="Shape of a result that is no class."),
        click.option("--classes", type=click.IntRange(min=1), help="Number of classes or values of a result."),
        click.option("--input", "input_shape", metavar="CxHxW|TxF", help="Shape of an input, such as 3x32x32."),
    ]
    for add in options:
        function = add(function)
    return function


@dataclass(frozen=True)
class Chosen:
    """A space as it was asked for, with the landmark or the recipe it came from."""

    name: str
    space: SearchSpace
    landmark: Landmark | None = None
    recipe: Mapping[str, Any] | None = None


def chosen_space(text: str, overrides: tuple[str, ...] = ()) -> Chosen:
    """The space that a SPACE argument means."""
    from netwright.core.config import with_overrides
    from netwright.core.plugins import built, load
    from netwright.search_spaces.landmark import load_landmark
    from netwright.search_spaces.space import SearchSpace

    landmark = recipe = None
    spec: Mapping[str, Any]
    if text.startswith("landmark:"):
        landmark = load_landmark(text)
        spec = landmark.space
    elif text.endswith((".yaml", ".yml")):
        spec, recipe = _from_file(Path(text))
    else:
        load("space", text)  # an unknown name is said without the place that it would have in a recipe
        spec = {"kind": text}
    space = built(SearchSpace, with_overrides(spec, overrides))
    return Chosen(text, space, landmark, recipe)


def chosen_shapes(
    chosen: Chosen,
    *,
    input_shape: str | None,
    classes: int | None,
    output_shape: str | None,
    task: str | None,
) -> tuple[Shapes, str]:
    """The shapes that were asked for, and a few words on where they come from.

    By default those of the recipe's task, of the landmark, or of the space's first example.
    """
    from netwright.core.shapes import Shapes

    if task is not None:
        if input_shape or classes or output_shape:
            raise click.UsageError("--task gives the shapes; leave out --input, --classes and --output")
        return _task_shapes(task), f"of the task {task}"
    if classes is not None and output_shape is not None:
        raise click.UsageError("give --classes or --output, not both")
    if input_shape is not None:
        if classes is None and output_shape is None:
            raise click.UsageError("--input needs --classes N (or --output, for results that are no classes)")
        output = classes if classes is not None else parse_shape("--output", str(output_shape))
        return Shapes(parse_shape("--input", input_shape), output), "as given"
    if classes is not None or output_shape is not None:
        raise click.UsageError("--classes and --output need --input, such as --input 3x32x32")
    return _default_shapes(chosen)


def chosen_decisions(chosen: Chosen, text: str) -> Decisions:
    """The architecture that a DECISIONS text means, checked against the space."""
    from netwright.core.errors import SpaceError

    if text.startswith("landmark:"):
        from netwright.search_spaces.landmark import load_landmark

        return dict(chosen.space.trace(load_landmark(text).resolved()).decisions)
    if text == "-":
        source, words = "standard input", sys.stdin.read()
    elif not text.lstrip().startswith("{") and (text.endswith((".json", ".jsonl")) or _is_file(text)):
        source, words = text, _read(Path(text))
    elif not text.lstrip().startswith("{"):
        return chosen.space.from_genotype(text)
    else:
        source, words = "--decisions", text
    try:
        document = json.loads(words)
    except ValueError as error:
        raise SpaceError(f"{source} holds no JSON object of decisions: {error}") from None
    return read_decisions(chosen.space, document)


def read_decisions(space: SearchSpace, document: object) -> Decisions:
    """Decisions from `{"decisions": {...}}`, `{"genotype": ...}` or the decisions themselves."""
    from netwright.core.errors import SpaceError

    if not isinstance(document, Mapping):
        raise SpaceError(f"expected {EXPECTED}, came {document!r:.200}")
    if isinstance(document.get("decisions"), Mapping):
        return dict(space.trace(document["decisions"]).decisions)
    if "genotype" in document:
        return space.from_genotype(document["genotype"])
    if "decisions" in document:
        raise SpaceError(f"expected {EXPECTED}, came {json.dumps(document):.200}")
    try:
        return dict(space.trace(document).decisions)
    except SpaceError as error:
        try:
            return space.from_genotype(document)  # a published one without its wrapping
        except SpaceError:
            raise SpaceError(f"{error}; an architecture is {EXPECTED}, or the decisions alone") from None


def parse_shape(option: str, text: str) -> tuple[int, ...]:
    """`3x32x32` as (3, 32, 32)."""
    if not re.fullmatch(r"[1-9]\d{0,8}([x×][1-9]\d{0,8}){0,5}", text):
        raise click.UsageError(f"{option} expects sizes joined by x, such as 3x32x32, came {text!r}")
    return tuple(int(part) for part in re.split("[x×]", text))


def parse_bound(text: str) -> Objective:
    """`macs<=5e6` as an objective with a bound; params, macs or activation_bytes, at most or at least."""
    from netwright.core.errors import UnknownNameError
    from netwright.core.records import Objective

    found = BOUND.match(text)
    try:
        metric, sign, number = found.groups() if found else ("", "", "")
        limit = float(number.replace("_", ""))
        if not math.isfinite(limit):
            raise ValueError(number)
    except ValueError:
        raise click.UsageError(
            f"--bound expects something like 'macs<=5e6' (in quotes, for the shell), came {text!r}"
        ) from None
    if metric not in METRICS:
        raise UnknownNameError("cost", metric, METRICS)
    return Objective(metric=METRICS[metric], direction="minimize" if sign == "<=" else "maximize", bound=limit)


def shape_text(shapes: Shapes) -> str:
    """`3x32x32 -> 10`."""
    output = "x".join(map(str, shapes.output_shape))
    return f"{'x'.join(map(str, shapes.input))} -> {output}"


def _from_file(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """The space in a YAML file, and the file when it is a recipe."""
    from netwright.core.config import read_yaml
    from netwright.core.errors import ConfigurationError, Mistake

    data = read_yaml(path)
    if "kind" in data:
        return data, None
    space = data.get("space")
    if isinstance(space, str):
        return {"kind": space}, data
    if not isinstance(space, Mapping):
        raise ConfigurationError(
            [Mistake("space", "expected a recipe with a 'space', or the 'kind' and settings of a space")],
            source=str(path),
        )
    return space, data


def _default_shapes(chosen: Chosen) -> tuple[Shapes, str]:
    import random

    from netwright.core.errors import SpaceError

    if chosen.landmark is not None:
        return chosen.landmark.shapes, "of the landmark"
    if chosen.recipe is not None and chosen.recipe.get("task") is not None:
        return _built_task_shapes(chosen.recipe["task"]), "of the recipe's task"
    examples = chosen.space.examples()
    if not examples:
        tried = chosen.space.example_inputs[0]
        try:
            chosen.space.outline(chosen.space.sample(random.Random(0)), tried)
        except SpaceError as error:
            if not isinstance(error.__cause__, SpaceError):
                raise  # the user's own code stopped: other shapes would not help
            raise SpaceError(
                f"{chosen.name!r} serves none of its example inputs; give --input and --classes. "
                f"{shape_text(tried)}: {error}"
            ) from None
    return examples[0], "the space's first example"


def _task_shapes(text: str) -> Shapes:
    from netwright.core.config import read_yaml
    from netwright.core.errors import ConfigurationError, Mistake
    from netwright.core.plugins import load

    if not text.endswith((".yaml", ".yml")):
        load("task", text)
        return _built_task_shapes(text)
    data = read_yaml(Path(text))
    spec = data if "kind" in data else data.get("task")
    if spec is None:
        raise ConfigurationError([Mistake("task", "is missing")], source=text)
    return _built_task_shapes(spec)


def _built_task_shapes(spec: object) -> Shapes:
    from netwright.core.plugins import built
    from netwright.tasks.task import Task

    task = built(Task, spec)
    return task.shapes()


def _read(path: Path) -> str:
    from netwright.core.errors import SpaceError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path} cannot be read: {error}") from None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # a genotype may be too long for a path
        return False
