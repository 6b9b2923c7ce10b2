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


def packs_sequences(error: BaseException) -> bool:
    """Whether an error went through code that packs sequences by their lengths, which are values."""
    name = "pack_padded_sequence"
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(name == code.co_name or name in code.co_names for code in codes)


def compares_mask(error: BaseException) -> bool:
    """Whether an error went through torch's look into a mask for whether it is the causal one."""
    return any(frame.f_code.co_name == "_detect_is_causal_mask" for frame, _ in traceback.walk_tb(error.__traceback__))


def values_decide(name: str, error: BaseException) -> str:
    """What is wrong with a network that `error` shows to compute something else for other values, and where."""
    place = own_place(error)
    where = f", in {place}" if place else ""
    if packs_sequences(error):
        return (
            f"{name} packs its sequences by their lengths{where}, and costs and files need one graph for all inputs: "
            "give the layer the filled-up batch, with what fills it in front so that the last step is a real one"
        )
    if compares_mask(error):
        return (
            f"{name} has torch find out whether its mask is the causal one{where}, and costs and files need one graph "
            "for all inputs: call the transformer with is_causal=False beside the mask, which computes the same"
        )
    return (
        f"what {name} computes depends on the values of a tensor{where}: "
        "an `if`, int() or .item() on one; costs and files need one graph for all inputs, which torch.where keeps"
    )
