"""Configuration: typed, frozen, all mistakes reported at once, with the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from netwright.core.errors import ConfigurationError, Mistake, suggestion

MAX_YAML_BYTES = 1 << 20


class Settings(BaseModel):
    """A frozen object whose fields are its configuration; unknown fields are refused.

    A number where a text is expected is its text: layers and columns may be called `4`. Numbers are finite, as those of
    JSON are.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, coerce_numbers_to_str=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, data: object, *, source: str = "") -> Self:
        """An object from plain data; raises ConfigurationError with every mistake found."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigurationError(mistakes_of(error, cls), source=source) from None


_LISTS = frozenset({"tuple_type", "list_type"})


def mistakes_of(error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """Pydantic's errors in our words."""
    found: list[Mistake] = []
    details = error.errors()
    for detail in details:
        if detail["type"] == "too_short" and any(_is_within(other["loc"], detail["loc"]) for other in details):
            continue  # what is wrong in the list did not count
        inner = detail.get("ctx", {}).get("error")
        where = ".".join(str(part) for part in detail["loc"])
        if isinstance(inner, ConfigurationError):
            found += [Mistake(_join(where, m.where), m.what) for m in inner.mistakes]
        else:
            found.append(Mistake(where, _words(detail, model)))
    return found


def _is_within(inner: Sequence[int | str], outer: Sequence[int | str]) -> bool:
    return len(inner) > len(outer) and tuple(inner[: len(outer)]) == tuple(outer)


def _join(left: str, right: str) -> str:
    return ".".join(part for part in (left, right) if part)


def _words(detail: ErrorDetails, model: type[BaseModel]) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        return f"unknown field{suggestion(name, _fields_at(model, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return "is missing"
    if detail["type"] in _LISTS:
        return f"expected a list, such as [a, b], came {detail['input']!r:.100}"
    message = detail["msg"].removeprefix("Value error, ")
    came = detail["input"]
    if isinstance(came, (str, int, float, bool, type(None))):
        return f"{message}; came {came!r}"
    return message


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The field names valid at a place inside a model, as far as its annotations tell."""
    here: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = getattr(here, "model_fields", {}).get(part)
        if field is None:
            return []
        here = _model_in(field.annotation)
    return sorted(getattr(here, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        inner = _model_in(argument)
        if inner is not None:
            return inner
    return None


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses aliases and duplicate keys, and reads 1e-3 as a number."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.get_mark()
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, *, source: str) -> object:
    """The value that a YAML text holds; raises ConfigurationError with line and column."""
    if len(text) > MAX_YAML_BYTES:
        raise ConfigurationError([Mistake("", f"longer than {MAX_YAML_BYTES} bytes")], source=source)
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader, made stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError([Mistake(where, error.problem or str(error))], source=source) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        # of a date that there is none, a number that is none, or a key that is a list, the parser says no place
        raise ConfigurationError([Mistake("", str(error))], source=source) from None
    except RecursionError:
        raise ConfigurationError([Mistake("", "is nested too deeply")], source=source) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises ConfigurationError when it is missing or not one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            [Mistake("", "no such file; give the path of a YAML run description")], source=str(path)
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([Mistake("", f"cannot be read: {error}")], source=str(path)) from None
    data = parse_yaml(text, source=str(path))
    if not isinstance(data, dict):
        kind = "nothing" if data is None else f"a {type(data).__name__}"
        raise ConfigurationError([Mistake("", f"expected a mapping of names to values, came {kind}")], source=str(path))
    return data


def with_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `data` with `a.b=value` texts applied; values are read as YAML.

    Raises ConfigurationError for what is no list of such texts.
    """
    listed = isinstance(overrides, Collection) and not isinstance(overrides, (str, Mapping))
    if not listed or not all(isinstance(text, str) for text in overrides):
        raise ConfigurationError([Mistake("overrides", f"expected a list of 'name.name=value', came {overrides!r}")])
    result = dict(data)
    for text in overrides:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigurationError([Mistake("--set", f"expected name.name=value, came {text!r}")])
        result = _with(result, keys, parse_yaml(value, source=f"--set {text}"), text)
    return result


def _with(data: Mapping[str, Any], keys: Sequence[str], value: object, text: str) -> dict[str, Any]:
    result = dict(data)
    head, rest = keys[0], keys[1:]
    if not rest:
        result[head] = value
        return result
    inner = result.get(head)
    if isinstance(inner, str):
        inner = {"kind": inner}
    if inner is not None and not isinstance(inner, Mapping):
        raise ConfigurationError([Mistake("--set", f"{head!r} in {text!r} is not a group of settings")])
    result[head] = _with(inner or {}, rest, value, text)
    return result
