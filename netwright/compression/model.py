"""A network on its way through a recipe, with what was done to it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from netwright.compression.form import Form
    from netwright.export.coding.archive import Archive


@dataclass(frozen=True, slots=True)
class Note:
    """What a pass did to one layer, or why it left it alone.

    `layer` is a path in the module, a node of the file, or empty for the whole network. `verdict` is one word
    or two: pruned, factorized, quantized, trained, left alone, refused, measured. `figures` are the numbers in the
    reason that scripts may want, such as shares of what is covered, from 0 to 1.
    """

    pass_name: str
    layer: str
    verdict: str
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        plain = {"pass": self.pass_name, "layer": self.layer, "verdict": self.verdict, "reason": self.reason}
        return {**plain, "figures": dict(self.figures)} if self.figures else plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Note:
        reason, figures = str(data.get("reason", "")), data.get("figures", {})
        return cls(str(data["pass"]), str(data["layer"]), str(data["verdict"]), reason, figures)


@dataclass(frozen=True, slots=True)
class Model:
    """A network: its module, the files if a pass worked on them, and the notes of all passes.

    `file` is the deployed ONNX file: once there is one it is what runs, and the module is the network it was made
    from. `archive` is that file in fewer bytes, from which it can be had back exactly, `coded` its bytes with their
    account; None in a model that was stored. `forms` says, by parameter name, what later training must keep of its
    values, such as zeros.
    """

    module: nn.Module
    file: Path | None = None
    notes: tuple[Note, ...] = ()
    archive: Path | None = None
    coded: Archive | None = None
    forms: Mapping[str, Form] = field(default_factory=dict)

    def with_module(
        self, module: nn.Module, notes: Sequence[Note] = (), *, forms: Mapping[str, Form] | None = None
    ) -> Model:
        """The same way so far, with another module and more notes, and with `forms` on top of those there were.

        A form ends where its parameter is gone or no longer has the values for it.
        """
        parameters = dict(module.named_parameters())
        wanted = {**self.forms, **(forms or {})}
        held = {name: f for name, f in wanted.items() if name in parameters and f.holds(parameters[name].detach())}
        return replace(self, module=module, notes=(*self.notes, *notes), forms=held)
