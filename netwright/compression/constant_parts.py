"""Parts of a network whose result is the same whatever the input, by the values of its weights.

Sums with zero and products with one end there, and with them the branches that led to the zero; a branch of a sum that
always gives the same value per channel becomes that value.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from netwright.compression.chains import WEIGHING
from netwright.compression.hooks import hooked

ADDING = (torch.add, operator.add, operator.iadd)
TIMES = (torch.mul, operator.mul, operator.imul)
PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
AXES: Mapping[type[nn.Module], int] = {nn.BatchNorm1d: 0, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}
"""How many axes there are behind the channels; 0 where that is not known."""
BY_VALUE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus),
)
"""Layers that do the same to every value."""
KEEP_ZERO = (
    *(nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d),
    *(nn.PixelShuffle, nn.PixelUnshuffle, nn.Upsample, nn.ChannelShuffle, nn.ZeroPad2d, nn.PReLU),
)
_BY_VALUE: tuple[Any, ...] = (torch.relu, functional.relu, torch.sigmoid, torch.tanh, functional.silu, functional.gelu)
_KEEP_ZERO: tuple[Any, ...] = (
    *(torch.flatten, torch.reshape, torch.mean, torch.sum, torch.transpose, torch.permute, torch.squeeze),
    *(torch.unsqueeze, functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d, torch.cat),
    *("flatten", "reshape", "view", "mean", "sum", "transpose", "permute", "contiguous", "squeeze", "unsqueeze"),
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A result that no input changes: `value` repeats along missing axes and those of size 1, the batch first.

    `because` are the paths of the layers and tensors whose values make it so.
    """

    value: torch.Tensor
    because: frozenset[str] = frozenset()

    def is_all(self, number: float) -> bool:
        return bool((self.value == number).all())


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of a node of a graph: its users get `by` instead, or, without one, its input `constant` is put
    in as a tensor of its own with the value."""

    node: str
    by: str = ""
    constant: str = ""
    value: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Rewiring:
    """The edits of the module at a path, and why they change no result."""

    path: str
    edits: tuple[Edit, ...]
    why: str
    because: frozenset[str] = field(default=frozenset())


def rewirings(module: nn.Module, example: torch.Tensor) -> Iterator[Rewiring]:
    """What can go from modules that are wired by a graph, inner ones first; `example` is a batch [N, *shape]."""
    inputs = _inputs(module, example)
    for path, holder in sorted(module.named_modules(), key=lambda one: -len(one[0].split(".")) if one[0] else 0):
        graph = shallow(holder) if path in inputs and type(holder) is not nn.Sequential else None
        if graph is not None and (found := _rewiring(path, holder, graph, inputs[path])):
            yield found


def rewired(module: nn.Module, edits: tuple[Edit, ...]) -> nn.Module:
    """A module that shares the layers of the given one and is wired by its edited graph.

    Nothing in it works in place any more: what it would change might now be used elsewhere.
    """
    graph = shallow(module)
    assert graph is not None
    nodes = {node.name: node for node in graph.nodes}
    root = module
    for number, edit in enumerate(edits):
        node = nodes[edit.node]
        if edit.by:
            node.replace_all_uses_with(nodes[edit.by])
            continue
        assert edit.value is not None
        name = f"constant_{number}"
        kind = next((one.dtype for one in module.parameters()), torch.get_default_dtype())
        root.register_parameter(name, nn.Parameter(edit.value.to(kind, copy=True)))
        with graph.inserting_before(node):
            node.replace_input_with(nodes[edit.constant], graph.get_attr(name))
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("output", "placeholder"):
            graph.erase_node(node)
    for node in graph.nodes:
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    if result.op == "placeholder":
        return nn.Identity().train(module.training)
    made = fx.GraphModule(root, graph).train(module.training)
    for layer in made.modules():
        if hasattr(layer, "inplace"):
            setattr(layer, "inplace", False)  # noqa: B010 -- torch declares it in each of its layers alone
    return made


class _Shallow(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return True


def shallow(module: nn.Module) -> fx.Graph | None:
    """How a module wires its own parts, the same in training and in use, or None."""
    if isinstance(module, fx.GraphModule):
        return copy.deepcopy(module.graph)
    if type(module).__module__.startswith("torch.nn") and type(module) is not nn.Sequential:
        return None
    training = module.training
    try:
        with torch.random.fork_rng(devices=[]):
            graphs = [_Shallow().trace(module.train(mode)) for mode in (True, False)]
    except Exception:
        # a network may raise whatever it likes when it is traced
        return None
    finally:
        module.train(training)
    return graphs[1] if str(graphs[0]) == str(graphs[1]) else None


def _inputs(module: nn.Module, example: torch.Tensor) -> dict[str, torch.Tensor]:
    """What modules that are called once, with one tensor, get on the example, by path."""
    from netwright.compression.proof import outputs

    seen: dict[str, list[tuple[Any, ...]]] = {}
    names = {one: path for path, one in module.named_modules()}

    def note(one: nn.Module, given: tuple[Any, ...]) -> None:
        seen.setdefault(names[one], []).append(given)

    handles = [one.register_forward_pre_hook(note) for one in names if next(one.children(), None) is not None]
    with hooked(handles):
        outputs(module, example)
    once = {path: calls[0] for path, calls in seen.items() if len(calls) == 1 and len(calls[0]) == 1}
    return {path: given[0] for path, given in once.items() if isinstance(given[0], torch.Tensor)}


def _rewiring(path: str, holder: nn.Module, graph: fx.Graph, given: torch.Tensor) -> Rewiring | None:
    shapes = _shapes(holder, graph, given)
    constants = _constants(holder, graph, None)
    edits, reasons, because = [], [], frozenset[str]()
    for node in graph.nodes:
        for name, edit in _edits(node, constants, shapes):
            reason = constants[name] if isinstance(name, fx.Node) else None
            edits.append(edit)
            reasons.append(
                f"{name} is {'zero' if node.target in ADDING else 'one'}" if edit.by else f"{name} is constant"
            )
            because |= reason.because if reason else frozenset()
    if not edits:
        return None
    told = f"{', '.join(reasons)} whatever the input"
    return Rewiring(path, tuple(edits), told, frozenset(f"{path}.{one}" if path else one for one in because))


def _edits(
    node: fx.Node, constants: Mapping[fx.Node, Constant], shapes: Mapping[fx.Node, torch.Size]
) -> Iterator[tuple[fx.Node | float, Edit]]:
    """What becomes of a sum or product of two, with the constant that makes it so."""
    if node.op != "call_function" or node.target not in (*ADDING, *TIMES) or len(node.args) != 2 or node.kwargs:
        return
    neutral = 0.0 if node.target in ADDING else 1.0
    for one, other in (node.args, node.args[::-1]):
        found = _constant(one, constants)
        if found is None or not isinstance(other, fx.Node) or shapes.get(other) != shapes.get(node):
            continue
        changed = node.args[0] if node.target in (operator.iadd, operator.imul) else None
        if isinstance(changed, fx.Node) and len(changed.users) > 1:
            continue
        if found.is_all(neutral):
            yield one, Edit(node.name, by=other.name)  # type: ignore[misc]  # a node or a number
            return
        if isinstance(one, fx.Node) and one.op == "call_module" and other not in constants and not found.is_all(0.0):
            yield one, Edit(node.name, constant=one.name, value=found.value)
            return


def _constant(value: Any, constants: Mapping[fx.Node, Constant]) -> Constant | None:
    if isinstance(value, fx.Node):
        return constants.get(value)
    return Constant(torch.tensor(float(value))) if isinstance(value, (int, float)) else None


def _shapes(holder: nn.Module, graph: fx.Graph, given: torch.Tensor) -> dict[fx.Node, torch.Size]:
    class Noting(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                found[n] = result.shape
            return result

    found: dict[fx.Node, torch.Size] = {}
    training = holder.training
    with torch.no_grad():
        Noting(holder.eval(), graph=graph).run(given.clone())
    holder.train(training)
    return found


def _constants(holder: nn.Module, graph: fx.Graph, given: Constant | None) -> dict[fx.Node, Constant]:
    """The nodes of a graph whose results no input changes; `given` is what is known of the input."""
    found: dict[fx.Node, Constant] = {}
    for node in graph.nodes:
        known: Constant | None = None
        if node.op == "placeholder":
            known = given
        elif node.op == "get_attr":
            tensor = operator.attrgetter(node.target)(holder)
            known = Constant(tensor.detach(), frozenset({node.target})) if isinstance(tensor, torch.Tensor) else None
        elif node.op == "call_module" and len(node.args) == 1 and not node.kwargs:
            known = _of_layer(holder.get_submodule(node.target), str(node.target), found.get(node.args[0]))
        elif node.op in ("call_function", "call_method"):
            known = _of_function(node, found)
        if known is not None:
            found[node] = known
    return found


def _of_layer(layer: nn.Module, path: str, given: Constant | None) -> Constant | None:
    """What a layer gives whatever it gets, or when it gets a constant."""
    kind, own = type(layer), frozenset({path})
    if kind in WEIGHING:
        return _of_weights(layer, own, given)
    if kind in AXES:
        return _of_norm(layer, own, given)
    if given is None or kind in PASSING:
        inner = shallow(layer) if kind not in PASSING else None
        return given if inner is None else _of_graph(layer, path, inner, None)
    if kind in BY_VALUE:
        return Constant(copy.deepcopy(layer)(given.value.clone()), given.because)
    if kind in KEEP_ZERO:
        return given if given.is_all(0.0) else None
    inner = shallow(layer)
    return None if inner is None else _of_graph(layer, path, inner, given)


def _of_graph(layer: nn.Module, path: str, graph: fx.Graph, given: Constant | None) -> Constant | None:
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    known = _constants(layer, graph, given).get(result) if isinstance(result, fx.Node) else None
    if known is None or known is given:
        return known
    inner = known.because - (given.because if given else frozenset())
    outer = known.because - inner
    return Constant(known.value, outer | frozenset(f"{path}.{one}" for one in inner))


def _of_weights(layer: Any, own: frozenset[str], given: Constant | None) -> Constant | None:
    """Weights that are all zero, or an input that is, leave the bias."""
    if bool((layer.weight == 0).all()):
        because = own
    elif given is not None and given.is_all(0.0):
        because = own | given.because
    else:
        return None
    zero = layer.weight.detach().new_zeros(())
    if layer.bias is None or bool((layer.bias == 0).all()):
        return Constant(zero, because)
    axes = layer.weight.ndim - 2 if isinstance(layer, _ConvNd) else 0
    return Constant(layer.bias.detach().view(-1, *[1] * axes), because)


def _of_norm(norm: Any, own: frozenset[str], given: Constant | None) -> Constant | None:
    """Weights that are all zero leave the bias; a constant is scaled and shifted."""
    if norm.running_mean is None:
        return None
    scale = torch.rsqrt(norm.running_var.double() + norm.eps) * (1 if norm.weight is None else norm.weight.double())
    shift = -norm.running_mean.double() * scale + (0 if norm.bias is None else norm.bias.double())
    silent = bool((scale == 0).all())
    if not silent and (given is None or given.value.ndim > 0):
        return None
    value = shift if given is None or silent else given.value.double() * scale + shift
    value = value.detach()
    because = own if silent or given is None else own | given.because
    if bool((value == value[0]).all()):
        return Constant(value[0], because)
    axes = AXES[type(norm)]
    return Constant(value.view(-1, *[1] * axes), because) if axes else None


def _of_function(node: fx.Node, found: Mapping[fx.Node, Constant]) -> Constant | None:
    """What a function gives when what it is given makes its result constant."""
    if node.target in (torch.zeros_like, "new_zeros"):
        return Constant(torch.zeros(()))
    if node.target in TIMES and len(node.args) == 2:
        return _of_product(node, found)
    first = node.args[0] if node.args else None
    given = list(first) if isinstance(first, (list, tuple)) else [first]
    known = [_constant(one, found) for one in (node.args if node.target in ADDING else given)]
    if any(one is None for one in known) or not known:
        return None
    sure = [one for one in known if one is not None]
    because = frozenset().union(*(one.because for one in sure))
    if node.target in ADDING and len(sure) == 2 and not node.kwargs:
        return Constant(sure[0].value + sure[1].value, because)
    if node.target in _BY_VALUE:
        function: Callable[..., Any] = node.target  # type: ignore[assignment]  # one of those on the list
        return Constant(function(sure[0].value.clone()), because)
    return Constant(sure[0].value.new_zeros(()), because) if _keeps_zero(node, sure) else None


def _of_product(node: fx.Node, found: Mapping[fx.Node, Constant]) -> Constant | None:
    known = [_constant(one, found) for one in node.args]
    zero = next((one for one in known if one is not None and one.is_all(0.0)), None)
    if zero is not None:
        return Constant(zero.value.new_zeros(()), zero.because)
    if known[0] is None or known[1] is None:
        return None
    return Constant(known[0].value * known[1].value, known[0].because | known[1].because)


def _keeps_zero(node: fx.Node, given: list[Constant]) -> bool:
    return node.target in _KEEP_ZERO and all(one.is_all(0.0) for one in given)
