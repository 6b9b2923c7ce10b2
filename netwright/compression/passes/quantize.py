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
    from netwright.compression.model import Model
    from netwright.export.onnx_runtime import QuantizationResult


class Quantize(Pass):
    """Store weights, and compute where the runtime can, in 8-bit integers.

    Static quantization fixes the range of every activation from calibration data; dynamic finds it at run time
    and is the one that covers LSTM layers. `auto` takes the one that covers more of a recurrent network's
    parameters, and static for all others. Nothing covered is an error, not a success.
    """

    stage: ClassVar[Literal["module", "file"]] = "file"
    gains: ClassVar[tuple[str, ...]] = ("size_bytes", "latency_ms")

    mode: Literal["auto", "static", "dynamic"] = Field(default="auto", description="when ranges are found")
    method: Literal["minmax", "entropy", "percentile"] = Field(
        default="minmax", description="how calibration chooses the range of an activation"
    )
    per_channel: bool = Field(default=True, description="a scale of its own for every output channel")
    reduce_range: bool | None = Field(
        default=None, description="7-bit weights, which CPUs without VNNI need; default: as this CPU needs"
    )
    calibration_samples: int = Field(default=256, ge=1, description="at most so many samples to calibrate on")
    exclude: tuple[str, ...] = Field(default=(), description="names of nodes to leave in floating point")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from torch import nn

        del context
        if model.file is not None:
            return [Verdict("", False, "the model's file is already there; quantize works on the module's export")]
        verdicts = []
        for path, layer in model.module.named_modules():
            kind = type(layer).__name__
            if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                verdicts.append(Verdict(path, True, f"the runtime has 8-bit kernels for {kind}"))
            elif isinstance(layer, nn.LSTM):
                verdicts.append(Verdict(path, self.mode != "static", "LSTM is quantized dynamically only"))
            elif next(layer.parameters(recurse=False), None) is not None:
                folded = "it is folded into the convolution before it" if "BatchNorm" in kind else ""
                verdicts.append(Verdict(path, False, folded or f"the runtime has no 8-bit kernel for {kind}"))
        return verdicts

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.model import Note
        from netwright.compression.store import model_identity
        from netwright.core.files import content_hash
        from netwright.export.to_onnx import export_onnx

        if model.file is not None:
            raise CompressionError("quantize works on the module's export, but the model already has a file")
        key = content_hash([model_identity(model), self.model_dump(mode="json"), context.seed])[:16]
        context.workspace.mkdir(parents=True, exist_ok=True)
        source = context.workspace / f"{key}.float.onnx"
        export_onnx(model.module.eval(), source, example=context.example)
        mode, target, result = self._best(model, source, context, key)
        if not result.coverage_params > 0:
            raise CompressionError(f"no parameter could be quantized ({_reasons(result.left)})")
        summary = (
            f"{mode}: {result.coverage_params:.0%} of the parameters and {result.coverage_macs:.0%} of the MACs "
            f"in 8 bits{', reduced range' if result.reduce_range else ''}"
        )
        notes = [Note("quantize", "", "quantized", summary)]
        notes += [Note("quantize", str(node), "left alone", str(reason)) for node, reason in result.left]
        return replace(model, file=target, notes=(*model.notes, *notes))

    def _best(self, model: Model, source: Path, context: Context, key: str) -> tuple[str, Path, QuantizationResult]:
        """The mode, file and result that cover the most parameters; static where they tie."""
        from torch import nn

        recurrent = any(isinstance(layer, nn.RNNBase) for layer in model.module.modules())
        modes = [self.mode] if self.mode != "auto" else ["static", "dynamic"] if recurrent else ["static"]
        results, failed = [], []
        for mode in modes:
            target = context.workspace / f"{key}.{mode}.int8.onnx"
            try:
                results.append((mode, target, self._quantize(mode, source, target, context)))
            except ExportError as error:
                failed.append(f"{mode}: {error}")
        if not results:
            raise CompressionError(f"the file cannot be quantized ({'; '.join(failed)})")
        return max(results, key=lambda one: one[2].coverage_params)

    def _quantize(self, mode: str, source: Path, target: Path, context: Context) -> QuantizationResult:
        from netwright.export.onnx_runtime import quantize_dynamic, quantize_static

        if mode == "dynamic":
            return quantize_dynamic(source, target, exclude=self.exclude)
        return quantize_static(
            source,
            target,
            calibration=context.calibration[: self.calibration_samples],
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            method=self.method,
            exclude=self.exclude,
        )


def _reasons(left: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{node}: {reason}" for node, reason in left[:5]) or "no node has an 8-bit kernel"
