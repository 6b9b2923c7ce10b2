"""Unstructured pruning: single weights become zero, wherever they are, and stay so."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

    from netwright.compression.context import Context
    from netwright.compression.form import Form
    from netwright.compression.model import Model, Note
    from netwright.compression.sparsity import Densities, Masks, Weights
    from netwright.tasks.training_hook import TrainingHook

Share = Annotated[float, Field(gt=0, le=1)]


class UnstructuredPrune(Pass):
    """Set single weights to zero: no speed in this runtime, but far fewer bytes once entropy-coded.

    Weights of linear, convolution and recurrent layers; biases stay. Gradual: Zhu & Gupta, 2017. The zeros are kept
    in all later training.
    """

    trains: ClassVar[bool] = True
    strength: ClassVar[str | None] = "-density"
    gains: ClassVar[tuple[str, ...]] = ("coded_bytes",)

    density: Share = Field(default=0.1, description="share of the weights that stay")
    densities: dict[str, Share] = Field(
        default={}, description="shares of their own for some layers or parameters, path: share"
    )
    criterion: Literal["magnitude", "movement", "snip", "admm"] = Field(
        default="magnitude",
        description="what stays: large weights; those that training moves away from zero; those that the loss is most "
        "sensitive to at the start; large ones after training with a penalty that separates them",
    )
    scope: Literal["global", "layer", "lamp", "sensitivity"] = Field(
        default="global",
        description="rank all weights together; within each layer; together by LAMP score; or within each layer, "
        "which keeps more the more it suffers when pruned alone",
    )
    layer_drop: float = Field(
        default=0.01, ge=0, description="sensitivity: validation score that one layer may cost before training"
    )
    min_density: float = Field(default=0.002, ge=0, le=1, description="no layer keeps less than this share")
    schedule: Literal["gradual", "one_shot"] = Field(
        default="gradual", description="lower the density while training, or prune first and train then"
    )
    ramp: Share = Field(default=0.6, description="gradual: share of the training in which the density falls")
    every: int = Field(default=16, ge=1, description="gradual: steps between two choices of what stays")
    admm_penalty: float = Field(default=1e-3, gt=0, description="admm: strength of its penalty")
    epochs: int | None = Field(default=None, ge=0, description="epochs of training; default: the recipe's; 0 for none")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach")
    ignore: tuple[str, ...] = Field(default=(), description="paths of layers or parameters to leave alone")

    def milder(self) -> UnstructuredPrune | None:
        """The same pass leaving twice as many weights; None where that would be all of them."""
        if self.density >= 0.5:
            return None
        more = {path: min(1.0, 2 * share) for path, share in self.densities.items()}
        return self.parse({**self.model_dump(mode="json"), "density": 2 * self.density, "densities": more})

    def check(self, model: Model, context: Context) -> list[Verdict]:
        del context
        weights = self._weights(model)
        wanted = self._wanted(model.module, weights)
        verdicts = []
        for name, tensor in weights.entries(model.module).items():
            share = wanted.own.get(name)
            how = f"{share or self.density:.4g} of them stay" + (
                "" if share or self.scope == "layer" else " on average"
            )
            verdicts.append(Verdict(name, True, f"{tensor.numel()} weights, {how}"))
        verdicts += [Verdict(name, False, reason) for name, reason in weights.refused.items()]
        return verdicts or [Verdict("", False, "it has no linear, convolution or recurrent layer")]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.forms.sparse import Sparse
        from netwright.compression.sparsity import masked

        weights = self._weights(model)
        if not weights.layers:
            reasons = "; ".join(f"{name}: {why}" for name, why in weights.refused.items())
            raise CompressionError(f"no weight can be pruned ({reasons or 'there is none'})")
        wanted = self._wanted(model.module, weights, context)
        trained = not (context.dry or self.epochs == 0)
        forms = {name: Sparse() for name in weights.layers}
        if trained and self.schedule == "gradual" and self.criterion != "admm":
            module = self._gradual(model, context, wanted, weights)
        else:
            start = self._penalised(model, context, wanted, weights) if trained else model.module
            module = copy.deepcopy(start)
            masked(module, self._masks(module, context, wanted, weights))
            held = {**model.forms, **forms}
            module = self._train(module, context, epochs=self._epochs(context)[1], forms=held, purpose="masked")
        return model.with_module(module, self._notes(model.module, module, weights), forms=forms)

    def _weights(self, model: Model) -> Weights:
        from netwright.compression.sparsity import find_weights

        return find_weights(model.module, ignore=self.ignore, forms=model.forms)

    def _wanted(self, module: nn.Module, weights: Weights, context: Context | None = None) -> Densities:
        """The densities asked for; those by sensitivity are found only where there is a context to measure in."""
        from netwright.compression.sparsity import Densities, names_to_paths
        from netwright.compression.sparsity_sensitivity import by_sensitivity

        found = names_to_paths(module, self.densities, field="densities")
        own = {name: self.densities[one] for one, names in found.items() for name in names if name in weights.layers}
        scope = "layer" if self.scope == "sensitivity" else self.scope
        wanted = Densities(self.density, own, scope, self.min_density)
        if self.scope != "sensitivity" or context is None:
            return wanted
        score = context.task.primary()
        return by_sensitivity(
            module,
            self._scores(module, context, weights),
            wanted,
            loss=lambda changed: score.loss(context.evaluate(changed)[score.metric]),
            allowed=self.layer_drop,
        )

    def _epochs(self, context: Context) -> tuple[int, int]:
        """Epochs with the penalty of ADMM, and with masks that no longer change."""
        epochs = context.training.epochs if self.epochs is None else self.epochs
        first = (epochs + 1) // 2 if self.criterion == "admm" and epochs > 1 else 0
        return first, epochs - first

    def _gradual(self, model: Model, context: Context, wanted: Densities, weights: Weights) -> nn.Module:
        from netwright.compression.sparsity_hooks import TighteningMasks

        snip = self.criterion == "snip"
        hook = TighteningMasks(
            wanted,
            tuple(weights.layers),
            rule="fixed" if snip else "movement" if self.criterion == "movement" else "magnitude",
            ramp=self.ramp,
            every=self.every,
            scores=self._scores(model.module, context, weights) if snip else None,
        )
        return self._train(
            model.module, context, epochs=self.epochs, forms=model.forms, hooks=[hook], purpose="gradual"
        )

    def _penalised(self, model: Model, context: Context, wanted: Densities, weights: Weights) -> nn.Module:
        """After training with the penalty of ADMM, or at once as it is."""
        from netwright.compression.sparsity_hooks import Admm

        first = self._epochs(context)[0]
        if not first:
            return model.module
        hook = Admm(wanted, tuple(weights.layers), penalty=self.admm_penalty)
        return self._train(model.module, context, epochs=first, forms=model.forms, hooks=[hook], purpose="admm")

    def _train(
        self,
        module: nn.Module,
        context: Context,
        *,
        epochs: int | None,
        forms: Mapping[str, Form],
        purpose: str,
        hooks: Sequence[TrainingHook] = (),
    ) -> nn.Module:
        return context.fine_tune(
            module,
            purpose=f"unstructured_prune {purpose}",
            epochs=epochs,
            learning_rate=self.learning_rate,
            distill=self.distill,
            forms=forms,
            hooks=hooks,
        )

    def _masks(self, module: nn.Module, context: Context, wanted: Densities, weights: Weights) -> Masks:
        from netwright.compression.sparsity import choose

        return choose(self._scores(module, context, weights), wanted)

    def _scores(self, module: nn.Module, context: Context, weights: Weights) -> dict[str, torch.Tensor]:
        """How important every weight is right now: its size, or what the loss says on the calibration data."""
        entries = weights.entries(module)
        if self.criterion in ("magnitude", "admm"):
            return {name: value.abs() for name, value in entries.items()}
        gradients = context.gradients(module)
        products = {name: -value * gradients[name] for name, value in entries.items() if name in gradients}
        if self.criterion == "snip":
            products = {name: value.abs() for name, value in products.items()}
        return {name: products.get(name, value.abs() * 0) for name, value in entries.items()}

    def _notes(self, before: nn.Module, after: nn.Module, weights: Weights) -> list[Note]:
        from netwright.compression.model import Note
        from netwright.compression.sparsity import density_of

        old, new = weights.entries(before), weights.entries(after)
        total = sum(value.numel() for value in new.values())
        kept = sum(int(value.count_nonzero()) for value in new.values())
        notes = [Note("unstructured_prune", "", "pruned", f"{kept} of {total} weights stay ({kept / total:.2%})")]
        for name, value in new.items():
            share = f"{density_of(old, [name]):.2%} → {density_of(new, [name]):.2%} of {value.numel()} weights"
            notes.append(Note("unstructured_prune", name, "pruned", share))
        return notes + [Note("unstructured_prune", n, "left alone", why) for n, why in weights.refused.items()]
