"""A field that a later version adds, and that is left at its default, changes no identity."""

from __future__ import annotations

from pydantic import Field

from netwright.core.config import Settings
from netwright.core.identity import identity_of
from netwright.core.plugins import build
from netwright.nas.strategies.one_shot import OneShot


class Before(Settings):
    size: int = Field(default=3, description="")


class Since(Settings):
    size: int = Field(default=3, description="")
    shape: tuple[int, ...] = Field(default=(1, 2), description="")
    inner: Before = Field(default=Before(), description="")


def test_fields_at_their_default_are_left_out_at_any_depth() -> None:
    assert identity_of(Before(size=4)) == identity_of(Since(size=4)) == {"size": 4}
    assert identity_of(Since()) == {}
    assert identity_of(Since(inner=Before(size=5), shape=(3,))) == {"shape": [3], "inner": {"size": 5}}
    assert identity_of({"one": [Since()]}) == {"one": [{}]}


def test_a_plugin_keeps_its_name_and_one_inside_may_be_given_by_its_name_alone() -> None:
    assert identity_of(build("space", {"kind": "cells", "nodes": 5})) == {"kind": "cells", "nodes": 5}
    assert identity_of(OneShot()) == {"kind": "one_shot"}
    assert identity_of(OneShot.parse({"kind": "one_shot"})) == {"kind": "one_shot"}
