"""Low-rank factors: a large layer becomes two or more thin ones in a row, where that saves work."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError, ConfigurationError, Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from netwright.compression.context import Context
    from netwright.compression.factors import Plan
    from netwright.compression.form import Form
    from netwright.compression.model import Model, Note

FASTER = 1.05
"""With `measure_latency`, factors must be so many times as fast as the layer alone."""


class LowRank(Pass):
    """Replace Linear, convolution and recurrent layers by thin ones in a row, where both parameters and MACs fall.

    Linear layers, 1×1 convolutions and the input weights of RNN, LSTM and GRU by truncated SVD; other convolutions by
    Tucker-2 (Kim et al., ICLR 2016), by a k×1 and a 1×k one (Jaderberg et al., 2014) or by CP (Lebedev et al., ICLR
    2015). All other weights of RNN, LSTM and GRU become two factors in the exported file alone, which is then smaller
    and as fast. Ranks keep a share of each layer's energy (squared singular values), are found by VBMF or in training,
    or share a budget; they are rounded up to multiples of 8, or of 4 in small layers.
    """

    trains: ClassVar[bool] = True
    strength: ClassVar[str | None] = "-energy"

    method: Literal["auto", "tucker", "spatial", "cp"] = Field(
        default="tucker", description="of convolutions; auto: per layer the fewest MACs at no more loss than Tucker-2"
    )
    energy: float = Field(default=0.9, gt=0, lt=1, description="share of squared singular values that ranks keep")
    ratio: float | None = Field(
        default=None, gt=0, lt=1, description="rank as a share of the full rank, instead of by energy"
    )
    vbmf: bool = Field(
        default=False, description="instead: the ranks that stand out of the weights' noise (Nakajima et al., 2013)"
    )
    learned: float | None = Field(
        default=None,
        gt=0,
        description="instead: the ranks that a training leaves which shrinks all singular values; at 1 one of mean "
        "energy that nothing holds is gone at the end",
    )
    learn_epochs: int | None = Field(
        default=None, ge=1, description="epochs of that training; the recipe's unless given"
    )
    budget: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="instead: share of the network's cost to keep, with the least loss of energy",
    )
    budget_of: Literal["macs", "params"] = Field(default="macs", description="the cost that the budget is a share of")
    min_gain: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="a layer must lose this share of its MACs and of its parameters; of recurrent ones, each matrix",
    )
    measure_latency: bool = Field(
        default=False, description="leave a layer alone if its factors' file is not faster than the layer's own"
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
        rules = [name for name in ("ratio", "budget", "learned") if getattr(self, name) is not None]
        rules += ["vbmf"] if self.vbmf else []
        rules += ["energy"] if "energy" in self.model_fields_set else []
        if len(rules) > 1:
            raise ConfigurationError([Mistake("", f"give either '{rules[0]}' or '{rules[1]}', not both")])
        if self.method == "cp" and (self.vbmf or self.budget is not None):
            raise ConfigurationError([Mistake("method", "cp takes 'energy' or 'ratio': its ranks have no spectrum")])
        if self.learned is not None and self.method in ("cp", "auto"):
            raise ConfigurationError([Mistake("method", "must be tucker or spatial, whose ranks can be learned")])
        if self.learned is None and self.learn_epochs is not None:
            raise ConfigurationError([Mistake("learn_epochs", "needs 'learned', how strongly ranks are brought down")])
        return self

    def check(self, model: Model, context: Context) -> list[Verdict]:
        module = self._learned(model, context.without_training())
        return [Verdict(plan.path, plan.applies, plan.reason) for plan in self._plans(module, model, context)]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.forms.factored import Factored
        from netwright.compression.model import Note

        module = self._learned(model, context)
        plans = self._plans(module, model, context)
        notes = [Note("low_rank", p.path, "left alone", p.reason) for p in plans if not p.applies]
        score = context.task.primary()
        before = score.loss(context.evaluate(module)[score.metric]) if self.measure_each else 0.0
        done = 0
        forms: dict[str, Form] = {}
        for plan in (plan for plan in plans if plan.applies):
            layer = module.get_submodule(plan.path)
            factors, error = factorized(layer, plan.ranks, method=plan.method, inside=dict(plan.inside))
            faster = ""
            if self.measure_latency and not context.dry:
                faster, slower = _timed(layer, factors, plan)
                if slower:
                    notes.append(Note("low_rank", plan.path, "left alone", slower))
                    continue
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
            path = f"{plan.path}.1" if plan.ranks else plan.path
            forms |= {f"{path}.{name}": Factored(rank=rank) for name, rank in plan.inside}
            reason = f"{plan.reason}; relative error of the weights {error:.3f}{faster}"
            notes.append(Note("low_rank", plan.path, "factorized", reason))
        if not done:
            raise CompressionError(f"no layer gets smaller by factors ({_reasons(notes)})")
        notes.insert(0, Note("low_rank", "", "factorized", f"{done} of {len(plans)} layers factorized"))
        held = model.with_module(module, forms=forms).forms
        module = context.fine_tune(module, purpose="low_rank", epochs=self.epochs, distill=self.distill, forms=held)
        return model.with_module(module, notes, forms=forms)

    def _learned(self, model: Model, context: Context) -> nn.Module:
        """A copy of the network, with ranks that it has learned if it is to; in a dry run as if nothing held them."""
        module = copy.deepcopy(model.module)
        if self.learned is None:
            return module
        from netwright.compression.factors import factored_views
        from netwright.compression.rank_penalty import RankPenalty

        views = factored_views(module, context.example_tensor(), self, held=_held(model))
        penalty = RankPenalty(views, strength=self.learned)
        if context.dry:
            penalty.start(module, epochs=1, steps=1)
            penalty.shrink(self.learned)
            return module
        return context.fine_tune(
            module,
            purpose="low_rank ranks",
            epochs=self.learn_epochs,
            distill=self.distill,
            forms=model.forms,
            hooks=[penalty],
        )

    def _plans(self, module: nn.Module, model: Model, context: Context) -> list[Plan]:
        from netwright.compression.factors import plan_factors

        return plan_factors(module, context.example_tensor(), self, cp_error=_cp_error, held=_held(model))


def factorized(
    layer: nn.Module, ranks: tuple[int, ...], *, method: str = "", inside: Mapping[str, int] | None = None
) -> tuple[nn.Module, float]:
    """A layer as a row of thin ones, and the relative Frobenius error of its weights.

    Linear layers, 1×1 convolutions: ranks (r,), two layers. Recurrent ones: the same, or () for the layer alone, and
    the ranks that weights `inside` of it get. Other convolutions: by Tucker-2 ranks (out, in), by spatial or cp (r,);
    of channels in groups, for each group.
    """
    import torch
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    from netwright.compression import factors_layers as build
    from netwright.compression.factors_matrices import is_matrix

    factors: nn.Module
    with torch.random.fork_rng(devices=[]):
        if isinstance(layer, nn.Linear):
            factors, error = build.linear(layer, ranks[0])
        elif isinstance(layer, nn.RNNBase):
            factors, error = build.recurrent(layer, ranks, inside or {})
        else:
            assert isinstance(layer, _ConvNd)
            if is_matrix(layer):
                factors, error = build.pointwise(layer, ranks[0])
            elif method == "spatial":
                factors, error = build.spatial(layer, ranks[0])
            elif method == "cp":
                factors, error = build.cp(layer, _cp(layer, ranks[0]))
            else:
                factors, error = build.tucker(layer, _tucker(layer, ranks))
    return factors.train(layer.training), error


def _tucker(layer: nn.Module, ranks: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Core [out rank, in rank, *kernel] and factors [out, rank] and [in, rank] of every group of channels."""
    import tensorly
    from tensorly.decomposition import partial_tucker

    from netwright.compression.factors_layers import values_of

    found = []
    with tensorly.backend_context("numpy", local_threadsafe=True):
        for weight in values_of(layer):
            (core, (outer, inner)), _ = partial_tucker(
                weight, rank=list(ranks), modes=[0, 1], init="svd", n_iter_max=50, tol=1e-6, random_state=0
            )
            found.append((core, outer, inner))
    return found


def _cp(layer: nn.Module, rank: int) -> list[np.ndarray]:
    """Factors [size, rank] of all axes, by alternating least squares, with their sizes shared evenly."""
    import warnings

    import tensorly
    from tensorly.decomposition import parafac

    from netwright.compression.factors_layers import values_of

    (weight,) = values_of(layer)
    with tensorly.backend_context("numpy", local_threadsafe=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights, factors = parafac(
            weight, rank=rank, init="random", n_iter_max=100, tol=1e-6, random_state=0, l2_reg=1e-9
        )
    norms = [np.maximum(np.linalg.norm(one, axis=0), 1e-30) for one in factors]
    even = (np.asarray(weights) * np.prod(norms, axis=0)) ** (1 / weight.ndim)
    return [one / norm * even for one, norm in zip(factors, norms, strict=True)]


def _cp_error(layer: nn.Module, rank: int) -> float:
    return factorized(layer, (rank,), method="cp")[1] ** 2


def _timed(layer: nn.Module, factors: nn.Module, plan: Plan) -> tuple[str, str]:
    """What measuring says for a layer's factors, or against them."""
    from netwright.compression.factors_timing import speedup

    if not plan.ranks:
        return "", f"{plan.reason}; the file would be smaller, but not faster"
    assert plan.input is not None
    gain = speedup(layer, factors, plan.input)
    text = f"{gain:.2f} times as fast as the layer alone"
    if gain < FASTER:
        return "", f"{plan.reason}, but measured {text}; at least {FASTER} is asked"
    return f"; measured {text}", ""


def _held(model: Model) -> set[str]:
    """Parameters in a form that factors would break."""
    from netwright.compression.forms.factored import Factored

    return {name for name, form in model.forms.items() if not isinstance(form, Factored)}


def _reasons(notes: list[Note]) -> str:
    if not notes:
        return "there is no Linear, convolution or recurrent layer"
    last = f"{notes[-1].layer}: {notes[-1].reason}"  # what was measured comes last and says more than what was planned
    return last if len(notes) == 1 else f"{len(notes)} layers were looked at; {last}"
