"""One step of structured pruning: find what can be proven removable, choose, cut, prove the result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from netwright.compression import recurrent_pruning
from netwright.compression.allocation import Ranked
from netwright.compression.attention_heads import head_couplings
from netwright.compression.coupling import Coupling, ordered, shared_layers
from netwright.compression.equal_parts import otherwise
from netwright.compression.importance import gradients_for, importances
from netwright.compression.latency_target import LatencyRuler
from netwright.compression.model import Note
from netwright.compression.outputs import output_layers
from netwright.compression.probing import probe
from netwright.compression.proof import Prover
from netwright.compression.surgery import Cut, is_depthwise, remove, width
from netwright.compression.targets import PruningSettings, Start, choose_channels
from netwright.core.errors import CompressionError
from netwright.evaluation.profile import profile

if TYPE_CHECKING:
    from netwright.compression.context import Context

logger = logging.getLogger(__name__)

SHARED = "it shares its weights with another layer"

Grouping = Callable[[nn.Module, torch.Tensor], list[Coupling]]


@dataclass(frozen=True, slots=True)
class Found:
    """Couplings whose removal is proven, and why the others are left alone, by layer."""

    proven: tuple[Coupling, ...]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pruned:
    """The network after one step, in a sentence what was done, what was cut, and the couplings that stay for others."""

    module: nn.Module
    summary: str
    cuts: tuple[Cut, ...]
    left: tuple[str, ...]


def find_couplings(
    module: nn.Module,
    example: torch.Tensor,
    grouping: Grouping,
    *,
    ignore: Collection[str] = (),
    seed: int = 0,
) -> Found:
    """All channels that can be taken out, each coupling proven by a trial removal of half of it.

    `grouping` is asked first; layers for which it has nothing that can be proven are probed.
    Raises CompressionError for a network with weight norm or other parametrizations.
    """
    _require_plain_weights(module)
    untouchable = _untouchable(module, example, ignore)
    refused = _unknown(module)
    proven: list[Coupling] = []
    prover = Prover(module, example, seed=seed)
    judge = partial(_judge, module, prover=prover, untouchable=untouchable, proven=proven, seed=seed)
    judge(_grouped(module, example, grouping, refused), refused=refused)
    settled = _givers(proven)
    # a wrong guess is no reason against a layer
    judge([one for one in head_couplings(module) if not settled & _givers([one])], refused={})
    settled = _givers(proven)
    rest = [path for path in _producers(module) if path not in settled and path not in untouchable]
    probed = probe(module, rest, example=example, seed=seed)
    for path, reason in probed.refused.items():
        refused.setdefault(path, reason)
    judge(probed.couplings, refused=refused)
    settled = _givers(proven)
    judge([one for one in probed.wider if not settled & _givers([one])], refused={})
    refused.update({path: why for path, why in untouchable.items() if path in _producers(module)})
    done = _givers(proven)
    return Found(tuple(proven), {path: why for path, why in refused.items() if path not in done})


def _givers(couplings: Sequence[Coupling]) -> set[str]:
    """The layers that give or carry channels of the couplings."""
    return {member.path for coupling in couplings for member in coupling.members if member.role != "in"}


def prune_once(
    module: nn.Module,
    couplings: Sequence[Coupling],
    settings: PruningSettings,
    context: Context,
    *,
    step: int,
    start: Start,
) -> Pruned:
    """Take the least important channels out, in the `step`-th of the settings' steps; 1 is the first."""
    example = context.example_tensor()
    ranked = _ranked(module, couplings, settings, context, start)
    usable = list(couplings)
    prover = Prover(module, example, seed=context.seed)
    while True:
        gone = choose_channels(module, usable, ranked, settings, example, step=step, start=start)
        cuts = {c.name: c.cuts(gone[c.name]) for c in usable if c.name in gone}
        guilty = _first_unproven(prover, usable, cuts)
        if guilty is None:
            break
        usable = [coupling for coupling in usable if coupling.name != guilty]
    all_cuts = tuple(cut for some in cuts.values() for cut in some)
    small = remove(module, all_cuts)
    after = profile(small, example)
    summary = (
        f"{len(cuts)} of {len(couplings)} sets of channels made narrower, "
        f"{after.macs / max(start.macs, 1):.0%} of the multiply-accumulates left"
    )
    left = tuple(coupling.name for coupling in couplings if coupling not in usable)
    summary += _missed(small, after.macs, settings, start, last=step == settings.steps)
    return Pruned(small, summary, all_cuts, left)


def start_of(module: nn.Module, couplings: Sequence[Coupling], settings: PruningSettings, context: Context) -> Start:
    """The network as it is before the first step; with a target of latency it is exported to be measured."""
    example = context.example_tensor()
    ruler = None
    if settings.latency is not None:
        ruler = LatencyRuler(module, context.example, workspace=context.workspace)
    return Start(profile(module, example).macs, {c.name: c.size for c in couplings}, ruler)


def doomed_channels(
    module: nn.Module,
    couplings: Sequence[Coupling],
    settings: PruningSettings,
    context: Context,
    *,
    step: int,
    start: Start,
) -> Mapping[str, tuple[int, ...]]:
    """The channels that `prune_once` would take out, by the coupling's name."""
    ranked = _ranked(module, couplings, settings, context, start)
    return choose_channels(module, couplings, ranked, settings, context.example_tensor(), step=step, start=start)


def _missed(small: nn.Module, macs: int, settings: PruningSettings, start: Start, *, last: bool) -> str:
    """What was measured against the target, and whether it is out of reach."""
    if settings.macs is not None and last and macs > start.macs * settings.macs * 1.1:
        return f"; the target of {settings.macs:.0%} is out of reach within the limits"
    if settings.latency is None or start.ruler is None:
        return ""
    share = start.ruler.share(small)
    text = f", {share:.0%} of the latency of the exported file"
    if last and share > settings.latency * 1.1:
        text += f"; the target of {settings.latency:.0%} is out of reach within the limits"
    return text


def stand_in(module: nn.Module) -> nn.Module:
    """The module, changed in place so that autograd shows all that ties channels together.

    Every recurrent layer is replaced by a linear one of the same widths, and zeros made in the shape of a tensor
    by a product with zero: what reads them has to shrink with the tensor.
    """
    if isinstance(module, fx.GraphModule):
        for node in module.graph.nodes:
            if node.op == "call_function" and node.target is torch.zeros_like:
                node.target, node.args, node.kwargs = torch.mul, (node.args[0], 0.0), {}
        module.recompile()
    layers = [(path, layer) for path, layer in module.named_modules() if isinstance(layer, nn.RNNBase)]
    with torch.random.fork_rng(devices=[]):
        for path, layer in layers:
            module.set_submodule(path, _StandIn(layer))
    return module


class _StandIn(nn.Module):
    """A linear layer that takes and gives what a recurrent one does, for tracing only."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.sides = recurrent_pruning.directions(layer)
        self.layers = layer.num_layers
        self.time = 1 if layer.batch_first else 0
        self.cell_state = isinstance(layer, nn.LSTM)
        # what a network may ask its recurrent layer to make a starting state
        self.hidden_size, self.num_layers, self.bidirectional = layer.hidden_size, layer.num_layers, self.sides == 2
        width = getattr(layer, "proj_size", 0) or layer.hidden_size
        self.stand_in = nn.Linear(layer.input_size, width * self.sides)

    def forward(self, inputs: torch.Tensor, state: object = None) -> object:
        del state
        sequence = self.stand_in(inputs)
        last = torch.stack(sequence.select(self.time, -1).chunk(self.sides, -1)).repeat(self.layers, 1, 1)
        return sequence, ((last, last) if self.cell_state else last)


def size_notes(before: nn.Module, after: nn.Module) -> list[Note]:
    """One note per layer whose width changed."""
    notes = []
    for path, layer in after.named_modules():
        old, new = _widths(before.get_submodule(path)), _widths(layer)
        changes = [f"{side} {old[side]} → {new[side]}" for side in new if old.get(side) != new[side]]
        if changes:
            notes.append(Note("structured_prune", path, "pruned", ", ".join(changes)))
    return notes


def _widths(layer: nn.Module) -> dict[str, int]:
    if next(layer.parameters(recurse=False), None) is None and next(layer.children(), None) is not None:
        return {}  # what only holds layers may well say their sizes
    fields = {
        "in_channels": "in",
        "in_features": "in",
        "input_size": "in",
        "out_channels": "out",
        "out_features": "out",
        "num_features": "channels",
        "hidden_size": "units",
    }
    return {side: int(getattr(layer, name)) for name, side in fields.items() if hasattr(layer, name)}


def _require_plain_weights(module: nn.Module) -> None:
    for path, layer in module.named_modules():
        if parametrize.is_parametrized(layer) or hasattr(layer, "weight_g"):
            raise CompressionError(
                f"{path} has a weight norm or another parametrization; remove it first "
                "(torch.nn.utils.parametrize.remove_parametrizations)"
            )


def _untouchable(module: nn.Module, example: torch.Tensor, ignore: Collection[str]) -> dict[str, str]:
    reasons = dict.fromkeys(output_layers(module, example), "it produces the outputs")
    # said last: of an output layer that shares weights, neither side may be cut
    reasons.update(dict.fromkeys(shared_layers(module), SHARED))
    names = [path for path, _ in module.named_modules()]
    for prefix in ignore:
        matching = [path for path in names if path == prefix or path.startswith(f"{prefix}.")]
        if not matching:
            raise CompressionError(f"no layer is called {prefix!r}, which 'ignore' names")
        reasons.update(dict.fromkeys(matching, "it is on the list of layers to ignore"))
    return reasons


def _unknown(module: nn.Module) -> dict[str, str]:
    """Layers with channels that nothing here can take out, with the reason."""
    reasons = {
        nn.RNNCellBase: "single steps of a recurrent network are not supported; one layer over all steps is",
        nn.MultiheadAttention: "torch's own attention has heads as wide as its inputs together: none can go",
    }
    return {
        path: why for path, layer in module.named_modules() for kind, why in reasons.items() if isinstance(layer, kind)
    }


def _producers(module: nn.Module) -> list[str]:
    return [
        path
        for path, layer in module.named_modules()
        if isinstance(layer, (nn.Linear, nn.RNNBase, _ConvNd)) and not is_depthwise(layer)
    ]


def _grouped(module: nn.Module, example: torch.Tensor, grouping: Grouping, refused: dict[str, str]) -> list[Coupling]:
    try:
        return [coupling for coupling in grouping(module, example) if _is_within(module, coupling)]
    except Exception as error:
        # The tracer fails in many ways on networks it does not know; probing then has to do.
        logger.info("tracing of dependencies failed: %s", error)
        refused[""] = "its channels were found by trying each, as Torch-Pruning cannot follow this network"
        return []


def _is_within(module: nn.Module, coupling: Coupling) -> bool:
    """Whether the layers have all the channels that are counted in them; a tracer may count on where it gets lost."""
    for member in coupling.members:
        layer = module.get_submodule(member.path)
        if isinstance(layer, (nn.Linear, _ConvNd)) and max(member.indices, default=0) >= width(layer, member.role):
            return False
    return True


def _judge(
    module: nn.Module,
    couplings: Sequence[Coupling],
    *,
    prover: Prover,
    untouchable: Mapping[str, str],
    proven: list[Coupling],
    refused: dict[str, str],
    seed: int,
) -> None:
    """Prove couplings, or note for each of their producers why not.

    One that does not hold as it is may hold with numbers that fall with it, or in equal parts.
    """
    usable = []
    for coupling in couplings:
        if reason := _obstacle(module, coupling, untouchable):
            _refuse(module, coupling, reason, refused)
        else:
            usable.append(coupling)
    reasons = prover.refutations([one.cuts(one.trial(seed)) for one in usable])
    for coupling, reason in zip(usable, reasons, strict=True):
        guesses = (one for one in _otherwise(module, coupling) if _holds(prover, one, seed))
        if (found := next(guesses, None) if reason else coupling) is not None:
            proven.append(found)
        else:
            _refuse(module, coupling, reason, refused)


def _holds(prover: Prover, guess: Coupling, seed: int) -> bool:
    """Whether a guess is proven with half of the channels and with few: of many guesses, one may hold by chance."""
    return not any(prover.refutation(guess.cuts(guess.trial(seed + few, few=few))) for few in (False, True))


def _obstacle(module: nn.Module, coupling: Coupling, untouchable: Mapping[str, str]) -> str:
    """Why a coupling cannot be cut, before any proof is asked for, or nothing."""
    for path in (member.path for member in coupling.members if member.role != "in"):
        if why := untouchable.get(path):
            return why if path == coupling.name else f"{why} ({path})"
    for path in (member.path for member in coupling.members if untouchable.get(member.path) == SHARED):
        return f"its channels go to {path}, which shares its weights with another layer"
    for path in (member.path for member in coupling.members if member.role == "out"):
        if isinstance(module.get_submodule(path), nn.LayerNorm):
            return f"{path} normalises over its channels, and so mixes them"
    return "it has one channel per group" if coupling.size < 2 else ""


def _otherwise(module: nn.Module, coupling: Coupling) -> Iterable[Coupling]:
    """The coupling as it may hold where it does not as it is: with numbers that fall with it, or in equal parts."""
    layers = [member.path for member in coupling.members if member.role == "units"]
    if not layers:
        return otherwise(module, coupling)
    numbers = {number: 1 for path in layers for number in recurrent_pruning.stated_numbers(module, path)}
    return [replace(coupling, numbers=tuple(numbers.items()))] if numbers else []


def _refuse(module: nn.Module, coupling: Coupling, reason: str, refused: dict[str, str]) -> None:
    known = set(_producers(module))
    refused.update({m.path: reason for m in coupling.members if m.role != "in" and m.path in known})


def _ranked(
    module: nn.Module, couplings: Sequence[Coupling], settings: PruningSettings, context: Context, start: Start
) -> dict[str, Ranked]:
    """The couplings as numbers, their channels in the order of importance."""
    criterion = settings.criterion
    gradients = gradients_for(criterion, module, context)
    values = importances(module, couplings, criterion=criterion, gradients=gradients, seed=context.seed)
    return {
        c.name: Ranked(
            name=c.name,
            order=ordered(values[c.name]),
            steps=[float(value) for value in values[c.name].sort(dim=1).values.mean(dim=0)],
            share=1 if c.recurrent else c.thickness,
            start=start.sizes.get(c.name, c.size),
            family=c.family(module),
        )
        for c in couplings
    }


def _first_unproven(prover: Prover, couplings: Sequence[Coupling], cuts: Mapping[str, Sequence[Cut]]) -> str | None:
    """Nothing when all cuts together are proven, else the name of a coupling that breaks the proof of those before."""

    def is_proven(count: int) -> bool:
        some = [cut for coupling in couplings[:count] for cut in cuts.get(coupling.name, ())]
        return not some or not prover.refutation(some)

    right, wrong = 0, len(couplings)
    if is_proven(wrong):
        return None
    while wrong - right > 1:
        middle = (right + wrong) // 2
        right, wrong = (middle, wrong) if is_proven(middle) else (right, middle)
    return couplings[right].name
