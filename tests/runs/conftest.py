"""A search small enough for every test: digits, tiny cells, two epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from netwright.runs.specification import RunSpecification, load_specification
from tests.conftest import ROOT

TINY = ROOT / "recipes" / "digits-tiny.yaml"


@pytest.fixture
def tiny() -> RunSpecification:
    """The recipe of the quick tests."""
    return load_specification(TINY)


@pytest.fixture
def tiny_with():  # type: ignore[no-untyped-def]  # a factory
    """The recipe of the quick tests, with changes."""
    return lambda *overrides: load_specification(TINY, overrides=overrides)


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """A run folder that does not exist yet."""
    return tmp_path / "run"
