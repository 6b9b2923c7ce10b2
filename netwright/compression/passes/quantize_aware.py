"""Training in which weights and activations are rounded, so that a later quantization costs little."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.model import Model


class QuantizeAware(Pass):
    """Fine-tune with weights of few bits and rounded activations (quantization-aware training).

    The network ends with weights on a grid of so many bits per channel, which later training keeps, which `quantize`
    takes over without rounding again, and which `quantize_weights` stores in 4 bits without error. Nothing is left
    in the network: the rounding of activations is only there while it trains.
    """

    trains: ClassVar[bool] = True
    gains: ClassVar[tuple[str, ...]] = ("coded_bytes",)

    bits: int = Field(default=4, ge=2, le=8, description="bits of a weight")
    edge_bits: int = Field(default=8, ge=2, le=8, description="bits of the weights of the first and the last layer")
    activation_bits: int | None = Field(
        default=8, ge=2, le=8, description="bits of a layer's inputs while training; null leaves them in float"
    )
    exclude: tuple[str, ...] = Field(default=(), description="layers to leave alone")
    epochs: int | None = Field(default=None, ge=0, description="default: the recipe's; 0 rounds without training")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from netwright.compression.weighted_layers import verdicts_in_order

        return verdicts_in_order(model, context, self._verdict, exclude=self.exclude)

    def _verdict(self, path: str, layers: list[str]) -> Verdict:
        return Verdict(path, True, f"its weights are trained in {self._bits(path, layers)} bits")

    def _bits(self, path: str, layers: list[str]) -> int:
        return self.edge_bits if path in (layers[0], layers[-1]) else self.bits

    def apply(self, model: Model, context: Context) -> Model:
        import torch

        from netwright.compression.activation_rounding import ActivationRounding
        from netwright.compression.forms.rounded import Rounded
        from netwright.compression.model import Note
        from netwright.compression.weighted_layers import in_order, put_in_form
        from netwright.core.files import content_hash

        verdicts = self.check(model, context)
        chosen = [verdict.layer for verdict in verdicts if verdict.applies]
        if not chosen:
            raise CompressionError(f"no layer can be rounded: {verdicts[0].reason}")
        layers = in_order(model.module, context.example_tensor())
        forms = {f"{path}.weight": Rounded(bits=self._bits(path, layers)) for path in chosen}
        hooks = []
        if self.activation_bits is not None:
            examples = torch.tensor(context.calibration)
            hooks.append(ActivationRounding(chosen, bits=self.activation_bits, examples=examples))
        try:
            module = context.fine_tune(
                model.module,
                purpose="quantize_aware",
                variant=content_hash(self.model_dump(mode="json"))[:12],
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                distill=self.distill,
                forms={**model.forms, **forms},
                hooks=hooks,
            )
        finally:
            for hook in hooks:
                hook.close()
        put_in_form(module, forms)
        notes = [Note("quantize_aware", "", "trained", self._summary(context))]
        for verdict in verdicts:
            notes.append(
                Note("quantize_aware", verdict.layer, "rounded" if verdict.applies else "left alone", verdict.reason)
            )
        return model.with_module(module, notes, forms=forms)

    def _summary(self, context: Context) -> str:
        epochs = context.training.epochs if self.epochs is None else self.epochs
        inputs = "float" if self.activation_bits is None else f"{self.activation_bits}-bit"
        return f"{epochs} epochs with weights of {self.bits} bits and {inputs} activations"
