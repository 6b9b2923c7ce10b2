"""Which layers can be folded into their neighbours or taken out without changing what the network computes.

Every fold is proven by computing: on the network itself and on twins with random weights, in double precision. In the
twins, too, those weights are zero by which a branch is.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from netwright.compression.chains import NORMS, WEIGHING, Chains, graph_of
from netwright.compression.constant_parts import Edit, rewired, rewirings
from netwright.compression.dead_channels import dead_channels
from netwright.compression.form import Form
from netwright.compression.patch import LAYERS, difference
from netwright.compression.proof import TOLERANCE, in_double, outputs, random_inputs, randomised, relative_difference
from netwright.compression.pruning import Grouping
from netwright.compression.surgery import Cut, remove
from netwright.core.errors import CompressionError

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
TWINS = 2


@dataclass(frozen=True, slots=True)
class Fold:
    """A layer that becomes an identity, and the neighbour, if any, that takes over its work; `refused` says why not.

    `how`: a normalisation scales what the neighbour before it gives (outputs) or what the one after it gets (inputs), a
    Linear layer is multiplied into the next (product), or the layer is dropped. With `edits` it is a module that is
    wired anew, without what is the same for every input `because` of the values of layers and tensors at these paths;
    with `cuts` it is the first of the layers that lose channels, for which `biases` of others gain something.
    """

    layer: str
    into: str = ""
    why: str = ""
    refused: str = ""
    how: Literal["outputs", "inputs", "product", "dropped"] = "dropped"
    edits: tuple[Edit, ...] = ()
    cuts: tuple[Cut, ...] = ()
    biases: tuple[tuple[str, torch.Tensor], ...] = ()
    because: frozenset[str] = frozenset()


def plan_folds(
    module: nn.Module,
    example: torch.Tensor,
    *,
    forms: Mapping[str, Form] | None = None,
    ignore: Collection[str] = (),
    dropout: bool = True,
    unused: bool = True,
    constants: bool = True,
    grouping: Grouping | None = None,
) -> list[Fold]:
    """What can be folded, each proven, and what cannot, with the reason; `example` is a batch [N, *shape].

    With `constants`, `grouping` finds the channels that go together, of which dead ones are taken out.
    """
    first = _proven(module, example, _constants(module, example, ignore)) if constants else []
    module = folded(module, first)
    while constants and grouping and (cut := _dead(module, example, grouping, ignore)):
        first += cut
        module = folded(module, cut)
        if all(fold.refused for fold in cut):
            break
    chains = Chains(module, example)
    found = [*_norm_folds(module, chains), *_product_folds(module, chains)]
    found += _dropouts(module) if dropout else []
    found += _unused(module) if unused else []
    taken: set[str] = set()
    plan = []
    for fold in found:
        if _is_under(fold.layer, ignore) or _is_under(fold.into, ignore):
            plan.append(replace(fold, refused="it is on the list of layers to ignore"))
        elif not fold.refused and _is_under(fold.layer, taken):
            continue
        else:
            plan.append(_with_forms(module, fold, forms or {}))
            taken |= set() if plan[-1].refused else {fold.layer}
    return [*first, *_proven(module, example, plan)]


def folded(module: nn.Module, folds: Sequence[Fold]) -> nn.Module:
    """A copy of the network after the folds that are not refused, in their order."""
    twin = copy.deepcopy(module)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for fold in folds:
            if not fold.refused and fold.edits:
                made = rewired(twin.get_submodule(fold.layer), fold.edits)
                twin = _with(twin, fold.layer, made)
            elif not fold.refused and fold.cuts:
                for path, added in fold.biases:
                    _add_bias(twin.get_submodule(path), added)
                twin = remove(twin, fold.cuts)
            elif not fold.refused:
                _apply(twin, fold)
    return twin


def _with(module: nn.Module, path: str, part: nn.Module) -> nn.Module:
    """The module itself with another part, or the part if that is all of it."""
    if not path:
        return part
    module.set_submodule(path, part)
    return module


def _constants(module: nn.Module, example: torch.Tensor, ignore: Collection[str]) -> list[Fold]:
    """Modules that are wired anew without branches that are the same for every input, as far as a patch can say it."""
    found = []
    for one in rewirings(module, example):
        fold = Fold(one.path, why=one.why, edits=one.edits, because=one.because)
        if any(_is_under(path, ignore) for path in (one.path, *one.because)):
            fold = replace(fold, refused="it is on the list of layers to ignore")
        else:
            try:
                difference(module, folded(module, [fold]))
            except CompressionError as error:
                fold = replace(fold, refused=f"{one.why}, but {error}")
        found.append(fold)
    return found


def _dead(module: nn.Module, example: torch.Tensor, grouping: Grouping, ignore: Collection[str]) -> list[Fold]:
    """Channels that can go at once; those of layers that others touch on the same side wait for the next time."""
    found: list[Fold] = []
    touched: set[tuple[str, str]] = set()
    for one in dead_channels(module, example, grouping, pairs=Chains(module, example).pairs):
        fold = Fold(one.name, why=one.why, cuts=one.cuts, biases=one.biases, because=one.because)
        sides = {(cut.path, str(cut.role)) for cut in one.cuts} | {(path, "out") for path, _ in one.biases}
        if any(_is_under(path, ignore) for path in one.because):
            fold = replace(fold, refused="it is on the list of layers to ignore")
        elif touched & sides:
            continue
        touched |= sides
        found.append(fold)
    return _proven(module, example, found)


def _norm_folds(module: nn.Module, chains: Chains) -> list[Fold]:
    """Batch normalisations behind a weighing layer, or before one."""
    behind, before, norms = {}, {}, []
    for first, second in chains:
        one, two = module.get_submodule(first), module.get_submodule(second)
        if isinstance(one, WEIGHING) and isinstance(two, NORMS):
            behind[second] = first
        elif type(one) in NORMS and isinstance(two, WEIGHING):
            before[first] = second
    for path, layer in module.named_modules():
        if isinstance(layer, _BatchNorm):
            norms.append(_norm_fold(module, path, layer, behind.get(path, ""), before.get(path, "")))
    return norms


def _norm_fold(module: nn.Module, path: str, norm: _BatchNorm, behind: str, before: str) -> Fold:
    if norm.running_mean is None:
        return Fold(path, refused="it normalises by each batch's own statistics")
    into = behind or before
    if into and (why := _unsaid(norm, module.get_submodule(into), into)):
        return Fold(path, into, refused=why)
    if behind:
        return Fold(path, behind, why=f"its scale and shift go into {behind} before it", how="outputs")
    if not before:
        return Fold(path, refused="no layer with weights stands right before or after it, alone")
    layer = module.get_submodule(before)
    if isinstance(layer, _ConvTransposeNd):
        return Fold(path, before, refused=f"{before} is transposed: its sums differ at the border")
    if isinstance(layer, _ConvNd) and layer.padding_mode == "zeros" and _pads(layer):
        return Fold(path, before, refused=f"{before} pads its input with zeros, which the shift would change")
    return Fold(path, before, why=f"its scale and shift go into {before} after it", how="inputs")


def _unsaid(norm: nn.Module, layer: Any, into: str) -> str:
    """Why a patch could not say what comes of a normalisation, or of the layer it goes into."""
    odd = next((one for one in norm.children() if LAYERS.get(type(one).__name__) is not type(one)), None)
    if odd is not None:
        return f"its own {type(odd).__name__}, which would stay, is no layer of torch"
    if type(layer) not in WEIGHING and layer.bias is None:
        return f"{into} is a {type(layer).__name__} without a bias, a class of its own that cannot be given one"
    return ""


def _pads(layer: _ConvNd) -> bool:
    padding: Any = layer.padding
    return padding != "valid" if isinstance(padding, str) else any(padding)


def _product_folds(module: nn.Module, chains: Chains) -> list[Fold]:
    """Two Linear layers in a row with nothing between them are one, worth it when that one is smaller."""
    found, touched = [], set[str]()
    for first, second in chains:
        one, two = module.get_submodule(first), module.get_submodule(second)
        if type(one) is not nn.Linear or type(two) is not nn.Linear or first in touched:
            continue
        product = one.in_features * two.out_features
        if product < one.weight.numel() + two.weight.numel():
            why = f"the product of its weights and those of {second} is smaller"
            found.append(Fold(first, second, why=why, how="product"))
            touched |= {first, second}
    return found


def _dropouts(module: nn.Module) -> list[Fold]:
    return [
        Fold(path, why="dropout does nothing in a network that is deployed")
        for path, layer in module.named_modules(remove_duplicate=False)
        if type(layer) in DROPOUTS
    ]


def _unused(module: nn.Module) -> list[Fold]:
    """Layers with weights that are never called, neither in training nor in use; only a traced network tells."""
    graphs = [graph_of(copy.deepcopy(module).train(mode)) for mode in (False, True)]
    used: set[str] = set()
    for graph in graphs:
        if graph is None:
            return []
        used |= {str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")}
    found: list[Fold] = []
    for path, layer in module.named_modules(remove_duplicate=False):
        touched = any(one == path or one.startswith(f"{path}.") or path.startswith(f"{one}.") for one in used)
        if (
            path
            and not touched
            and any(True for _ in layer.parameters())
            and not _is_under(path, [f.layer for f in found])
        ):
            found.append(Fold(path, why="it is never called"))
    return found


def _is_under(path: str, roots: Collection[str]) -> bool:
    return bool(path) and any(path == root or path.startswith(f"{root}.") for root in roots)


def _with_forms(module: nn.Module, fold: Fold, forms: Mapping[str, Form]) -> Fold:
    """The fold, refused when a weight would lose the form that it is kept in."""
    held = {name: form for name, form in forms.items() if fold.into and name.startswith(f"{fold.into}.")}
    if fold.refused or not held:
        return fold
    parameters = dict(folded(module, [fold]).named_parameters())
    lost = [name for name, form in held.items() if not form.holds(parameters[name].detach())]
    if lost:
        return replace(fold, refused=f"{lost[0]} would lose its form ({type(held[lost[0]]).__name__})")
    return fold


def _proven(module: nn.Module, example: torch.Tensor, plan: list[Fold]) -> list[Fold]:
    """The plan with every fold refused that is not proven; all at once, and one by one only if that fails."""
    proof = _Proof(module, example, kept=frozenset[str]().union(*(fold.because for fold in plan)))
    if not proof.refutation(plan):
        return plan
    kept: list[Fold] = []
    for fold in plan:
        reason = "" if fold.refused else proof.refutation([*kept, fold])
        kept.append(replace(fold, refused=reason) if reason else fold)
    return kept


class _Proof:
    """Whether the network computes the same after folds, as it is and with random weights and inputs.

    What lies at the paths that are `kept` keeps its values.
    """

    def __init__(self, module: nn.Module, example: torch.Tensor, *, kept: Collection[str] = ()) -> None:
        own, inputs = in_double(module, example)
        self._cases = [(own, inputs)]
        held = own.state_dict()  # with the versions of its parts, for which some networks ask
        for name in [name for name in held if not _is_under(name, kept)]:
            del held[name]
        for seed in range(TWINS):
            twin = randomised(own, seed=seed)
            twin.load_state_dict(held, strict=False)
            self._cases.append((twin, random_inputs(twin, inputs, rows=len(inputs), seed=seed)))
        self._tolerance = TOLERANCE.get(inputs.dtype, 1e-4)

    def refutation(self, folds: Sequence[Fold]) -> str:
        for module, inputs in self._cases:
            try:
                found = outputs(folded(module, folds), inputs)
                wanted = outputs(module, inputs)
            except (RuntimeError, ValueError, TypeError, CompressionError) as error:
                return f"without it the network does not run: {str(error).splitlines()[0]}"
            if found.shape != wanted.shape:
                return "without it the output has another shape"
            if not relative_difference(found, wanted) <= self._tolerance:
                return f"the outputs would differ by {relative_difference(found, wanted):.1e}"
        return ""


def _apply(module: nn.Module, fold: Fold) -> None:
    layer = module.get_submodule(fold.layer)
    if fold.how == "product":
        module.set_submodule(fold.into, _product(layer, module.get_submodule(fold.into)))
    elif fold.how != "dropped":
        change = _scale_outputs if fold.how == "outputs" else _scale_inputs
        change(module.get_submodule(fold.into), *_affine(layer))
    # a normalisation with an activation of its own, as timm has, leaves it behind
    left = [one for one in layer.children() if fold.how == "outputs" and not isinstance(one, nn.Identity)]
    stays = nn.Identity() if not left else left[0] if len(left) == 1 else nn.Sequential(*left)
    module.set_submodule(fold.layer, stays.train(layer.training))


def _affine(norm: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift [channels] of a batch normalisation in use, in double precision."""
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()


def _scale_outputs(layer: Any, scale: torch.Tensor, shift: torch.Tensor) -> None:
    weight = layer.weight.double()
    bias = shift if layer.bias is None else layer.bias.double() * scale + shift
    if isinstance(layer, _ConvTransposeNd):  # [in, out / groups, ...]
        groups = scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2))
        weight = (weight.view(layer.groups, -1, *weight.shape[1:]) * groups).view(weight.shape)
    else:
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
    _set(layer, weight, bias)


def _scale_inputs(layer: Any, scale: torch.Tensor, shift: torch.Tensor) -> None:
    weight = layer.weight.double()
    groups = getattr(layer, "groups", 1)
    per_group = (groups, 1, -1, *[1] * (weight.ndim - 2))
    split = weight.view(groups, -1, *weight.shape[1:])
    added = (split * shift.view(per_group)).flatten(2).sum(2).flatten()
    bias = added if layer.bias is None else layer.bias.double() + added
    _set(layer, (split * scale.view(per_group)).view(weight.shape), bias)


def _set(layer: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
    kind = layer.weight.dtype
    layer.weight.copy_(weight.to(kind))
    layer.bias = nn.Parameter(bias.to(kind), requires_grad=layer.weight.requires_grad)


def _add_bias(layer: Any, added: torch.Tensor) -> None:
    _set(layer, layer.weight, added if layer.bias is None else layer.bias.double() + added)


def _product(first: Any, second: Any) -> nn.Linear:
    """The one layer that two in a row are."""
    has_bias = first.bias is not None or second.bias is not None
    made = nn.Linear(first.in_features, second.out_features, bias=has_bias).to(second.weight)
    made.weight.copy_((second.weight.double() @ first.weight.double()).to(made.weight.dtype))
    if has_bias:
        bias = torch.zeros(second.out_features, dtype=torch.float64) if second.bias is None else second.bias.double()
        made.bias.copy_(bias if first.bias is None else bias + second.weight.double() @ first.bias.double())
    return made.train(second.training)
