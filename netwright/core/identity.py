"""What settings come down to: equal for equal behaviour, also where a later version has added fields to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netwright.core.config import Settings
from netwright.core.plugins import Plugin, name_of


def identity_of(value: object) -> Any:
    """Settings as plain data without the fields that stand at their default, at any depth.

    A record or cache of a version that did not know a field yet was made as the field's default says, so a field that
    is left alone must not tell two things apart.
    """
    if isinstance(value, Settings):
        told = {"kind": name_of(value)} if isinstance(value, Plugin) else {}
        return told | {name: identity_of(getattr(value, name)) for name in _set_apart(value)}
    if isinstance(value, Mapping):
        return {key: identity_of(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity_of(inner) for inner in value]
    return value


def _set_apart(settings: Settings) -> list[str]:
    """The fields whose values differ from their defaults."""
    defaults = default_values(type(settings))
    return [
        name
        for name in type(settings).model_fields
        if name not in defaults or not _same(getattr(settings, name), defaults[name])
    ]


def default_values(settings: type[Settings]) -> dict[str, Any]:
    """The defaults of all fields that have one."""
    fields = settings.model_fields.items()
    return {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in fields
        if not field.is_required()
    }


def _same(value: object, default: object) -> bool:
    """Whether a value is its default; that of a plugin may be given by its name alone."""
    if isinstance(value, Plugin) and isinstance(default, str):
        default = {"kind": default}
    return bool(identity_of(value) == identity_of(default))
