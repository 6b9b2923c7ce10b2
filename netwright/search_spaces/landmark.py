"""Landmarks: well-known architectures, each a small data file that names a point in a space."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from netwright.core.config import Settings
from netwright.core.errors import SpaceError, UnknownNameError
from netwright.core.plugins import built
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.choosers import ReplayChooser
from netwright.search_spaces.domain import Domain, Value
from netwright.search_spaces.space import SearchSpace

FOLDER = Path(__file__).parent / "landmarks"


class Count(Settings):
    """What a source says about an architecture; digits as printed there, such as 4089184256 or 23.8M."""

    source: str
    params: int | str | None = None
    macs: int | str | None = None
    note: str = ""


class Landmark(Settings):
    """A named architecture: the space it lies in, its decisions there, its published figures."""

    title: str
    source: str = Field(description="the paper, and what was chosen where versions differ")
    input: tuple[int, ...] = Field(description="per-sample shape that the published figures are for")
    output: int | tuple[int, ...]
    space: dict[str, Any] = Field(description="kind and settings of the space")
    decisions: dict[str, Any] = Field(
        default_factory=dict,
        description="`stage1: {depth: 3}` says the same as `stage1/depth: 3`; what has one option may be left out",
    )
    genotype: Any = Field(default=None, description="instead of decisions, in the space's published notation")
    counts: tuple[Count, ...] = ()

    @cached_property
    def shapes(self) -> Shapes:
        """The shapes that the published figures are for."""
        return Shapes(self.input, self.output)

    @cached_property
    def search_space(self) -> SearchSpace:
        """The space that the architecture lies in."""
        return built(SearchSpace, self.space)

    def resolved(self) -> Decisions:
        """Its decisions, also when the file gives a genotype; checked against the space."""
        given = _flat(self.decisions)
        if self.genotype is not None:
            return {**self.search_space.from_genotype(self.genotype), **given}
        chooser = _OnlyOptionChooser(given)
        self.search_space.decide(chooser)
        chooser.check_all_used()
        return dict(chooser.decisions)


class _OnlyOptionChooser(ReplayChooser):
    """Replays decisions; one that is missing and has a single option takes it."""

    def draw(self, name: str, domain: Domain) -> Value:
        if name not in self._given and domain.size == 1:
            return domain.values()[0]
        return super().draw(name, domain)


def _flat(decisions: Decisions, scope: str = "") -> dict[str, Any]:
    """Nested decisions under their full names."""
    found: dict[str, Any] = {}
    for name, value in decisions.items():
        found |= _flat(value, f"{scope}{name}/") if isinstance(value, dict) else {f"{scope}{name}": value}
    return found


def landmark_names() -> list[str]:
    """The names of all landmarks, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_landmark(name: str) -> Landmark:
    """The landmark of a name, with or without `landmark:` before it.

    Raises UnknownNameError for a name that no file has.
    """
    name = name.removeprefix("landmark:")
    path = FOLDER / f"{name}.yaml"
    if not path.is_file() or path.parent != FOLDER:
        raise UnknownNameError("landmark", name, landmark_names())
    try:
        return Landmark.model_validate(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, ValidationError) as error:
        raise SpaceError(f"the landmark file {path.name} cannot be read: {error}") from None
