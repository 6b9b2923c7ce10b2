"""Who uses the channels of a layer, found by computing: change one layer's output, see whose inputs change.

Channels are numbered in binary. For each binary digit the network runs twice, once with the channels changed
that have the digit, once with the others; a position of a later layer's input that depends on exactly one
channel changes in exactly one run of each pair, and the runs spell that channel's number. A position that
changes in both depends on several, which means they are mixed before they are weighed: then nothing is said.
This takes 2·log2(channels) runs and no knowledge of what lies between, be it a last step, a mean over time, a
permutation or a flatten.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from netwright.compression import recurrent_pruning
from netwright.compression.coupling import Coupling, Member
from netwright.compression.equal_parts import ties
from netwright.compression.hooks import hooked
from netwright.compression.proof import in_double, outputs, random_inputs, randomised, rows_for
from netwright.compression.surgery import Role, is_depthwise, width
from netwright.core.errors import CompressionError


def probe(module: nn.Module, paths: Sequence[str], *, example: torch.Tensor, seed: int = 0) -> Probed:
    """The couplings of layers (Linear, convolution, RNN, LSTM, GRU) with everything that uses their channels.

    Layers whose channels meet, as in a sum, come as one coupling. `example` is a batch [N, *shape].
    """
    if not paths:
        return Probed((), {})
    module, example = in_double(module, example)
    twin = randomised(module, seed=seed).eval()
    inputs = random_inputs(twin, example, rows=min(len(example), rows_for(example)), seed=seed)
    users: dict[str, list[Member]] = {}
    labels: dict[str, Sequence[int]] = {}
    refused: dict[str, str] = {}
    plain = _Plain(twin, inputs)
    for path in paths:
        try:
            labels[path], users[path] = _followed(_Probe(plain, path))
            if not users[path]:
                raise CompressionError("no later layer takes its channels one by one")
        except CompressionError as error:
            refused[path] = str(error)
            users.pop(path, None)
    couplings, wider = [], []
    for component in _components(users):
        while component:
            try:
                joined = {path: users[path] for path in component}
                couplings.append(_joined(module, joined, labels))
                if len({_own_width(module, path) for path in component}) > 1:
                    with suppress(CompressionError):
                        wider.append(_joined(module, joined, labels, widest=True))
                break
            except _NotJoinedError as error:
                refused[error.path] = str(error)
                component = [path for path in component if path != error.path]
            except CompressionError as error:
                refused.update(dict.fromkeys(component, str(error)))
                break
    return Probed(tuple(couplings), refused, tuple(wider))


class _MixedError(CompressionError):
    """Several channels of a layer change one position of another."""


class _NotJoinedError(CompressionError):
    """One layer does not fit to the others that it meets: their channels may hang together without it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


@dataclass(frozen=True, slots=True)
class Probed:
    """The couplings found, and for the other layers why none was.

    `wider` are those of layers of unlike widths with all channels of the widest, which may have to fall together.
    """

    couplings: tuple[Coupling, ...]
    refused: Mapping[str, str]
    wider: tuple[Coupling, ...] = ()


def _components(users: Mapping[str, Sequence[Member]]) -> list[list[str]]:
    """Layers grouped by whether they share a position of a later layer, in the order given."""
    positions = {path: {(m.path, m.role, i) for m in members for i in m.indices} for path, members in users.items()}
    components: list[tuple[list[str], set[tuple[str, Role, int]]]] = []
    for path, mine in positions.items():
        names, places = [path], set(mine)
        for other in [one for one in components if one[1] & mine]:
            components.remove(other)
            names, places = other[0] + names, places | other[1]
        components.append((names, places))
    return [names for names, _ in components]


def _joined(
    module: nn.Module,
    users: Mapping[str, Sequence[Member]],
    labels: Mapping[str, Sequence[int]],
    *,
    widest: bool = False,
) -> Coupling:
    """One coupling of several layers, numbered as the channels of the narrowest of those with the most slots.

    Or as those of the widest. A wider layer may take part with some of its channels, such as where a shortcut adds
    silent ones; the others stay.
    """
    sign = 1 if widest else -1
    base = max(users, key=lambda path: (_slots(module.get_submodule(path)), sign * _own_width(module, path)))
    count = max(labels[base]) + 1
    owner = {(m.path, m.role, i): c for m in users[base] for c, i in zip(m.channels, m.indices, strict=True)}
    number = {base: {channel: channel for channel in range(count)}}
    waiting = [path for path in users if path != base]
    while waiting:
        path = next((one for one in waiting if _known(users[one], owner)), None)
        if path is None:
            raise CompressionError(f"its channels meet those of {base} in a way that cannot be numbered")
        waiting.remove(path)
        number[path] = _numbered(users[path], owner, path)
        for m in users[path]:
            for c, i in zip(m.channels, m.indices, strict=True):
                if c in number[path]:
                    owner.setdefault((m.path, m.role, i), number[path][c])
    members = []
    for path, numbers in number.items():
        own = [(numbers[label], channel) for channel, label in enumerate(labels[path]) if label in numbers]
        channels, indices = (tuple(column) for column in zip(*own, strict=True))
        members.append(Member(path, _own_role(module.get_submodule(path)), channels, indices))
    return _coupling(module, base, members, owner, count)


def _known(members: Sequence[Member], owner: Mapping[tuple[str, Role, int], int]) -> bool:
    return any((m.path, m.role, i) in owner for m in members for i in m.indices)


def _numbered(members: Sequence[Member], owner: Mapping[tuple[str, Role, int], int], path: str) -> dict[int, int]:
    """The base's number of each channel of another layer that meets it."""
    found: dict[int, int] = {}
    for m in members:
        for channel, index in zip(m.channels, m.indices, strict=True):
            base = owner.get((m.path, m.role, index))
            if base is not None and found.setdefault(channel, base) != base:
                raise _NotJoinedError(path, "one of its channels meets several channels of another layer")
    return dict(sorted(found.items()))


def _coupling(
    module: nn.Module, base: str, members: list[Member], owner: Mapping[tuple[str, Role, int], int], count: int
) -> Coupling:
    sides: dict[tuple[str, Role], list[tuple[int, int]]] = {}
    for (path, role, index), channel in owner.items():
        sides.setdefault((path, role), []).append((channel, index))
    for (path, role), pairs in sides.items():
        members.append(Member(path, role, *(tuple(column) for column in zip(*sorted(pairs), strict=True))))
    # channels that go together are one of every group, or all of one
    slots = 1 if count < _own_width(module, base) else slot_count(module, members, count)
    recurrent = isinstance(module.get_submodule(base), nn.RNNBase)
    return Coupling(base, slots, count // slots, tuple(members), recurrent=recurrent)


def slot_count(module: nn.Module, members: Sequence[Member], count: int) -> int:
    """Into how many equal lists the channels fall: groups of convolutions, layers and directions of an RNN.

    Raises CompressionError when the channels cannot be divided so.
    """
    slots = math.lcm(*(_slots(module.get_submodule(member.path)) for member in members if member.role != "in"))
    groups = [module.get_submodule(m.path) for m in members if m.role == "in"]
    slots = math.lcm(slots, *(one.groups for one in groups if isinstance(one, _ConvNd)))
    if count % slots:
        raise CompressionError(f"its {count} channels do not fall into {slots} equal groups")
    return slots


def _slots(layer: nn.Module) -> int:
    if isinstance(layer, nn.RNNBase):
        return recurrent_pruning.slots(layer)
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups
    return layer.groups if isinstance(layer, _ConvNd) and not is_depthwise(layer) else 1


def _own_width(module: nn.Module, path: str) -> int:
    layer = module.get_submodule(path)
    return width(layer, _own_role(layer))


def _own_role(layer: nn.Module) -> Role:
    return "units" if isinstance(layer, nn.RNNBase) else "out"


def _followed(run: _Probe) -> tuple[Sequence[int], list[Member]]:
    """A number for every channel, and who depends on which; channels that meet few others have theirs together."""
    own = range(run.channels)
    try:
        return own, _decode(run, own)
    except _MixedError:
        if run.is_recurrent or any(bool(moved.all()) for moved in run.changed([0]).values()):
            raise  # with all of them, as in a mean
        for labels in ties(run.channels):
            try:
                return labels, _decode(run, labels)
            except _MixedError:
                continue
        raise


def _decode(run: _Probe, labels: Sequence[int]) -> list[Member]:
    """Who depends on the channels of which number, spelled by the pairs of runs."""
    numbers: dict[tuple[str, Role], torch.Tensor] = {}
    touched: dict[tuple[str, Role], torch.Tensor] = {}
    for digit in range(max(1, max(labels).bit_length())):
        with_digit = [channel for channel, label in enumerate(labels) if label >> digit & 1]
        without = [channel for channel, label in enumerate(labels) if not label >> digit & 1]
        ones, zeros = run.changed(with_digit), run.changed(without)
        for key in {**ones, **zeros}:
            one, zero = run.pair(key, ones, zeros)
            if bool((one & zero).any()):
                raise _MixedError(f"its channels are mixed before they reach {key[0]}")
            numbers[key] = numbers.get(key, torch.zeros(len(one), dtype=torch.long)) + (one.long() << digit)
            seen = one | zero
            if bool((touched.setdefault(key, seen) != seen).any()):
                raise CompressionError(f"its effect on {key[0]} cannot be followed")
    return [
        Member(*key, tuple(numbers[key][mask].tolist()), tuple(mask.nonzero().flatten().tolist()))
        for key, mask in sorted(touched.items())
        if bool(mask.any())
    ]


class _Plain:
    """A network as it runs with nothing changed: what every layer is given and gives, call by call."""

    def __init__(self, network: nn.Module, inputs: torch.Tensor) -> None:
        self.network, self.inputs = network, inputs
        self.names = {layer: name for name, layer in network.named_modules()}
        self.seen: dict[str, list[torch.Tensor]] = {}
        self.given: dict[str, list[Any]] = {}
        self.started: set[str] = set()
        self.result = self.run(self._record)
        floats = (one for calls in self.seen.values() for one in calls if one.is_floating_point() and one.numel())
        self.loudest = max((float(one.abs().max()) for one in floats), default=1.0)

    def _record(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        name = self.names[layer]
        if isinstance(layer, nn.RNNBase) and any(map(_is_state, inputs[1:])):
            self.started.add(name)
        if inputs and isinstance(inputs[0], torch.Tensor):
            self.seen.setdefault(name, []).append(inputs[0].clone())
        self.given.setdefault(name, []).append(copy.deepcopy(output))

    def run(self, hook: Callable[..., Any]) -> torch.Tensor:
        """What the network gives with a hook on every layer that holds no others."""
        layers = [layer for layer in self.network.modules() if next(layer.children(), None) is None]
        handles = [layer.register_forward_hook(hook) for layer in layers]
        with hooked(handles):
            return outputs(self.network, self.inputs)


class _Probe:
    """Runs the network with chosen channels of one layer changed and notes whose inputs changed."""

    def __init__(self, plain: _Plain, path: str) -> None:
        self.plain, self.path = plain, path
        calls = plain.given.get(path, [])
        if path in plain.started:
            raise CompressionError("it is given a starting state that is not zero, which would have to shrink with it")
        if not calls:
            raise CompressionError("nothing calls it; weights that are used without that cannot be followed")
        if len(calls) > 1:
            raise CompressionError(f"it is called {len(calls)} times; once is expected")
        layer = plain.network.get_submodule(path)
        self.is_recurrent = isinstance(layer, nn.RNNBase)
        if isinstance(layer, nn.RNNBase):
            if recurrent_pruning.refusal(layer) or not isinstance(calls[0][0], torch.Tensor):
                raise CompressionError(recurrent_pruning.refusal(layer) or "it runs on a packed sequence")
            self.channels, self.change = recurrent_pruning.unit_count(layer), _change_recurrent
        else:
            axis = 1 if isinstance(layer, _ConvNd) else -1
            self.channels, self.change = calls[0].shape[axis], _change_channels(axis)

    def changed(self, channels: list[int]) -> dict[tuple[str, Role], torch.Tensor]:
        """Which positions of which layers' inputs depend on any of these channels."""
        found: dict[tuple[str, Role], torch.Tensor] = {}
        calls: dict[str, int] = {}

        def watch(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            name = self.plain.names[layer]
            number = calls[name] = calls.get(name, -1) + 1
            if name == self.path:
                return self.change(self.plain.given[name][number], channels, cast(Any, layer), self.plain.loudest)
            side = _side(layer)
            if side is None or not inputs or not isinstance(inputs[0], torch.Tensor):
                return None
            role, axis, stops = side
            before = self.plain.seen[name][number]
            if inputs[0].shape != before.shape:
                raise CompressionError(f"the shape at {name} depends on the values")
            moved = _positions(inputs[0] != before, axis)
            if bool(moved.any()):
                found[name, role] = found.get((name, role), torch.zeros_like(moved)) | moved
            return copy.deepcopy(self.plain.given[name][number]) if stops else None

        result = self.plain.run(watch)
        if not torch.equal(result, self.plain.result):
            raise CompressionError("its channels reach the output without a layer that weighs them")
        return found

    def pair(
        self,
        key: tuple[str, Role],
        ones: dict[tuple[str, Role], torch.Tensor],
        zeros: dict[tuple[str, Role], torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        like = ones.get(key, zeros.get(key))
        assert like is not None
        nothing = torch.zeros_like(like)
        return ones.get(key, nothing), zeros.get(key, nothing)


def _is_state(given: Any) -> bool:
    """Whether a recurrent layer's second input differs from none at all: a state of zeros is its default."""
    parts = given if isinstance(given, (tuple, list)) else (given,)
    return any(bool(one.any()) for one in parts if isinstance(one, torch.Tensor))


def _side(layer: nn.Module) -> tuple[Role, int, bool] | None:
    """How a layer takes channels: its role, along which dimension, and whether it weighs (and so ends) them."""
    if isinstance(layer, (nn.Linear, nn.RNNBase)):
        return "in", -1, True
    if is_depthwise(layer) or isinstance(layer, _BatchNorm):
        return "out", 1, False
    if isinstance(layer, nn.PReLU) and layer.num_parameters > 1:
        return "out", 1, False
    if isinstance(layer, _ConvNd):
        return "in", 1, True
    return None


def _positions(moved: torch.Tensor, axis: int) -> torch.Tensor:
    """Which entries along one dimension moved anywhere, [width]."""
    flat = moved.movedim(axis, 0)
    return flat.reshape(flat.shape[0], -1).any(1)


def _change_channels(axis: int) -> Callable[..., Any]:
    def change(output: torch.Tensor, channels: list[int], layer: nn.Module, loudest: float) -> torch.Tensor:
        del layer
        noise = _noise(output, loudest)
        mask = torch.zeros(output.shape[axis], dtype=torch.bool)
        mask[channels] = True
        shape = [1] * output.ndim
        shape[axis] = -1
        return output + noise * mask.view(shape)

    return change


def _change_recurrent(output: Any, channels: list[int], layer: nn.RNNBase, loudest: float) -> Any:
    """The output sequence shows the last stacked layer's units, the state those of every layer."""
    sequence, state = output
    hidden, sides = layer.hidden_size, recurrent_pruning.directions(layer)
    mask = torch.zeros(recurrent_pruning.unit_count(layer), dtype=torch.bool)
    mask[channels] = True
    by_slot = mask.view(-1, 1, hidden)
    sequence = sequence + _noise(sequence, loudest) * by_slot[-sides:].reshape(-1)
    if isinstance(state, tuple):
        return sequence, tuple(one + _noise(one, loudest) * by_slot for one in state)
    return sequence, state + _noise(state, loudest) * by_slot


def _noise(like: torch.Tensor, loudest: float) -> torch.Tensor:
    """Small and large values of both signs, so that no activation function or maximum hides all of them.

    The larger the network's signals are, the larger the values, as what is far below zero hides small ones.
    """
    random = _seeded(like.numel())
    scale = 5 * max(1.0, loudest) ** (1.5 * torch.rand(like.shape, dtype=like.dtype, generator=random))
    return scale * torch.randn(like.shape, dtype=like.dtype, generator=random)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
