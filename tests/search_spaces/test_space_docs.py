"""Every space has its page with its drawing, and the tables of all spaces and landmarks are up to date."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netwright.core.plugins import names
from tests.conftest import ROOT


@pytest.mark.parametrize("name", names("space"))
def test_every_space_has_a_page_with_its_drawing(name: str) -> None:
    text = (ROOT / "docs" / "spaces" / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    assert f"](../images/spaces/{name}.svg)" in text
    assert f"kind: {name}" in text


def test_the_tables_and_drawings_are_those_of_the_spaces() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "make_space_docs.py"), "--check"], check=False)
    assert done.returncode == 0, "docs/spaces is out of date: run python scripts/make_space_docs.py"
