"""Weight-only quantization: the file holds integers, the runtime computes with floats."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError, ExportError

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.model import Model


class QuantizeWeights(Pass):
    """Store weights as integers of 8, 4 or 2 bits; the network still computes in float.

    The file shrinks by nearly the share of the bits, also for layers that have no 8-bit kernel, such as GRU;
    latency stays what it was. Weights that are rounded, ternary, binary or shared already are stored without any error.
    With `products`, Linear layers multiply 4-bit integers in ONNX Runtime's own operator, which is faster.
    """

    stage: ClassVar[Literal["module", "file"]] = "file"
    gains: ClassVar[tuple[str, ...]] = ("size_bytes",)

    bits: Literal[2, 4, 8] = Field(default=8, description="bits of a weight")
    block: int | None = Field(
        default=None,
        ge=8,
        description="a scale for every so many inputs of a Linear layer; default: per output, 32 with `products`",
    )
    products: bool = Field(
        default=False,
        description="4 bits: Linear layers multiply in integers (MatMulNBits, which only ONNX Runtime has), with their "
        "inputs in 8 bits",
    )
    exclude: tuple[str, ...] = Field(default=(), description="names of nodes or layers to leave in floating point")

    @model_validator(mode="after")
    def _products_of_blocks(self) -> Self:
        if self.products and (self.bits != 4 or self.block not in (None, 16, 32, 64, 128, 256)):
            block = "" if self.block is None else f", block: {self.block}"
            raise ValueError(
                f"products need bits: 4 and a block of 16, 32, 64, 128 or 256, came bits: {self.bits}{block}"
            )
        return self

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from torch import nn
        from torch.nn.modules.conv import _ConvNd

        del context
        if model.file is not None:
            return [Verdict("", False, "the model's file is already there; it works on the module's export")]
        verdicts = []
        for path, layer in model.module.named_modules():
            kind = type(layer).__name__
            if path in self.exclude:
                verdicts.append(Verdict(path, False, "excluded"))
            elif isinstance(layer, (nn.Linear, _ConvNd, nn.RNNBase)):
                verdicts.append(Verdict(path, True, f"the weights of this {kind} are stored in {self.bits} bits"))
            elif next(layer.parameters(recurse=False), None) is not None:
                verdicts.append(Verdict(path, False, f"{kind} has no weight matrix of its own"))
        return verdicts or [Verdict("", False, "no layer has weights")]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.model import Note
        from netwright.compression.quantizing_export import exported
        from netwright.export.integer_weights import store_integers

        source = exported(model, context, self)
        target = source.with_suffix(f".int{self.bits}.onnx")
        try:
            result = store_integers(
                source, target, bits=self.bits, block=self.block, exclude=self.exclude, products=self.products
            )
        except ExportError as error:
            raise CompressionError(f"the weights cannot be stored in {self.bits} bits: {error}") from error
        if not result.coverage_params > 0:
            reasons = "; ".join(f"{one.layer}: {one.reason}" for one in result.layers[:5])
            raise CompressionError(f"no weight could be stored in {self.bits} bits ({reasons or 'there is none'})")
        before, after = source.stat().st_size, target.stat().st_size
        summary = f"{result.coverage_params:.0%} of the parameters in {self.bits} bits, {before} → {after} bytes"
        products = sum(one.product for one in result.layers)
        how = f"{products} layers computed in integers, the rest" if products else "computed"
        shares = {"stored_params": result.coverage_params}
        notes = [Note("quantize_weights", "", "quantized", f"{summary}; {how} in float", shares)]
        for one in result.layers:
            facts = f"{one.params} parameters, rounding changed the weights by {one.relative_error:.4f}"
            facts += ", multiplied as integers" if one.product else ""
            verdict, reason = ("quantized", facts) if one.stored else ("left alone", one.reason)
            notes.append(Note("quantize_weights", one.layer, verdict, reason))
        return replace(model, file=target, notes=(*model.notes, *notes))
