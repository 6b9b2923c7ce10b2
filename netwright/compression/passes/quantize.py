"""Quantization: the exported file's weights and activations in 8 bits, calibrated on training data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError, ExportError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from netwright.compression.context import Context
    from netwright.compression.model import Model, Note
    from netwright.export.quantization import QuantizationResult
    from netwright.export.quantization_static import StaticQuantizer

LEAST = 0.005
"""A file with a smaller share of its parameters in 8 bits, which would be told as 0 %, is no 8-bit file."""


class Quantize(Pass):
    """Store weights, and compute where the runtime can, in 8-bit integers.

    Static quantization fixes the range of every activation from calibration data; dynamic finds it at run time
    and is the one that covers LSTM layers. `auto` takes the one that covers more of a recurrent network's
    parameters, and static for all others. Nothing covered, or less than 0.5 %, is an error, not a success.
    """

    stage: ClassVar[Literal["module", "file"]] = "file"
    gains: ClassVar[tuple[str, ...]] = ("size_bytes", "latency_ms")

    mode: Literal["auto", "static", "dynamic"] = Field(default="auto", description="when ranges are found")
    method: Literal["minmax", "entropy", "percentile", "mse"] = Field(
        default="minmax", description="how calibration chooses the range of an activation"
    )
    percentile: float = Field(
        default=99.999, gt=50, le=100, description="with `percentile`: per cent of the values inside the range"
    )
    per_channel: bool = Field(default=True, description="a scale of its own for every output channel")
    weights: Literal["auto", "int8", "uint8"] = Field(
        default="auto", description="type of weights; auto: the nearest of those this CPU computes exactly"
    )
    reduce_range: bool | None = Field(
        default=None, description="7-bit weights, which CPUs without VNNI need; default: as this CPU needs"
    )
    bias_correction: bool = Field(default=False, description="take the mean error of rounded weights out of the biases")
    equalize: bool = Field(
        default=False, description="even out the ranges of channels between neighbouring layers first"
    )
    max_drop: float | None = Field(
        default=None,
        ge=0,
        description="leave the most sensitive layers in float until the score is at most this much worse; "
        "default: quantize all",
    )
    score_samples: int = Field(default=1000, ge=1, description="with max_drop: validation samples to score on")
    calibration_samples: int = Field(default=256, ge=1, description="at most so many samples to calibrate on")
    exclude: tuple[str, ...] = Field(default=(), description="names of nodes to leave in floating point")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from torch import nn

        from netwright.export.quantization import DYNAMIC_CONVOLUTIONS

        del context
        if model.file is not None:
            return [Verdict("", False, "the model's file is already there; quantize works on the module's export")]
        verdicts = []
        for path, layer in model.module.named_modules():
            kind = type(layer).__name__
            if self.mode == "dynamic" and isinstance(layer, (nn.Conv1d, nn.Conv2d)):
                verdicts.append(Verdict(path, False, DYNAMIC_CONVOLUTIONS))
            elif isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                verdicts.append(Verdict(path, True, f"the runtime has 8-bit kernels for {kind}"))
            elif isinstance(layer, nn.LSTM):
                verdicts.append(Verdict(path, self.mode != "static", "LSTM is quantized dynamically only"))
            elif isinstance(layer, nn.Embedding):
                verdicts.append(Verdict(path, True, "its vectors are stored in 8 bits"))
            elif next(layer.parameters(recurse=False), None) is not None:
                folded = "it is folded into the convolution before it" if "BatchNorm" in kind else ""
                stored = "; quantize_weights stores it in 8 bits" if isinstance(layer, nn.RNNBase) else ""
                reason = folded or f"the runtime has no 8-bit kernel for {kind}{stored}"
                verdicts.append(Verdict(path, False, reason))
        return verdicts

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.model import Note
        from netwright.compression.quantizing_export import exported

        source = exported(model, context, self)
        results, failed = [], []
        for mode in self._modes(model):
            target = source.with_suffix(f".{mode}.int8.onnx")
            try:
                results.append((mode, *self._quantize(mode, source, target, context)))
            except ExportError as error:
                failed.append(f"{mode}: {error}")
        if not results:
            raise CompressionError(f"the file cannot be quantized ({'; '.join(failed)})")
        mode, result, notes = max(results, key=lambda one: one[1].coverage_params)
        if result.coverage_params < LEAST:
            few = f"only {result.coverage_params:.1%} of the parameters" if result.coverage_params else "no parameter"
            raise CompressionError(f"{few} could be quantized ({_reasons(result.left)})")
        shares = {"int8_params": result.coverage_params, "int8_macs": result.coverage_macs}
        notes = [Note("quantize", "", "quantized", _summary(mode, result), shares), *notes]
        for one in result.layers:
            facts = f"{one.params} parameters, {one.macs} MACs"
            if one.int8:
                notes.append(Note("quantize", one.layer, "quantized", facts))
            elif one.macs:
                notes.append(Note("quantize", one.layer, "left alone", f"{one.reason} ({facts})"))
        return replace(model, file=result.path, notes=(*model.notes, *notes))

    def _modes(self, model: Model) -> list[str]:
        """The modes to try; where they tie, the first is taken."""
        from torch import nn

        if self.mode != "auto":
            return [self.mode]
        recurrent = any(isinstance(layer, nn.RNNBase) for layer in model.module.modules())
        return ["static", "dynamic"] if recurrent else ["static"]

    def _quantize(
        self, mode: str, source: Path, target: Path, context: Context
    ) -> tuple[QuantizationResult, list[Note]]:
        import tempfile
        from pathlib import Path

        from netwright.export.quantization import quantize_dynamic
        from netwright.export.quantization_static import Static, StaticQuantizer

        if mode == "dynamic":
            return quantize_dynamic(source, target, exclude=self.exclude), []
        settings = Static(
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            method=self.method,
            percentile=self.percentile,
            weights=self.weights,
            bias_correction=self.bias_correction,
            equalize=self.equalize,
        )
        data = context.calibration[: self.calibration_samples]
        with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
            quantizer = StaticQuantizer(source, calibration=data, settings=settings, folder=Path(folder))
            if self.max_drop is None:
                return quantizer.write(target, exclude=self.exclude), []
            return self._mixed(quantizer, target, context)

    def _mixed(
        self, quantizer: StaticQuantizer, target: Path, context: Context
    ) -> tuple[QuantizationResult, list[Note]]:
        """The copy whose score keeps the bound, and what each layer alone costs."""
        from netwright.compression.model import Note
        from netwright.compression.quantizing import score_of, within_drop

        assert self.max_drop is not None
        result, ranked, left = within_drop(
            quantizer,
            target,
            exclude=self.exclude,
            max_drop=self.max_drop,
            score=lambda path: score_of(path, context, samples=self.score_samples),
        )
        notes = []
        for one in ranked:
            reason = f"8 bits in it alone cost {one.drop:.4f} of the score, relative error {one.error:.4f}"
            notes.append(Note("quantize", one.layer, "measured", reason + ("; left" if one.layer in left else "")))
        return result, notes


def _summary(mode: str, result: QuantizationResult) -> str:
    from netwright.export.quantization import DYNAMIC_CONVOLUTIONS

    kinds = "/".join(kind.removeprefix("Q").lower() for kind in result.scheme)
    error = "" if result.relative_error is None else f", relative error of the outputs {result.relative_error:.4f}"
    convolutions = any(reason == DYNAMIC_CONVOLUTIONS for _, reason in result.left)
    return (
        f"{mode}: {result.coverage_params:.0%} of the parameters and {result.coverage_macs:.0%} of the MACs "
        f"in 8 bits ({kinds}{', reduced range' if result.reduce_range else ''}){error}"
        f"{f'; {DYNAMIC_CONVOLUTIONS}' if convolutions else ''}"
    )


def _reasons(left: Sequence[tuple[str, str]]) -> str:
    layers: dict[str, list[str]] = {}
    for layer, reason in left:
        layers.setdefault(reason, []).append(layer)
    told = (f"{one}{f' and {len(more)} more' if more else ''}: {reason}" for reason, (one, *more) in layers.items())
    return "; ".join(told) or "no node has an 8-bit kernel"
