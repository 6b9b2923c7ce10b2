"""Structured pruning: take whole channels and recurrent units out, proven not to disturb the others.

Torch-Pruning (Fang et al., DepGraph, CVPR 2023) says which channels hang together; netwright chooses, cuts and
proves. A set of channels whose removal cannot be proven is left alone, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from netwright.compression.compression_pass import Pass, Verdict
from netwright.compression.criteria.magnitude import Magnitude
from netwright.compression.criterion import Criterion
from netwright.core.errors import CompressionError, ConfigurationError, Mistake
from netwright.core.plugins import built

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

    from netwright.compression.context import Context
    from netwright.compression.coupling import Coupling
    from netwright.compression.model import Model
    from netwright.compression.targets import Start


def _criterion(spec: object) -> Criterion:
    return built(Criterion, spec)


class StructuredPrune(Pass):
    """Take whole channels and recurrent units out: a share of them, or down to a share of the multiply-accumulates
    or of the measured latency.

    Every removal is proven by computing: the network with the channels removed gives what the network with the
    channels silenced gives. Layers that produce the outputs are never touched.
    """

    trains: ClassVar[bool] = True
    strength: ClassVar[str | None] = "ratio"

    ratio: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the channels to remove; 0.3 unless `macs` or `latency` is given",
    )
    macs: float | None = Field(
        default=None, gt=0, lt=1, description="share of the multiply-accumulates to keep, instead of `ratio`"
    )
    latency: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the exported file's latency on this machine to keep, instead of `ratio`",
    )
    criterion: Annotated[SerializeAsAny[Criterion], BeforeValidator(_criterion)] = Field(
        default=Magnitude(), description="what makes a channel important; see `netwright list criteria`"
    )
    scope: Literal["global", "isomorphic", "local"] = Field(
        default="global",
        description="rank all channels together, or those of equal structures, or take the same share of every layer",
    )
    round_to: int = Field(
        default=8, ge=1, le=64, description="widths are multiples of this; finer for layers under 4 × as wide"
    )
    min_channels: int = Field(default=4, ge=1, description="no layer gets narrower than this")
    max_ratio: float = Field(default=0.9, gt=0, lt=1, description="no layer loses more than this share")
    steps: int = Field(default=1, ge=1, le=20, description="prune in this many steps, fine-tuned after each")
    epochs: int | None = Field(
        default=None, ge=0, description="fine-tuning epochs per step; the recipe's unless given; 0 for none"
    )
    regularise: Literal["none", "group_lasso", "growing"] = Field(
        default="none",
        description="train before each step so that channels get small: all of them, or those about to go",
    )
    penalty: float = Field(
        default=0.5,
        gt=0,
        le=4,
        description="of `regularise`: at 1 a mean channel that nothing holds is gone at the end",
    )
    regularise_epochs: int | None = Field(
        default=None, ge=1, description="epochs of that training; the recipe's unless given"
    )
    distill: bool = Field(default=True, description="let the original network teach in fine-tuning")
    ignore: tuple[str, ...] = Field(default=(), description="paths of layers to leave alone")

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        given = [name for name in ("ratio", "macs", "latency") if getattr(self, name) is not None]
        if len(given) > 1:
            first, second = (repr(name) for name in given[:2])
            raise ConfigurationError([Mistake("", f"give either {first} or {second}, not both")])
        return self

    def milder(self) -> StructuredPrune:
        """The same pass taking half as much away, whichever of its targets is set."""
        from netwright.compression.targets import DEFAULT_RATIO

        half = {
            name: round(1 - (1 - v) / 2, 6) for name in ("macs", "latency") if (v := getattr(self, name)) is not None
        }
        if not half:
            half = {"ratio": round((self.ratio or DEFAULT_RATIO) / 2, 6)}
        return self.parse({**self.model_dump(mode="json"), **half})

    def check(self, model: Model, context: Context) -> list[Verdict]:
        from netwright.compression.pruning import find_couplings

        example = context.example_tensor()
        try:
            found = find_couplings(model.module, example, dependency_groups, ignore=self.ignore, seed=context.seed)
        except CompressionError as error:
            return [Verdict("", False, str(error))]
        return [Verdict(c.name, True, f"{c.width} channels, proven removable") for c in found.proven] + [
            Verdict(name, False, reason) for name, reason in found.refused.items()
        ]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.model import Note
        from netwright.compression.pruning import find_couplings, prune_once, size_notes, start_of

        example = context.example_tensor()
        module = model.module
        notes: dict[str, Note] = {}
        start: Start | None = None
        for step in range(1, self.steps + 1):
            found = find_couplings(module, example, dependency_groups, ignore=self.ignore, seed=context.seed)
            if not found.proven and step == 1:
                reasons = "; ".join(f"{name or 'the network'}: {reason}" for name, reason in found.refused.items())
                none = "no layer has channels; weights that forward uses as they are belong to no layer"
                raise CompressionError(f"no channel can be removed ({reasons or none})")
            notes.update(
                {name: Note("structured_prune", name, "left alone", why) for name, why in found.refused.items()}
            )
            start = start or start_of(module, found.proven, self, context)
            module = self._regularised(model.with_module(module), found.proven, context, step=step, start=start)
            result = prune_once(module, found.proven, self, context, step=step, start=start)
            together = "its channels may go alone, but together with those of other layers that is not proven"
            notes.update({name: Note("structured_prune", name, "left alone", together) for name in result.left})
            module = context.fine_tune(
                result.module,
                purpose=f"structured_prune {step}/{self.steps}",
                epochs=self.epochs,
                distill=self.distill,
                forms=model.with_module(result.module).forms,
            )
        if start is not None and start.ruler is not None:
            start.ruler.close()
        notes.update({note.layer: note for note in size_notes(model.module, module)})
        summary = Note("structured_prune", "", "pruned", result.summary)
        return model.with_module(module, [summary, *notes.values()])

    def _regularised(
        self, model: Model, couplings: Sequence[Coupling], context: Context, *, step: int, start: Start
    ) -> nn.Module:
        """The network trained so that the channels to remove get small, or as it is."""
        if self.regularise == "none" or context.dry:
            return model.module
        from netwright.compression.group_penalty import GroupPenalty
        from netwright.compression.pruning import doomed_channels

        doomed = doomed_channels(model.module, couplings, self, context, step=step, start=start)
        penalty = GroupPenalty(self.regularise, couplings=couplings, doomed=doomed, strength=self.penalty)
        return context.fine_tune(
            model.module,
            purpose=f"structured_prune regularise {step}/{self.steps}",
            epochs=self.regularise_epochs,
            distill=self.distill,
            forms=model.forms,
            hooks=[penalty],
        )


def dependency_groups(module: nn.Module, example: torch.Tensor) -> list[Coupling]:
    """Torch-Pruning's groups of channels that hang together, as couplings; the module is not changed.

    Recurrent layers, which Torch-Pruning cannot trace, are stood in for by a linear layer of the same widths,
    so that channels flowing into them are followed.
    """
    import copy
    import warnings

    import torch
    import torch_pruning as tp

    from netwright.compression.circles import bound
    from netwright.compression.pruning import stand_in

    twin = stand_in(copy.deepcopy(module)).eval()
    for parameter in twin.parameters():
        parameter.requires_grad_(True)
    ignored = [layer for path, layer in twin.named_modules() if path.endswith(".stand_in")]
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(twin, example_inputs=example[:2], verbose=False)
        bound(graph)
        groups = list(graph.get_all_groups(ignored_layers=ignored))
    paths = {layer: path for path, layer in twin.named_modules()}
    return [found for group in groups if (found := _coupling(module, group, graph, paths)) is not None]


def _coupling(module: nn.Module, group: Any, graph: Any, paths: dict[Any, str]) -> Coupling | None:
    """A group as a coupling, or None when it ties channels to something that is not a layer of the module."""
    import torch

    from netwright.compression.coupling import Coupling, Member
    from netwright.compression.probing import slot_count

    members = []
    for number, (dependency, indices) in enumerate(group):
        layer, roots = dependency.target.module, group[number].root_idxs
        if isinstance(layer, torch.nn.Parameter) or any(root is None for root in roots):
            return None
        path = paths.get(layer)
        own = [weight.numel() for weight in layer.parameters(recurse=False)]
        if path is None or not own or (isinstance(layer, torch.nn.PReLU) and own == [1]):
            continue
        role: Literal["out", "in"] = "out" if graph.is_out_channel_pruning_fn(dependency.handler) else "in"
        if path.endswith(".stand_in"):
            if role == "out":
                return None
            path = path.removesuffix(".stand_in")
        members.append(Member(path, role, tuple(map(int, roots)), tuple(map(int, indices))))
    if not members:
        return None
    count = len(group[0].idxs)
    try:
        slots = slot_count(module, members, count)
    except CompressionError:
        return None
    return Coupling(members[0].path, slots, count // slots, tuple(members))
