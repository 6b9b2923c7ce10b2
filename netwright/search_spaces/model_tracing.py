"""Following a network's `forward` step by step while it runs on an example.

Since every step is computed as it is noted, sizes are plain numbers: loops over layers or time, checks of shapes
and arithmetic with sizes are ordinary Python. Only what depends on the values of the input cannot be followed.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import torch
from torch import fx, nn

from netwright.core.errors import NetwrightError, SpaceError
from netwright.search_spaces.model_attention import attended, attends_to_itself
from netwright.search_spaces.model_calls import CALLS
from netwright.search_spaces.model_inputs import Apart, joined_inputs
from netwright.search_spaces.model_layers import UnreadableError, expect, layer_operation
from netwright.search_spaces.plain_weights import plain_weights

BATCH = 3
"""A batch of its own size tells it from the axes of a sample."""
OTHER_BATCH = 5
INPUTS = "inputs"
FILLED = ("new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "full_like")
"""Functions that give constants, of which a network may write parts."""
VALUES = ("item", "tolist", "numpy", "equal", "allclose", "is_nonzero")
UNPACKED = (
    "sequences of one length, came those of pack_padded_sequence; give the recurrent layer the padded ones and take "
    "the step at each length, `y[torch.arange(len(y)), lengths - 1]`: in one direction that is the same"
)
WHOLE_LAYERS = (nn.RNNBase, nn.MultiheadAttention, nn.Conv1d)
"""Layers that are read as they are, or not at all; others of torch that have no operation are looked into."""


class Traced:
    """The steps of a network, with what each gave: once for a batch of 3 and once for another of 5."""

    def __init__(self, model: nn.Module, example: Sequence[torch.Tensor]) -> None:
        self.root = copied(model)
        # some networks keep what they computed
        untouched, own = copy.deepcopy(self.root), copy.deepcopy(self.root)
        repeated = [_repeated(x.detach().cpu()) for x in example]
        apart = Apart.of(repeated)
        self.inputs = joined_inputs([x[:BATCH] for x in repeated])
        first = _followed(self.root, self.inputs, apart)
        if weighed := first.weighed():
            self.root = copy.deepcopy(untouched)
            first = _followed(self.root, self.inputs, apart, weighed)
        # other values and another number of samples: what differs besides is decided by the values
        other = joined_inputs([x[torch.arange(OTHER_BATCH) % BATCH].flip(-1) for x in repeated])
        self.batches = (self.inputs, other)
        second = _followed(untouched, other, apart, weighed)
        pairs = zip(*[_given(own, inputs, apart) for inputs in self.batches], strict=True)
        self.outputs = list(zip(*[_samples_first(*pair) for pair in pairs], strict=True))
        self.graph, self._run = first.graph, first.run
        self.results = {**first.results, **second.results}
        self.others = self._paired(first, second)

    def run(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """What a step gives for other values of the steps before it."""
        with torch.no_grad():
            return self._run(node, {**self.results, **values})

    def _paired(self, first: _Tracer, second: _Tracer) -> dict[fx.Node, fx.Node]:
        """The steps of both ways through the network, one by one."""
        pairs = list(zip(first.graph.nodes, second.graph.nodes, strict=False))
        alike = len(first.graph.nodes) == len(second.graph.nodes)
        if not alike or any(_step(one) != _step(other) for one, other in pairs):
            raise SpaceError(
                "the network cannot be traced: its steps depend on the values of the input or on the number of "
                "samples; expected the same steps for every batch"
            )
        return dict(pairs)


def _repeated(inputs: torch.Tensor) -> torch.Tensor:
    """At least as many samples as are looked at, numbers in single precision."""
    inputs = inputs.float() if inputs.is_floating_point() else inputs
    return inputs.repeat(BATCH, *[1] * (inputs.dim() - 1))


def _followed(root: nn.Module, inputs: torch.Tensor, apart: Apart, weighed: frozenset[str] = frozenset()) -> _Tracer:
    tracer = _Tracer(inputs, apart, weighed)
    try:
        with torch.no_grad():
            tracer.trace(root)
    except UnreadableError as error:
        where = f"the layer {tracer.now}" if tracer.now else "forward"
        raise SpaceError(f"{where} cannot be read: {error}") from None
    except NetwrightError:
        raise
    except Exception as error:
        where = f"at {tracer.now}: " if tracer.now else ""
        said = _said(error)
        if isinstance(error, fx.proxy.TraceError) or "item assignment" in said:
            what = "writes into a part of a tensor" if "item assignment" in said else "decides by the values of tensors"
            raise SpaceError(
                f"the network cannot be traced: {where}its forward {what}; expected steps that are the same for "
                "every input, each of which makes a new tensor: move the rest out of forward"
            ) from error
        shape = " × ".join(map(str, inputs.shape[1:]))
        raise SpaceError(f"the network does not run on inputs of {shape}: {where}{said}") from error
    return tracer


def _given(model: nn.Module, inputs: torch.Tensor, apart: Apart) -> list[torch.Tensor]:
    """What the network itself gives."""
    try:
        with torch.no_grad():
            return _tensors(model(*apart.taken(inputs.clone())))
    except Exception as error:
        raise SpaceError(f"the network does not run on {len(inputs)} inputs of the example: {_said(error)}") from error


def _samples_first(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A result for both batches; the samples come first of one that has them second, as states do."""
    second = min(one.dim(), other.dim()) > 1 and len(one) == len(other)
    if second and (one.shape[1], other.shape[1]) == (BATCH, OTHER_BATCH):
        return one.transpose(0, 1), other.transpose(0, 1)
    return one, other


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def copied(model: nn.Module) -> nn.Module:
    """A copy for inference on the CPU in single precision, with every weight a parameter of its own."""
    while isinstance(model, nn.DataParallel) or hasattr(model, "_orig_mod"):
        inner = model.module if isinstance(model, nn.DataParallel) else model._orig_mod
        assert isinstance(inner, nn.Module)
        model = inner
    for layer in model.modules():
        for name, value in list(vars(layer).items()):
            # a weight that a hook computes has a history, with which it cannot be copied; the hook computes it anew
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                setattr(layer, name, value.detach())
    return plain_weights(copy.deepcopy(model).cpu().float().eval())


def is_read_whole(module: nn.Module) -> bool:
    """Whether a layer is one step: it has an operation, or its own way of being read."""
    if isinstance(module, WHOLE_LAYERS):
        return True
    try:
        layer_operation(module)
    except UnreadableError:
        return False
    return True


class _Proxy(fx.Proxy):
    """A value of the network while it is followed, of which everything but the values is known."""

    tracer: _Tracer

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.tracer.values[self.node], name)
        if isinstance(value, torch.Tensor):
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return super().__getattr__(name) if callable(value) else value

    def __iter__(self) -> Iterator[Any]:
        return iter([operator.getitem(self, index) for index in range(len(self))])

    def __len__(self) -> int:
        return len(self.tracer.values[self.node])


class _Tracer(fx.Tracer):
    def __init__(self, inputs: torch.Tensor, apart: Apart, weighed: frozenset[str]) -> None:
        super().__init__()
        self._apart = apart
        self._weighed = weighed
        self.values: dict[fx.Node, Any] = {}
        self.results: dict[fx.Node, Any] = {}
        self._inputs = inputs
        self._computing = False
        self._opened = False

    @property
    def now(self) -> str:
        """The innermost module that is being followed."""
        found = [(path, kind) for path, kind in self.module_stack.values() if path]
        return f"{found[-1][0]!r} ({found[-1][1].__name__})" if found else ""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        self._computing = True  # what is looked up in a layer is no step
        try:
            return is_read_whole(m) and not self._opened
        finally:
            self._computing = False

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._computing:
            return forward(*args, **kwargs)
        whole = not isinstance(m, nn.MultiheadAttention) or attends_to_itself(m, args, kwargs)
        self._opened = not whole or self.path_of_module(m) in self._weighed
        steps = partial(attended, m) if self._opened else forward  # type: ignore[arg-type]  # opened are attention
        return super().call_module(m, steps, args, kwargs)

    def weighed(self) -> frozenset[str]:
        """The layers of attention whose weights are read, for which they are looked into."""
        return frozenset(
            str(node.target)
            for node in self.graph.nodes
            if node.op == "call_module" and isinstance(self.root.get_submodule(str(node.target)), nn.MultiheadAttention)
            if any(user.target is not operator.getitem or (user.args[1] != 0 and user.users) for user in node.users)
        )

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_args_for_root(self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None) -> Any:
        del is_module, concrete_args
        parameters = list(inspect.signature(root_fn).parameters.values())[1:]
        given = len(self._apart.shapes)
        starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        needed = [p.name for p in parameters[given:] if p.default is p.empty and p.kind not in starred]
        if needed:
            raise SpaceError(
                f"the network cannot be read: its forward also needs {needed[0]!r}; expected an example of each input, "
                f"came {given}: give a tuple"
            )
        root, apart = self.root, self._apart
        name = parameters[0].name if given == 1 else INPUTS
        return lambda x: root_fn(root, *apart.taken(x)), [self.create_proxy("placeholder", name, (), {})]

    def create_arg(self, a: Any) -> Any:
        return super().create_arg(tuple(a) if hasattr(a, "_fields") else a)  # a tuple with names is no step

    def create_node(self, kind: str, *more: Any, **others: Any) -> fx.Node:
        node = super().create_node(kind, *more, **others)
        if kind == "get_attr":
            value = self.values[node] = self.run(node, {})
            # into what forward itself makes, a later step may write
            self.results[node] = value.clone() if str(node.target).startswith("_tensor_constant") else value
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **others: Any) -> Any:
        """A value of the network, or a plain one where the step gives no tensor."""
        kept_whole = isinstance(target, FunctionType) and target.__module__.partition(".")[0] != "torch"
        if kept_whole and target.__name__ not in CALLS:
            return target(*args, **kwargs)  # its author keeps it from being looked into
        proxy = super().create_proxy(kind, target, args, kwargs, *more, **others)
        name = str(getattr(target, "__name__", target))
        expect(name != "_pack_padded_sequence", UNPACKED)
        value = self.run(proxy.node, self.values)
        if not _holds_tensor(value) or name in FILLED:
            if name in VALUES:
                raise fx.proxy.TraceError("a number is taken from a tensor")
            self.graph.erase_node(proxy.node)
            return value
        self.values[proxy.node] = value
        # a later step may write into it
        copied_one = isinstance(value, torch.Tensor) and kind != "get_attr"
        self.results[proxy.node] = value.clone() if copied_one else value
        return proxy

    def run(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """What a step gives for these values of the steps before it."""
        if node.op == "placeholder":
            return self._inputs.clone()
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        self._computing = True
        try:
            if node.op == "get_attr":
                found: Any = self.root
                for part in str(node.target).split("."):
                    found = getattr(found, part)
                return found
            if node.op == "call_module":
                return self.root.get_submodule(str(node.target))(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            assert callable(node.target)
            return node.target(*args, **kwargs)
        finally:
            self._computing = False


def _step(node: fx.Node) -> tuple[str, str]:
    """What a step does; constants that forward makes have new names each time."""
    return node.op, "" if node.op == "get_attr" else str(node.target)


def _holds_tensor(value: Any) -> bool:
    return bool(_tensors(value if isinstance(value, (tuple, list)) else [value]))


def _tensors(value: Any) -> list[torch.Tensor]:
    """The tensors of a result, in their order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in _tensors(part)]
    return [value] if isinstance(value, torch.Tensor) else []
