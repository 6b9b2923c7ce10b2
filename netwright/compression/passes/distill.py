"""Distillation: train the network on what a teacher gives, at its end and inside."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.compression.compression_pass import SCORE, Pass, Verdict
from netwright.core.errors import CompressionError
from netwright.tasks.settings import Distillation

if TYPE_CHECKING:
    from torch import nn

    from netwright.compression.context import Context
    from netwright.compression.distillation import Pair
    from netwright.compression.model import Model


class Distill(Pass):
    """Train the network on a teacher's outputs and, if asked, on what the teacher's layers give inside.

    Logits: Hinton, Vinyals & Dean, 2015. Hints: FitNets, Romero et al., ICLR 2015. Attention: Zagoruyko &
    Komodakis, ICLR 2017. Kept only if what the task judges by gets better.
    """

    trains: ClassVar[bool] = True
    gains: ClassVar[tuple[str, ...]] = (SCORE,)

    teacher: int | str = Field(
        default="original", description="original, the number of a trial of the run, or package.module:function"
    )
    features: Literal["none", "hints", "attention"] = Field(
        default="none", description="what of the teacher's layers is learned beside its outputs"
    )
    layers: dict[str, str] = Field(
        default_factory=dict,
        description="layers that learn, each with the teacher's; default: matched by the shape of their results",
    )
    feature_weight: float = Field(default=1.0, gt=0, description="of the layers' distance in the loss")
    temperature: float | None = Field(default=None, gt=0, description="default: the recipe's")
    weight: float | None = Field(default=None, ge=0, le=1, description="share of the outputs; default: the recipe's")
    epochs: int | None = Field(default=None, ge=1, description="default: the recipe's")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        if not any(True for _ in model.module.parameters()):
            return [Verdict("", False, "it has no weights to train")]
        whole = Verdict("", True, f"it learns the outputs of {self._named()}")
        pairs = self._pairs(model.module, self._teacher(context), context)
        return [whole, *(Verdict(p.student, True, f"it learns from {p.teacher} of the teacher") for p in pairs)]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.distillation import FeatureHook
        from netwright.compression.model import Note

        if not any(True for _ in model.module.parameters()):
            raise CompressionError("the network has no weights to train")
        teacher = self._teacher(context)
        pairs = self._pairs(model.module, teacher, context)
        kind: Literal["hints", "attention"] = "hints" if self.features == "hints" else "attention"
        hooks = [FeatureHook(teacher, pairs, kind=kind, weight=self.feature_weight)] if pairs else []
        try:
            module = self._own_settings(context).fine_tune(
                model.module,
                purpose="distill",
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                teacher=teacher,
                forms=model.forms,
                hooks=hooks,
            )
        finally:
            for hook in hooks:
                hook.close()
        epochs = self.epochs or context.training.epochs
        notes = [Note("distill", "", "trained", f"{epochs} epochs, taught by {self._named()}")]
        notes += [
            Note("distill", p.student, "taught", f"by {p.teacher} of the teacher, {self.features}") for p in pairs
        ]
        return model.with_module(module, notes)

    def _own_settings(self, context: Context) -> Context:
        given = {"temperature": self.temperature, "weight": self.weight}
        changes = {name: value for name, value in given.items() if value is not None}
        own = Distillation(**{**context.distillation.model_dump(), **changes})
        return dataclasses.replace(context, distillation=own)

    def _named(self) -> str:
        if isinstance(self.teacher, int):
            return f"trial {self.teacher}"
        return "the original" if self.teacher == "original" else self.teacher

    def _teacher(self, context: Context) -> nn.Module:
        """The teaching network, checked to answer the same question."""
        from netwright.compression.proof import outputs

        teacher = self._found(context)
        wanted = outputs(context.original, context.example_tensor()).shape
        try:
            shape = outputs(teacher, context.example_tensor()).shape
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise CompressionError(f"the teacher {self._named()} does not run on the task's inputs: {error}") from error
        if shape != wanted:
            raise CompressionError(
                f"the teacher {self._named()} gives outputs {tuple(shape[1:])}; {tuple(wanted[1:])} is expected"
            )
        return teacher

    def _found(self, context: Context) -> nn.Module:
        from torch import nn

        if isinstance(self.teacher, int):
            if context.trial is None:
                raise CompressionError(f"there is no trial {self.teacher} here: only a run of a search has trials")
            return context.trial(self.teacher).eval()
        if self.teacher == "original":
            return context.original
        from netwright.core.plugins import import_dotted

        made = import_dotted(self.teacher, what="teacher")
        module = made() if callable(made) and not isinstance(made, nn.Module) else made
        if not isinstance(module, nn.Module):
            raise CompressionError(
                f"the teacher {self.teacher} is a {type(module).__name__}; a torch nn.Module is expected"
            )
        return module.eval()

    def _pairs(self, module: nn.Module, teacher: nn.Module, context: Context) -> list[Pair]:
        from netwright.compression.distillation import matched, named_pairs

        if self.features == "none":
            return []
        example = context.example_tensor()
        if self.layers:
            return named_pairs(self.layers, student=module, teacher=teacher, example=example)
        pairs = matched(module, teacher, example)
        if self.features == "attention":
            pairs = [pair for pair in pairs if pair.positions]
        if not pairs:
            raise CompressionError("no layer of the network gives results of the same shape as one of its teacher")
        return pairs
