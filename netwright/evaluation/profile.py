"""What a PyTorch model costs: parameters, multiply-accumulates and activation memory, layer by layer.

The model is copied without its values onto torch's `meta` device, where operations compute shapes only, so
profiling takes milliseconds for any size of model, reads no weight and leaves the model as it was.

- Parameters: trainable tensors, each counted once even when it is shared; buffers (batch-norm statistics)
  are not parameters.
- MACs: multiply-accumulates of convolutions and matrix products (`search_spaces.products`, halved), at
  batch 1 and in evaluation mode. Recurrent layers are counted step by step. Normalisation, activation
  functions and pooling count as zero, as in torchvision's published figures.
- Peak activation memory: the most bytes of tensors alive at one moment of an eager batch-1 inference, the
  input included, parameters and buffers excluded. Kernel workspaces are not counted.
"""

from __future__ import annotations

import copy
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.cost import Cost
from netwright.core.errors import NetwrightError
from netwright.core.own_code import values_decide
from netwright.search_spaces.products import product_counter

_READS_VALUES = (".item() cannot be called on meta", "Cannot copy out of meta tensor", "aten::_local_scalar_dense")
"""What torch says when a value is asked for where there are only shapes."""


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """One layer: its path in the model, its type, and what it holds and computes itself (not its children).

    `output_shape` is without the batch; `activation_bytes` is the size of the output.
    """

    name: str
    kind: str
    params: int
    macs: int
    output_shape: tuple[int, ...]
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """A model's layers in the order they run, and the totals, all at batch 1."""

    layers: tuple[LayerProfile, ...]
    params: int
    macs: int
    peak_activation_bytes: int

    @property
    def cost(self) -> Cost:
        """The totals alone."""
        return Cost(params=self.params, macs=self.macs, peak_activation_bytes=self.peak_activation_bytes)


def profile(model: nn.Module, example: torch.Tensor) -> ModelProfile:
    """The cost of a model for inputs shaped like `example` ([batch, *shape]; only the shape and dtype count).

    Raises NetwrightError when the model cannot run on shapes alone or refuses the example.

    >>> profile(nn.Linear(4, 3), torch.zeros(1, 4)).macs
    12
    """
    if example.ndim < 1 or example.shape[0] < 1:
        raise NetwrightError(f"profile expects an example [batch, ...], came shape {tuple(example.shape)}")
    twin = _on_meta(model)
    flops = product_counter()
    memory = _LiveBytes(ignore=[*twin.parameters(), *twin.buffers()])
    watch = _Watch(flops)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            for handle in watch.attach(twin):
                stack.callback(handle.remove)
            with torch.device("meta"), memory, flops:
                sample = torch.empty((1, *example.shape[1:]), dtype=example.dtype)
                twin(sample)
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        if any(text in str(error) for text in _READS_VALUES):
            raise NetwrightError(values_decide(type(model).__name__, error)) from error
        reason = str(error).strip().splitlines()
        raise NetwrightError(
            f"the model {type(model).__name__} does not run on an input of shape "
            f"{(1, *example.shape[1:])}: {reason[0] if reason else type(error).__name__}"
        ) from error
    return ModelProfile(
        layers=watch.layers(twin),
        params=sum(p.numel() for p in twin.parameters()),
        macs=flops.get_total_flops() // 2,
        peak_activation_bytes=memory.peak,
    )


def _on_meta(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose tensors have shapes but no values; nothing large is copied."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo).eval()


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Counts the bytes of the storages that operations make, from birth to the last reference."""

    def __init__(self, *, ignore: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.live = 0
        self.peak = 0
        self._known = {id(tensor.untyped_storage()): tensor for tensor in ignore}
        self._born: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self._see(value.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if key in self._known or key in self._born:
            return
        size = storage.nbytes()

        def died(_: object) -> None:
            del self._born[key]
            self.live -= size

        self._born[key] = weakref.ref(storage, died)
        self.live += size
        self.peak = max(self.peak, self.live)


@dataclass
class _Row:
    """What was seen of one module: its own operations' count and its last output."""

    flops: int = 0
    shape: tuple[int, ...] = ()
    bytes: int = 0


@dataclass
class _Watch:
    """Attributes operations to the module whose own code runs them, in the order modules are first called."""

    counter: FlopCounterMode
    rows: dict[str, _Row] = field(default_factory=dict)
    _inside: list[int] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    def attach(self, model: nn.Module) -> Iterator[torch.utils.hooks.RemovableHandle]:
        for name, module in model.named_modules():
            yield module.register_forward_pre_hook(self._enter(name))
            yield module.register_forward_hook(self._leave(name))

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object) -> None:
            del module, inputs
            self.rows.setdefault(name, _Row())
            self._starts.append(self.counter.get_total_flops())
            self._inside.append(0)

        return hook

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            del module, inputs
            total = self.counter.get_total_flops() - self._starts.pop()
            row = self.rows[name]
            row.flops += total - self._inside.pop()
            if self._inside:
                self._inside[-1] += total
            tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
            if tensors:
                row.shape = tuple(tensors[0].shape[1:])
                row.bytes = tensors[0].numel() * tensors[0].element_size()

        return hook

    def layers(self, model: nn.Module) -> tuple[LayerProfile, ...]:
        """Leaves, and containers that compute or hold something themselves; uncalled ones come last."""
        modules = dict(model.named_modules())
        own = _own_params(modules)
        order = [*self.rows, *(name for name in modules if name not in self.rows)]
        return tuple(
            self._layer(name, modules[name], own[name])
            for name in order
            if own[name] or self.rows.get(name, _Row()).flops or _is_called_leaf(modules[name], name, self.rows)
        )

    def _layer(self, name: str, module: nn.Module, params: int) -> LayerProfile:
        row = self.rows.get(name, _Row())
        return LayerProfile(
            name=name or "(model)",
            kind=type(module).__name__,
            params=params,
            macs=row.flops // 2,
            output_shape=row.shape,
            activation_bytes=row.bytes,
        )


def _is_called_leaf(module: nn.Module, name: str, rows: dict[str, _Row]) -> bool:
    return name in rows and next(module.children(), None) is None


def _own_params(modules: dict[str, nn.Module]) -> Counter[str]:
    """Parameters per module path; a shared parameter belongs to the first module that holds it."""
    seen: set[int] = set()
    counts: Counter[str] = Counter()
    for name, module in modules.items():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                counts[name] += parameter.numel()
    return counts
