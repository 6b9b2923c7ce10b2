"""Binary and ternary weights, trained straight through their signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.form import Form
    from netwright.compression.model import Model


class Binarize(Pass):
    """Train weights of two values (plus or minus one size) or three (with zero) per channel.

    The network still computes in float, and its activations are left alone. `quantize_weights` with 2 bits then
    stores these weights without error, and `entropy_code` in about one bit (ternary: at most 1.6). The first and the
    last layer are left alone unless asked for: they are small and lose most.
    """

    trains: ClassVar[bool] = True
    gains: ClassVar[tuple[str, ...]] = ("coded_bytes",)

    values: Literal["binary", "ternary"] = Field(default="binary", description="two values or three")
    scale: Literal["channel", "layer"] = Field(default="channel", description="what shares one size of its values")
    threshold: float = Field(
        default=0.7, gt=0, lt=2, description="ternary: below so many times the mean size, values are zero"
    )
    two_sided: bool = Field(
        default=False,
        description="ternary: trained sizes of their own for positive and negative values, as in TTQ",
    )
    edges: bool = Field(default=False, description="the first and the last layer too")
    exclude: tuple[str, ...] = Field(default=(), description="layers to leave alone")
    epochs: int | None = Field(default=None, ge=0, description="default: the recipe's; 0 trains nothing")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from netwright.compression.weighted_layers import verdicts_in_order

        return verdicts_in_order(model, context, self._verdict, exclude=self.exclude)

    def _verdict(self, path: str, layers: list[str]) -> Verdict:
        if path in (layers[0], layers[-1]) and not self.edges:
            return Verdict(path, False, "it is the first or the last layer; `edges` asks for them")
        return Verdict(path, True, f"its weights become {self.values}")

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.model import Note
        from netwright.compression.weighted_layers import put_in_form
        from netwright.core.files import content_hash

        verdicts = self.check(model, context)
        chosen = [verdict.layer for verdict in verdicts if verdict.applies]
        if not chosen:
            raise CompressionError(f"no layer can be made {self.values}: {verdicts[0].reason}")
        forms = {f"{path}.weight": self._form() for path in chosen}
        module = context.fine_tune(
            model.module,
            purpose=f"binarize {content_hash(self.model_dump(mode='json'))[:12]}",
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            distill=self.distill,
            forms={**model.forms, **forms},
        )
        put_in_form(module, forms)
        parameters = dict(model.module.named_parameters())
        sizes = {path: parameters[f"{path}.weight"].numel() for path in chosen}
        every = sum(p.numel() for p in parameters.values())
        each = "two sizes" if self.two_sided else "one size"
        summary = f"{sum(sizes.values())} of {every} parameters are {self.values}, {each} per {self.scale}"
        notes = [Note("binarize", "", self.values, summary)]
        for verdict in verdicts:
            told = (
                (self.values, f"{sizes[verdict.layer]} weights") if verdict.applies else ("left alone", verdict.reason)
            )
            notes.append(Note("binarize", verdict.layer, *told))
        return model.with_module(module, notes, forms=forms)

    def _form(self) -> Form:
        from netwright.compression.forms.binary import Binary
        from netwright.compression.forms.ternary import Ternary

        if self.values == "binary":
            return Binary(scale=self.scale)
        return Ternary(scale=self.scale, threshold=self.threshold, two_sided=self.two_sided)
