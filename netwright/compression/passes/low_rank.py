"""Low-rank factors: a large layer becomes two or three thin ones in a row, where that saves work."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError, ConfigurationError, Mistake

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netwright.compression.context import Context
    from netwright.compression.model import Model, Note


class LowRank(Pass):
    """Replace Linear layers by their truncated SVD and convolutions by Tucker-2 factors, where both shrink.

    Ranks keep a share of each layer's energy (squared singular values) and are rounded up to multiples of 8,
    or of 4 in small layers. Tucker-2: Kim et al., ICLR 2016.
    """

    trains: ClassVar[bool] = True

    energy: float = Field(default=0.9, gt=0, lt=1, description="share of squared singular values that ranks keep")
    ratio: float | None = Field(
        default=None, gt=0, lt=1, description="rank as a share of the full rank, instead of by energy"
    )
    min_gain: float = Field(
        default=0.2, ge=0, lt=1, description="a layer must lose this share of its MACs and of its parameters"
    )
    measure_each: bool = Field(
        default=False, description="leave a layer alone if its factors alone cost more than `layer_drop`"
    )
    layer_drop: float = Field(
        default=0.05,
        ge=0,
        description="validation accuracy (or what else the task judges by) one layer may cost before fine-tuning",
    )
    epochs: int | None = Field(default=None, ge=0, description="fine-tuning epochs; default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach in fine-tuning")
    ignore: tuple[str, ...] = Field(default=(), description="paths of layers to leave alone")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.ratio is not None and "energy" in self.model_fields_set:
            raise ConfigurationError([Mistake("", "give either 'ratio' or 'energy', not both")])
        return self

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from netwright.compression.factors import plan_factors

        plans = plan_factors(model.module, context.example_tensor(), self)
        return [Verdict(plan.path, plan.applies, plan.reason) for plan in plans]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.factors import plan_factors
        from netwright.compression.model import Note

        plans = plan_factors(model.module, context.example_tensor(), self)
        module = copy.deepcopy(model.module)
        notes = [Note("low_rank", p.path, "left alone", p.reason) for p in plans if not p.applies]
        score = context.task.primary()
        before = score.loss(context.evaluate(module)[score.metric]) if self.measure_each else 0.0
        done = 0
        for plan in (plan for plan in plans if plan.applies):
            layer = module.get_submodule(plan.path)
            factors, error = factorized(layer, plan.ranks)
            for alias in plan.aliases:
                module.set_submodule(alias, factors)
            if self.measure_each:
                after = score.loss(context.evaluate(module)[score.metric])
                if after - before > self.layer_drop:
                    for alias in plan.aliases:
                        module.set_submodule(alias, layer)
                    why = f"its factors alone cost {after - before:.4f} of {score.metric}"
                    notes.append(Note("low_rank", plan.path, "left alone", why))
                    continue
                before = after
            done += 1
            reason = f"{plan.reason}; relative error of the weights {error:.3f}"
            notes.append(Note("low_rank", plan.path, "factorized", reason))
        if not done:
            raise CompressionError(f"no layer gets smaller by factors ({_reasons(notes)})")
        held = model.with_module(module).forms
        module = context.fine_tune(module, purpose="low_rank", epochs=self.epochs, distill=self.distill, forms=held)
        return model.with_module(module, notes)


def factorized(layer: nn.Module, ranks: tuple[int, ...]) -> tuple[nn.Sequential, float]:
    """A layer as a row of thin ones, and the relative Frobenius error of its weights.

    Linear: ranks (r,), two layers. Conv2d: ranks (out, in), a 1×1, the core at full kernel size, a 1×1.
    """
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        if isinstance(layer, nn.Linear):
            factors, error = _linear(layer, ranks[0])
        else:
            assert isinstance(layer, nn.Conv2d)
            factors, error = _convolution(layer, ranks)
    return factors.train(layer.training), error


def _linear(layer: nn.Linear, rank: int) -> tuple[nn.Sequential, float]:
    from torch import nn

    weight = layer.weight.detach().double().cpu().numpy()
    left, values, right = np.linalg.svd(weight, full_matrices=False)
    root = np.sqrt(values[:rank])
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    _set(first.weight, root[:, None] * right[:rank])
    _set(second.weight, left[:, :rank] * root)
    if layer.bias is not None:
        _set(second.bias, layer.bias.detach().cpu().numpy())
    error = np.linalg.norm(values[rank:]) / (np.linalg.norm(values) + 1e-30)
    return nn.Sequential(first, second), float(error)


def _convolution(layer: nn.Conv2d, ranks: tuple[int, ...]) -> tuple[nn.Sequential, float]:
    import tensorly
    from tensorly.decomposition import partial_tucker
    from torch import nn

    weight = layer.weight.detach().double().cpu().numpy()
    out_rank, in_rank = ranks
    with tensorly.backend_context("numpy", local_threadsafe=True):
        (core, (outer, inner)), _ = partial_tucker(
            weight, rank=[out_rank, in_rank], modes=[0, 1], init="svd", n_iter_max=50, tol=1e-6, random_state=0
        )
    first = nn.Conv2d(layer.in_channels, in_rank, 1, bias=False)
    middle = nn.Conv2d(
        in_rank,
        out_rank,
        layer.kernel_size,  # type: ignore[arg-type]  # torch types its own attributes loosely
        stride=layer.stride,  # type: ignore[arg-type]  # as above
        padding=layer.padding,  # type: ignore[arg-type]  # as above
        dilation=layer.dilation,  # type: ignore[arg-type]  # as above
        padding_mode=layer.padding_mode,
        bias=False,
    )
    last = nn.Conv2d(out_rank, layer.out_channels, 1, bias=layer.bias is not None)
    _set(first.weight, inner.T[:, :, None, None])
    _set(middle.weight, core)
    _set(last.weight, outer[:, :, None, None])
    if layer.bias is not None and last.bias is not None:
        _set(last.bias, layer.bias.detach().cpu().numpy())
    rebuilt = np.einsum("abhw,oa,ib->oihw", core, outer, inner)
    error = np.linalg.norm(rebuilt - weight) / (np.linalg.norm(weight) + 1e-30)
    return nn.Sequential(first, middle, last), float(error)


def _set(target: torch.Tensor, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    import torch

    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _reasons(notes: list[Note]) -> str:
    if not notes:
        return "there is no Linear or Conv2d layer"
    first = f"{notes[0].layer}: {notes[0].reason}"
    return first if len(notes) == 1 else f"{len(notes)} layers were looked at; {first}"
