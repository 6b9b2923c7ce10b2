"""Fine-tuning: train the network a little more, with the original as its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.compression.compression_pass import SCORE, Pass, Verdict

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.model import Model


class FineTune(Pass):
    """Train the network a little more, taught by the network that came into the recipe.

    Distillation: Hinton, Vinyals & Dean, 2015. Kept only if the accuracy, or what else the task judges by, gets better.
    """

    trains: ClassVar[bool] = True
    gains: ClassVar[tuple[str, ...]] = (SCORE,)

    epochs: int | None = Field(default=None, ge=1, description="default: the recipe's")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        del context
        count = sum(p.numel() for p in model.module.parameters())
        if not count:
            return [Verdict("", False, "it has no weights to train")]
        return [Verdict("", True, f"all {count} weights are trained")]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.model import Note

        module = context.fine_tune(
            model.module,
            purpose="fine_tune",
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            distill=self.distill,
            forms=model.forms,
        )
        epochs = self.epochs or context.training.epochs
        teacher = ", taught by the original" if self.distill else ""
        return model.with_module(module, [Note("fine_tune", "", "trained", f"{epochs} epochs{teacher}")])
