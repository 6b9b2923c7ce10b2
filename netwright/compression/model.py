"""A network on its way through a recipe, with what was done to it so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@dataclass(frozen=True, slots=True)
class Note:
    """What a pass did to one layer, or why it left it alone.

    `layer` is a path in the module, a node of the file, or empty for the whole network. `verdict` is one word
    or two: pruned, factorized, quantized, trained, left alone, refused, measured.
    """

    pass_name: str
    layer: str
    verdict: str
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "pass": self.pass_name,
            "layer": self.layer,
            "verdict": self.verdict,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Note:
        return cls(str(data["pass"]), str(data["layer"]), str(data["verdict"]), str(data.get("reason", "")))


@dataclass(frozen=True, slots=True)
class Model:
    """A network: its module, the deployed ONNX file if a pass worked on the file, and the notes of all passes.

    Once there is a file it is what runs; the module is then the network the file was made from.
    """

    module: nn.Module
    file: Path | None = None
    notes: tuple[Note, ...] = ()

    def with_module(self, module: nn.Module, notes: Sequence[Note] = ()) -> Model:
        """The same way so far, with another module and more notes."""
        return replace(self, module=module, notes=(*self.notes, *notes))
