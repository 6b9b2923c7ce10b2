"""The base of every compression pass: a network in, a smaller or better network out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.plugins import Plugin

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.model import Model


SCORE = "score"
"""In `gains`: whatever the task judges models by."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pass applies to a layer, and why or why not."""

    layer: str
    applies: bool
    reason: str


class Pass(Plugin):
    """One step of a recipe; its fields are its settings.

    `stage` says what it works on: the module, or the exported file, after which no module pass can follow.
    `trains` says whether it fine-tunes by default. `gains` are the figures of which at least one must get
    better for the pass to be worth keeping: `score`, what the task judges models by, in its own direction, accuracy
    upwards, all others downwards. `strength` names the field that says how much is taken away, as a share; with a
    minus before it, how much stays. After a pass that is `last` none can follow.
    """

    stage: ClassVar[Literal["module", "file"]] = "module"
    trains: ClassVar[bool] = False
    gains: ClassVar[tuple[str, ...]] = ("params", "macs", "size_bytes", "latency_ms")
    strength: ClassVar[str | None] = None
    last: ClassVar[bool] = False

    def milder(self) -> Pass | None:
        """The same pass taking half as much away; None where it declares no strength, or none is set."""
        field = (self.strength or "").removeprefix("-")
        value = getattr(self, field, None)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        share = 1 - (1 - value) / 2 if (self.strength or "").startswith("-") else value / 2
        return type(self).parse({**self.model_dump(mode="json"), field: float(f"{share:.6g}")})

    @abstractmethod
    def check(self, model: Model, context: Context) -> list[Verdict]:
        """What the pass would do to each layer and why, without doing it."""

    @abstractmethod
    def apply(self, model: Model, context: Context) -> Model:
        """The model after the pass; the one given is not changed. The same seed gives the same result.

        Raises CompressionError when nothing can be done, with the reason.
        """
