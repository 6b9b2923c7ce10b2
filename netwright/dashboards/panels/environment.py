"""Where the run comes from, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from netwright.dashboards.labels import Column
from netwright.dashboards.panel import Panel, Row
from netwright.runs.view import RunView

FIRST = ("command", "seed", "data", "git", "started", "python")


class Environment(Panel):
    """The command, seed, data fingerprint, machine and versions behind every number of the run."""

    title: ClassVar[str] = "Environment"
    order: ClassVar[int] = 90
    help: ClassVar[str] = "The command repeats the run; with the same versions and seed it takes the same decisions."
    empty: ClassVar[str] = (
        "The run folder holds no readable environment record, so its versions and machine are unknown. "
        "Runs started by `netwright` write one."
    )

    def rows(self, view: RunView) -> list[Row]:
        facts = dict(view.environment)
        ordered = {key: facts.pop(key) for key in FIRST if key in facts} | facts
        return [{"fact": name, "value": value} for key, entry in ordered.items() for name, value in _flat(key, entry)]

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        return [Column(key="fact", label="fact"), Column(key="value", label="value", kind="code")]


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    """One line per fact; groups give their name to their members."""
    name = _NAMES.get(name, name.replace("_", " "))
    if isinstance(value, Mapping):
        return [(f"{name}: {inner}", text) for key, entry in value.items() for inner, text in _flat(key, entry)]
    if isinstance(value, (list, tuple)):
        return [(name, " ".join(map(str, value)))]
    return [] if value is None or value == "" else [(name, str(value))]


_NAMES = {
    "data": "data fingerprint (SHA-256)",
    "git": "code (git)",
    "packages": "version",
    "cpu": "CPU",
    "isa": "instruction sets",
    "cpus": "logical CPUs",
}
