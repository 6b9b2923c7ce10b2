"""Paths in a task's settings: `~` and environment variables are filled in, and the result is absolute."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from netwright.core.errors import ConfigurationError, Mistake


def absolute(path: Path) -> Path:
    """The whole path, since worker processes may run in another folder; raises for a variable that is not set."""
    text = os.path.expandvars(path)
    missing = re.search(r"\$\{?(\w+)", text)
    if missing:
        why = f"the environment variable {missing[1]} is not set; set it, or write the folder itself"
        raise ConfigurationError([Mistake("", why)])
    return Path(text).expanduser().resolve()


DataPath = Annotated[Path, AfterValidator(absolute)]
