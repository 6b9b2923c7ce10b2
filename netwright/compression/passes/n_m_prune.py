"""N:M sparsity: of every M weights in a row N stay, the pattern that some accelerators multiply faster."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError, ConfigurationError, Mistake

if TYPE_CHECKING:
    import torch

    from netwright.compression.context import Context
    from netwright.compression.model import Model


class NMPrune(Pass):
    """Keep the n largest of every m weights along the inputs, 2 of 4 by default: no speed-up in this runtime.

    For linear layers and convolutions; the pattern of Mishra et al., 2021, which NVIDIA GPUs from Ampere on can use.
    Here it gains bytes once entropy-coded. The zeros are kept in all later training.
    """

    trains: ClassVar[bool] = True
    gains: ClassVar[tuple[str, ...]] = ("coded_bytes",)

    n: int = Field(default=2, ge=1, description="weights that stay of every m")
    m: int = Field(default=4, ge=2, le=64, description="weights in a row along the layer's inputs")
    epochs: int | None = Field(default=None, ge=0, description="epochs of training; default: the recipe's; 0 for none")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach")
    ignore: tuple[str, ...] = Field(default=(), description="paths of layers or parameters to leave alone")

    @model_validator(mode="after")
    def _fewer(self) -> Self:
        if self.n >= self.m:
            raise ConfigurationError([Mistake("n", f"must be less than m, which is {self.m}; came {self.n}")])
        return self

    def check(self, model: Model, context: Context) -> list[Verdict]:
        del context
        found, refused = self._found(model)
        text = f"{self.n} of every {self.m} weights stay; no speed-up in this runtime"
        verdicts = [Verdict(name, True, text) for name in found]
        verdicts += [Verdict(name, False, reason) for name, reason in refused.items()]
        return verdicts or [Verdict("", False, "it has no linear or convolution layer")]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.forms.sparse import Sparse
        from netwright.compression.model import Note

        found, refused = self._found(model)
        if not found:
            reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
            raise CompressionError(f"no weight can be pruned ({reasons or 'there is none'})")
        module = copy.deepcopy(model.module)
        for name in found:
            parameter = module.get_parameter(name)
            parameter.data.mul_(largest_of_each(parameter.detach(), n=self.n, m=self.m))
        forms = {name: Sparse() for name in found}
        module = context.fine_tune(
            module,
            purpose="n_m_prune",
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            distill=self.distill,
            forms={**model.forms, **forms},
        )
        text = f"{self.n} of every {self.m} weights along the inputs stay; no speed-up in this runtime"
        every = len(found) + len(refused)
        summary = f"{self.n} of every {self.m} weights stay in {len(found)} of {every} weight tensors"
        notes = [Note("n_m_prune", "", "pruned", f"{summary}; no speed-up in this runtime")]
        notes += [Note("n_m_prune", name, "pruned", text) for name in found]
        notes += [Note("n_m_prune", name, "left alone", why) for name, why in refused.items()]
        return model.with_module(module, notes, forms=forms)

    def _found(self, model: Model) -> tuple[list[str], dict[str, str]]:
        """Parameters of which every row of inputs is a multiple of m long, and why others are left alone."""
        from torch import nn

        from netwright.compression.sparsity import find_weights

        weights = find_weights(model.module, ignore=self.ignore, forms=model.forms)
        refused = dict(weights.refused)
        found = []
        for name, path in weights.layers.items():
            layer = model.module.get_submodule(path)
            inputs = model.module.get_parameter(name).shape[1]
            if isinstance(layer, nn.RNNBase) or getattr(layer, "transposed", False):
                refused[name] = f"the pattern is not made for {type(layer).__name__}"
            elif inputs % self.m:
                refused[name] = f"its {inputs} inputs are no multiple of {self.m}"
            else:
                found.append(name)
        return found, refused


def largest_of_each(weight: torch.Tensor, *, n: int, m: int) -> torch.Tensor:
    """True where one of the n largest of m neighbours along dimension 1 lies; the weight's shape."""
    import torch

    rows = weight.detach().abs().movedim(1, -1)
    groups = rows.reshape(-1, m)
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, groups.topk(n, dim=1).indices, True)
    return mask.reshape(rows.shape).movedim(-1, 1)
