"""Whose code an error is in: ours, another package's, or the user's own."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = ("site-packages", "dist-packages")


def own_place(error: BaseException) -> str:
    """The line of the user's own code that an error went through last, such as `spaces.py, line 12, in decide`.

    Empty when it went through none: the fault is not the user's.
    """
    library = Path(sysconfig.get_path("stdlib")).resolve()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not path.is_file() or set(INSTALLED) & set(path.parts):
            continue
        if not path.resolve().is_relative_to(PACKAGE) and not path.resolve().is_relative_to(library):
            return f"{path.name}, line {frame.lineno}, in {frame.name}"
    return ""


def values_decide(name: str, error: BaseException) -> str:
    """What is wrong with a network that `error` shows to compute something else for other values, and where."""
    place = own_place(error)
    return (
        f"what {name} computes depends on the values of a tensor{place and f', in {place}'}: "
        "an `if`, int() or .item() on one; costs and files need one graph for all inputs, which torch.where keeps"
    )
