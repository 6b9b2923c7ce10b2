"""Exported files that several test files look at, made once."""

from __future__ import annotations

import pytest
from export_networks import Exported


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp("exported"))
