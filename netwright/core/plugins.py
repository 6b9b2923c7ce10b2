"""Plugins by file: one file in a kind's folder is one plugin, and its file name is its name.

No registry and no import side effects: `names` lists files, `load` imports one of them.
A user's own plugin is a dotted path, `package.module:Class`, or an entry point in the group
`netwright.<kind>`. An entry point whose name is taken, by a file or by another one, is known by its dotted path
alone, so that no installed package changes what a name means.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from importlib.metadata import entry_points
from types import UnionType
from typing import Any, TypeVar

from pydantic import BeforeValidator, PlainSerializer, SerializerFunctionWrapHandler, model_serializer, model_validator

from netwright.core.config import Settings
from netwright.core.errors import (
    ConfigurationError,
    DataError,
    MissingPackageError,
    Mistake,
    NetwrightError,
    UnknownNameError,
)
from netwright.core.own_code import own_place


class Plugin(Settings):
    """The base of every plugin: a frozen object whose fields are its settings.

    Written as plain data it carries its name under `kind`, wherever it is nested.
    """

    @model_serializer(mode="wrap")
    def _with_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"kind": name_of(self), **handler(self)}

    @model_validator(mode="before")
    @classmethod
    def _without_kind(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "kind" in data and data["kind"] == name_of(cls):
            return {key: value for key, value in data.items() if key != "kind"}
        return data


AnyPlugin = TypeVar("AnyPlugin", bound=Plugin)
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of plugin: the folder its files live in and the base class they extend."""

    name: str
    plural: str
    package: str
    base: str


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("space", "spaces", "netwright.search_spaces.spaces", "netwright.search_spaces.space:SearchSpace"),
        Kind(
            "operation",
            "operations",
            "netwright.search_spaces.operations",
            "netwright.search_spaces.operation:Operation",
        ),
        Kind("task", "tasks", "netwright.tasks.kinds", "netwright.tasks.task:Task"),
        Kind("metric", "metrics", "netwright.evaluation.metrics", "netwright.evaluation.metric:Metric"),
        Kind("proxy", "proxies", "netwright.evaluation.proxies", "netwright.evaluation.proxy:Proxy"),
        Kind("strategy", "strategies", "netwright.nas.strategies", "netwright.nas.strategy:Strategy"),
        Kind("stopper", "stoppers", "netwright.nas.stoppers", "netwright.nas.stopper:Stopper"),
        Kind("promotion", "promotions", "netwright.nas.promotions", "netwright.nas.promotion:Promotion"),
        Kind("executor", "executors", "netwright.runs.executors", "netwright.runs.executor:Executor"),
        Kind("pass", "passes", "netwright.compression.passes", "netwright.compression.compression_pass:Pass"),
        Kind("form", "forms", "netwright.compression.forms", "netwright.compression.form:Form"),
        Kind("criterion", "criteria", "netwright.compression.criteria", "netwright.compression.criterion:Criterion"),
        Kind("format", "formats", "netwright.export.formats", "netwright.export.format:Format"),
        Kind("panel", "panels", "netwright.dashboards.panels", "netwright.dashboards.panel:Panel"),
    )
}


def names(kind: str) -> list[str]:
    """The names of all plugins of a kind, without importing any of them."""
    return sorted(_files(kind) | _entry_points(kind).keys())


def load(kind: str, name: str) -> type[Plugin]:
    """The class of a plugin, by name or by dotted path `package.module:Class`.

    A name may be cut short at an underscore while it still means one plugin: `ray` for `ray_tune`.
    Raises UnknownNameError with the nearest name, or MissingPackageError naming what to install.
    """
    path = name if ":" in name else _entry_points(kind).get(name)
    if path is not None:
        return _checked(kind, import_dotted(path, what=kind), name)
    return _class_in(kind, f"{_kind(kind).package}.{_file_for(kind, name)}")


def build(kind: str, spec: object) -> Plugin:
    """A plugin from its specification: a name, `{"kind": name, **settings}`, or a plugin itself.

    Raises ConfigurationError that lists every mistake in the settings.
    """
    if isinstance(spec, Plugin):
        _checked(kind, type(spec), type(spec).__name__)
        return spec
    if isinstance(spec, str):
        spec = {"kind": spec}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("kind"), str):
        expected = f"expected the name of a {kind}, or a mapping with the key 'kind'"
        raise ConfigurationError([Mistake("", f"{expected}, came {spec!r}")])
    try:
        cls = load(kind, spec["kind"])
    except (UnknownNameError, MissingPackageError) as error:
        raise ConfigurationError([Mistake("kind", str(error))]) from None
    except ConfigurationError as error:
        raise ConfigurationError([Mistake("kind", mistake.what) for mistake in error.mistakes]) from error
    return cls.parse({key: value for key, value in spec.items() if key != "kind"})


def built(base: type[AnyPlugin], spec: object) -> AnyPlugin:
    """The same by the base class of a kind, and of its type."""
    kind = next(kind.name for kind in KINDS.values() if kind.base == f"{base.__module__}:{base.__qualname__}")
    found = build(kind, spec)
    assert isinstance(found, base)
    return found


def field_of(base: type[Plugin]) -> tuple[BeforeValidator, PlainSerializer]:
    """What makes `Annotated[Base, *field_of(Base)]` a field that takes whatever `build` does."""
    return BeforeValidator(partial(built, base)), PlainSerializer(spec_of)


def name_of(plugin: Plugin | type[Plugin]) -> str:
    """The name a plugin is known by: its file's name, or its dotted path."""
    return _name_of_class(plugin if isinstance(plugin, type) else type(plugin))


@cache
def _name_of_class(cls: type[Plugin]) -> str:
    package, _, module = cls.__module__.rpartition(".")
    if any(kind.package == package for kind in KINDS.values()):
        return module
    return f"{cls.__module__}:{cls.__qualname__}"


def spec_of(plugin: Plugin) -> dict[str, Any]:
    """The specification `build` would make the same plugin from, as plain JSON data."""
    return plugin.model_dump(mode="json")


def given(plugin: Plugin, method: str, kind: type[Given] | UnionType, *arguments: Any, **named: Any) -> Given:
    """What a plugin's method gives; raises DataError that names class and method where it is of another type.

    What a method gives that is of a wrong type fails later, in code that is not its author's.
    """
    found: Given = getattr(plugin, method)(*arguments, **named)
    if not isinstance(found, kind):
        came = f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__
        wanted = kind.__name__ if isinstance(kind, type) else kind
        raise DataError(f"{name_of(plugin)}.{method} gives {came}, expected {wanted}")
    return found


def summary(kind: str, name: str) -> str:
    """The first sentence of a plugin's documentation."""
    text = inspect.getdoc(load(kind, name)) or ""
    return " ".join(text.split("\n\n")[0].split())


def import_dotted(path: str, *, what: str) -> Any:
    """The object that `package.module:name` names; raises a NetwrightError that says what failed."""
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError([Mistake(what, f"expected package.module:name, came {path!r}")])
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        hint = "Is it on PYTHONPATH, or in the current folder?" if error.name == module_name.split(".")[0] else ""
        raise ConfigurationError([Mistake(what, f"{path!r} cannot be imported: {error}. {hint}".strip())]) from None
    except AttributeError as error:
        near = get_close_matches(str(error.name), dir(error.obj), n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError([Mistake(what, f"{path!r} was not found: {error}{hint}")]) from None
    except Exception as error:
        text, place = next(iter(str(error).splitlines()), ""), own_place(error)
        at = f" at {place}" if place else ""
        raise ConfigurationError(
            [Mistake(what, f"importing {path!r} failed{at}: {type(error).__name__}: {text}")]
        ) from error
    return found


@cache
def _file_for(kind: str, name: str) -> str:
    """The plugin file that a name means: its own, or the only one that begins with the name's words."""
    known = names(kind)
    longer = [other for other in known if other.startswith(f"{name}_")]
    if name in known:
        return name
    if len(longer) == 1:
        return longer[0]
    raise UnknownNameError(kind, name, known)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise UnknownNameError("kind of plugin", name, KINDS)
    return KINDS[name]


def _files(kind: str) -> set[str]:
    package = importlib.import_module(_kind(kind).package)
    return {m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")}


@cache
def _entry_points(kind: str) -> Mapping[str, str]:
    """The dotted paths of what installed packages bring, by name, or by the path itself where the name is taken."""
    paths = {(point.name, f"{point.module}:{point.attr}") for point in entry_points(group=f"netwright.{kind}")}
    count, files = Counter(name for name, _ in paths), _files(kind)
    return {path if name in files or count[name] > 1 else name: path for name, path in paths}


def _base(kind: str) -> type[Plugin]:
    module, _, attribute = _kind(kind).base.partition(":")
    base = getattr(importlib.import_module(module), attribute)
    assert isinstance(base, type)
    return base


def _checked(kind: str, found: object, name: str) -> type[Plugin]:
    base = _base(kind)
    if not isinstance(found, type) or not issubclass(found, base):
        raise ConfigurationError([Mistake(kind, f"{name!r} is not a subclass of {_kind(kind).base.replace(':', '.')}")])
    missing = {*found.__abstractmethods__, *(value for value in found.__class_vars__ if not hasattr(found, value))}
    if missing:
        raise ConfigurationError([Mistake(kind, f"{name!r} does not define {', '.join(sorted(missing))}")])
    for method in sorted(name for name in vars(base) if not name.startswith("_")):
        if refused := _refused_call(*(inspect.getattr_static(one, method) for one in (base, found))):
            raise ConfigurationError([Mistake(kind, f"`{method}` of {name!r} {refused}")])
    return found


def _refused_call(asked: object, own: object) -> str:
    """Why a method cannot be called as another one is; empty when it can."""
    if own is asked or not inspect.isfunction(asked) or not inspect.isfunction(own):
        return ""
    wanted = inspect.signature(asked)
    needed = [one for one in wanted.parameters.values() if one.default is one.empty]
    placed = [one.name for one in needed if one.kind is not one.KEYWORD_ONLY]
    named = {one.name: None for one in needed if one.kind is one.KEYWORD_ONLY}
    try:
        inspect.signature(own).bind(*placed, **named)
    except TypeError as error:
        return f"cannot be called with {', '.join(wanted.parameters)}: {error}"
    return ""


@cache
def _class_in(kind: str, module_name: str) -> type[Plugin]:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        short = module_name.rpartition(".")[2]
        raise MissingPackageError(
            f"the {kind} {short!r} needs the package {error.name!r}, which is not installed: pip install {error.name}"
        ) from error
    base = _base(kind)
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module_name
        and not name.startswith("_")
    ]
    if len(found) != 1:
        raise NetwrightError(
            f"{module_name} must define exactly one public class of the kind {kind!r} "
            f"(a subclass of {base.__name__}); it defines {len(found)}"
        )
    return found[0]
