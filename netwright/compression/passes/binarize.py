"""Binary and ternary weights, and binary inputs, trained straight through their signs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError

if TYPE_CHECKING:
    from torch import nn

    from netwright.compression.context import Context
    from netwright.compression.form import Form
    from netwright.compression.model import Model


SETTLING = 256
"""Rows of calibration data that normalisations before signs begin with."""


class Binarize(Pass):
    """Train weights of two values (plus or minus one size) or three (with zero) per channel.

    The network still computes in float. `quantize_weights` with 2 bits then stores these weights without error, and
    `entropy_code` in about one bit (ternary: at most 1.6). With `inputs: binary` their layers compute with the signs of
    their inputs too, as in XNOR-Net (Rastegari et al., ECCV 2016). The first and the last layer are left alone unless
    asked for: they are small and lose most.
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
    inputs: Literal["float", "binary"] = Field(
        default="float", description="binary: layers compute with the signs of their normalised inputs, as in XNOR-Net"
    )
    input_scale: Literal["mean", "none"] = Field(
        default="mean", description="binary inputs: outputs times the mean size of the inputs at their place, or not"
    )
    edges: bool = Field(default=False, description="the first and the last layer too")
    exclude: tuple[str, ...] = Field(default=(), description="layers to leave alone")
    epochs: int | None = Field(default=None, ge=0, description="default: the recipe's; 0 trains nothing")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from netwright.compression.weighted_layers import in_order, verdicts_in_order

        kept = {}
        if self.inputs == "binary" and model.file is None:
            kept = self._kept_inputs(model.module, context, in_order(model.module, context.example_tensor()))

        def judge(path: str, layers: list[str]) -> Verdict:
            if path in (layers[0], layers[-1]) and not self.edges:
                return Verdict(path, False, "it is the first or the last layer; `edges` asks for them")
            also = f", its inputs stay float: {kept[path]}" if kept.get(path) else " and its inputs signs"
            return Verdict(path, True, f"its weights become {self.values}{also if self.inputs == 'binary' else ''}")

        return verdicts_in_order(model, context, judge, exclude=self.exclude)

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.model import Note
        from netwright.compression.weighted_layers import put_in_form
        from netwright.core.files import content_hash

        verdicts = self.check(model, context)
        chosen = [verdict.layer for verdict in verdicts if verdict.applies]
        if not chosen:
            raise CompressionError(f"no layer can be made {self.values}: {verdicts[0].reason}")
        module, weights = self._prepared(model, context, chosen)
        forms = {name: self._form() for name in weights}
        module = context.fine_tune(
            module,
            purpose="binarize",
            variant=content_hash(self.model_dump(mode="json"))[:12],
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            distill=self.distill,
            forms={**model.forms, **forms},
        )
        put_in_form(module, forms)
        parameters = dict(module.named_parameters())
        sizes = {path: parameters[name].numel() for path, name in zip(chosen, weights, strict=True)}
        every = sum(p.numel() for p in parameters.values())
        each = "two sizes" if self.two_sided else "one size"
        summary = f"{sum(sizes.values())} of {every} parameters are {self.values}, {each} per {self.scale}"
        notes = [Note("binarize", "", self.values, summary)]
        for verdict in verdicts:
            told = (
                (self.values, f"{sizes[verdict.layer]} weights: {verdict.reason}")
                if verdict.applies
                else ("left alone", verdict.reason)
            )
            notes.append(Note("binarize", verdict.layer, *told))
        return model.with_module(module, notes, forms=forms)

    def _prepared(self, model: Model, context: Context, chosen: list[str]) -> tuple[nn.Module, list[str]]:
        """The network with signs before the chosen layers, if asked for, and the names of these layers' weights."""
        import torch

        from netwright.compression.binary_inputs import LAYER, input_axes, normalised_before, settle, with_binary_inputs
        from netwright.compression.form import FormsHook

        if self.inputs == "float":
            return model.module, [f"{path}.weight" for path in chosen]
        module, example = copy.deepcopy(model.module), context.example_tensor()
        kept = self._kept_inputs(module, context, chosen)
        axes, after_norms = input_axes(module, example, chosen), normalised_before(module, example)
        signed = [path for path in chosen if not kept[path]]
        for path in signed:
            layer, scaled = module.get_submodule(path), self.input_scale == "mean"
            made = with_binary_inputs(layer, axes=axes[path], normalised=path in after_norms, scaled=scaled)
            for alias in [name for name, one in module.named_modules(remove_duplicate=False) if one is layer]:
                module.set_submodule(alias, made)
        weights = [f"{path}.{LAYER}.weight" if path in signed else f"{path}.weight" for path in chosen]
        hook = FormsHook({name: self._form() for name in weights})
        hook.start(module, epochs=0, steps=0)
        hook.put()
        settle(module, torch.tensor(context.calibration[:SETTLING]), signed)
        hook.take_back()
        return module, weights

    def _kept_inputs(self, module: nn.Module, context: Context, layers: list[str]) -> dict[str, str]:
        """By layer, why its inputs stay float, or nothing."""
        from netwright.compression.binary_inputs import input_axes, obstacle

        scaled = self.input_scale == "mean"
        axes = input_axes(module, context.example_tensor(), layers)
        return {path: obstacle(module.get_submodule(path), axes[path], scaled=scaled) for path in layers}

    def _form(self) -> Form:
        from netwright.compression.forms.binary import Binary
        from netwright.compression.forms.ternary import Ternary

        if self.values == "binary":
            return Binary(scale=self.scale)
        return Ternary(scale=self.scale, threshold=self.threshold, two_sided=self.two_sided)
