"""Folding: work that is known beforehand is done beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError

if TYPE_CHECKING:
    from netwright.compression.context import Context
    from netwright.compression.folding import Fold as Planned
    from netwright.compression.model import Model


class Fold(Pass):
    """Fold batch normalisation into the layers beside it, multiply out Linear layers in a row, drop what does nothing.

    Branches that are zero whatever the input go, such as those that end in a normalisation with weights of zero, with
    sums with zero and products with one; a branch that is constant becomes a tensor. Each fold is proven by computing;
    the outputs stay equal to rounding. The file gains little, because the export folds most too: the pass is there for
    the passes after it, which see plain layers, and is always kept.
    """

    gains: ClassVar[tuple[str, ...]] = ()

    dropout: bool = Field(default=True, description="take dropout out, also for later fine-tuning")
    unused: bool = Field(default=True, description="take out layers that are never called")
    constants: bool = Field(
        default=True, description="take out branches and channels that are zero, or the same value, whatever the input"
    )
    ignore: tuple[str, ...] = Field(default=(), description="paths of layers to leave alone")

    def check(self, model: Model, context: Context) -> list[Verdict]:
        plan = self._plan(model, context)
        if not plan:
            return [
                Verdict(
                    "",
                    False,
                    "there is nothing to fold: no batch normalisation, dropout, unused layer or constant branch",
                )
            ]
        return [Verdict(fold.layer, not fold.refused, fold.refused or fold.why) for fold in plan]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.folding import folded
        from netwright.compression.model import Note

        plan = self._plan(model, context)
        if all(fold.refused for fold in plan):
            reason = (
                f"{plan[0].layer or 'the network'}: {plan[0].refused}"
                if plan
                else "no batch normalisation, dropout, unused layer or constant branch"
            )
            raise CompressionError(f"nothing can be folded ({reason})")
        done = sum(not fold.refused for fold in plan)
        notes = [Note("fold", "", "folded", f"{done} of {len(plan)} layers folded into others or taken out")]
        notes += [
            Note("fold", fold.layer, "left alone" if fold.refused else "folded", fold.refused or fold.why)
            for fold in plan
        ]
        return model.with_module(folded(model.module, plan).eval(), notes)

    def _plan(self, model: Model, context: Context) -> list[Planned]:
        from netwright.compression.folding import plan_folds
        from netwright.compression.passes.structured_prune import dependency_groups

        return plan_folds(
            model.module,
            context.example_tensor(),
            forms=model.forms,
            ignore=self.ignore,
            dropout=self.dropout,
            unused=self.unused,
            constants=self.constants,
            grouping=dependency_groups,
        )
