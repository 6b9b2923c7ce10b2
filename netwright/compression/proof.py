"""Proof that channels were removed rightly: silencing them and removing them must give equal outputs.

A dependency graph can be wrong without any error: shapes fit, and the network computes something else. So each
removal is checked by computing: on the network with the given example, and on a twin with random weights and inputs,
in which no weight is too small to be seen. The twin must also react to the silencing, else equal outputs would prove
nothing. And it must hold with all values of the layer far below zero, then far above: a maximum over channels takes a
silent zero for the largest only if all others are negative.
"""

from __future__ import annotations

import copy
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import cast

import torch
from torch import nn

from netwright.compression.hooks import hooked
from netwright.compression.surgery import Cut, removed_for_now, silenced_for_now
from netwright.core.errors import CompressionError

SHIFTS = (0.0, -30.0, 30.0)
"""Added to the layer's values; signals in the twin are of size 1."""
ROWS, VALUES = (8, 32), 8192
"""Inputs a proof runs on: as many as hold this many values, within the limits. More show nothing more."""
REAL_ROWS = 2
"""Inputs of the network itself; the wiring shows in its random twins."""
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}


class Prover:
    """Proves removals of one network; it works on copies of its own, made once.

    A removal is tried alone in the twin, on a batch of a few inputs for each shift, so that two runs show it all; and
    together with others in the network itself and on more inputs, where a set that fails is halved.
    """

    def __init__(self, module: nn.Module, example: torch.Tensor, *, seed: int = 0) -> None:
        """`example` is a batch [N, *shape].

        The tolerance is relative to the largest output: 1e-8 in double precision, in which nearly all networks
        run, else 1e-4.
        """
        own, inputs = in_double(module, example[: ROWS[0]])
        own = copy.deepcopy(own) if own is module else own
        self._real = (own, inputs[:REAL_ROWS])
        twin = randomised(own, seed=seed)
        self._twin = (twin, random_inputs(twin, inputs, rows=rows_for(inputs), seed=seed + 1, scale=2))
        few = self._twin[1][: max(1, min(ROWS[0], VALUES // max(1, inputs[0].numel())))]
        self._parts = torch.cat([few] * len(SHIFTS))
        self._untouched = outputs(twin, self._parts)
        self._shifts = [SHIFTS] if self._has_parts() else [(shift,) for shift in SHIFTS]

    def refutation(self, cuts: Sequence[Cut]) -> str:
        """Why removing the cuts is not proven right, as a sentence; empty when it is proven."""
        return self.refutations([cuts])[0]

    def refutations(self, removals: Sequence[Sequence[Cut]]) -> list[str]:
        """The same of many removals, of which only some may be wrong."""
        reasons = [self._refutation_alone(cuts) for cuts in removals]
        right = [number for number, reason in enumerate(reasons) if not reason]
        waiting = [right] if right else []
        while waiting:
            numbers = waiting.pop()
            reason = self._refutation_together([cut for number in numbers for cut in removals[number]])
            if reason and len(numbers) == 1:
                reasons[numbers[0]] = reason
            elif reason:
                middle = len(numbers) // 2
                waiting += [numbers[:middle], numbers[middle:]]
        return reasons

    def _refutation_alone(self, cuts: Sequence[Cut]) -> str:
        twin, _ = self._twin
        layers = [twin.get_submodule(path) for path in {cut.path for cut in cuts if cut.role not in ("in", "number")}]
        try:
            for shifts in self._shifts:
                with _shifted(layers, shifts):
                    runs = _small_and_silent(twin, self._parts, cuts)
                parts = (run.chunk(len(shifts)) for run in (*runs, self._untouched))
                for shift, small, silent, untouched in zip(shifts, *parts, strict=True):
                    if not shift and not _is_visible(silent, untouched):
                        self._require_visible(cuts)
                    if not shift or torch.isfinite(silent).all():
                        _require_equal(small, silent)
        except CompressionError as error:
            return str(error)
        return ""

    def _refutation_together(self, cuts: Sequence[Cut]) -> str:
        try:
            for module, inputs in (self._real, self._twin):
                _require_equal(*_small_and_silent(module, inputs, cuts))
        except CompressionError as error:
            return str(error)
        return ""

    def _require_visible(self, cuts: Sequence[Cut]) -> None:
        """On all inputs, where a few show nothing."""
        with silenced_for_now(self._twin[0], cuts):
            silent = outputs(*self._twin)
        if not _is_visible(silent, outputs(*self._twin)):
            raise CompressionError(
                "the channels have no visible effect on the output, so nothing can be proven about them"
            )

    def _has_parts(self) -> bool:
        """Whether what is done to the layers in one part of a batch stays there."""
        twin, _ = self._twin
        layers = [one for one in twin.modules() if next(one.children(), None) is None and [*one.parameters()]]
        try:
            with _shifted(layers, [0.0, 30.0, 0.0]):
                first, _, last = outputs(twin, self._parts).chunk(3)
        except Exception:
            # Networks that move their batch about may not run so, and are then not in parts.
            return False
        wanted, _, _ = self._untouched.chunk(3)
        return not _is_visible(first, wanted) and not _is_visible(last, wanted)


@contextmanager
def _shifted(layers: Iterable[nn.Module], shifts: Sequence[float]) -> Iterator[None]:
    """Adds to what layers give, but not to what is silent: a shift in each of equal parts of the batch."""

    def move(layer: nn.Module, inputs: object, output: object) -> object:
        if not isinstance(layer, nn.RNNBase):
            return _moved(output, shifts, 0)
        sequence, state = cast(tuple[object, object], output)
        return _moved(sequence, shifts, 0 if layer.batch_first else 1), _moved(state, shifts, 1)

    handles = [layer.register_forward_hook(move) for layer in layers]
    with hooked(handles):
        yield


def _moved(output: object, shifts: Sequence[float], axis: int) -> object:
    if isinstance(output, tuple):
        return tuple(_moved(one, shifts, axis) for one in output)
    if not isinstance(output, torch.Tensor):
        return output
    each, rest = divmod(output.shape[axis], len(shifts))
    if rest:
        raise CompressionError(f"{output.shape[axis]} rows do not fall into {len(shifts)} parts")
    by_row = output.new_tensor(shifts).repeat_interleave(each)
    return output + (output != 0) * by_row.view(-1, *[1] * (output.ndim - 1)).transpose(0, axis)


def refutation(module: nn.Module, cuts: Sequence[Cut], *, example: torch.Tensor, seed: int = 0) -> str:
    """As `Prover.refutation`, for a single question."""
    return Prover(module, example, seed=seed).refutation(cuts)


def outputs(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What a network computes in evaluation mode. The module is not changed.

    Raises CompressionError when that is not one tensor.
    """
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            result = module(inputs)
    finally:
        module.train(training)
    if not isinstance(result, torch.Tensor):
        many = f" of {len(result)}" if isinstance(result, (tuple, list)) else ""
        many = f" of {', '.join(map(repr, result))}" if isinstance(result, dict) else many
        raise CompressionError(
            f"the network gives a {type(result).__name__}{many}, and one tensor is expected; "
            "wrap it in a module that gives what the task scores"
        )
    return result


def in_double(module: nn.Module, example: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """A copy in double precision and the example with it, or both as they are if the network refuses."""
    precise = copy.deepcopy(module).double()
    wide = example.double() if example.is_floating_point() else example
    try:
        outputs(precise, wide)
    except (RuntimeError, TypeError, ValueError):
        return module, example
    return precise, wide


def randomised(module: nn.Module, *, seed: int) -> nn.Module:
    """A copy with random weights of a size that keeps signals alive, and random normalisation statistics.

    Lists of positive numbers stay positive, since they may be variances or sizes.
    """
    twin = copy.deepcopy(module)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*twin.named_parameters(), *twin.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            draw = torch.randn(tensor.shape, generator=random, dtype=torch.float64)
            leaf = name.rpartition(".")[2]
            if tensor.ndim >= 2:
                draw = draw * math.sqrt(2.0 / max(1, tensor[0].numel()))
            elif leaf == "running_var" or leaf.startswith("weight") or bool((tensor > 0).all()):
                draw = 0.75 + 0.5 * torch.rand(tensor.shape, generator=random, dtype=torch.float64)
            else:
                draw = 0.2 * draw
            tensor.copy_(draw)
    return twin


def rows_for(example: torch.Tensor) -> int:
    """How many inputs like those of a batch [N, *shape] show what a network does."""
    return max(ROWS[0], min(ROWS[1], VALUES // max(1, example[0].numel())))


def random_inputs(module: nn.Module, example: torch.Tensor, *, rows: int, seed: int, scale: float = 1) -> torch.Tensor:
    """Random inputs [rows, *shape] like a batch [N, *shape], of standard deviation `scale`.

    A network that only runs on some numbers, such as one that looks up tokens, gets those of the example, each from
    a row drawn by chance.
    """
    random = torch.Generator().manual_seed(seed)
    shape = (rows, *example.shape[1:])
    if example.is_floating_point():
        drawn = (scale * torch.randn(shape, generator=random, dtype=torch.float64)).to(example.dtype)
        try:
            outputs(module, drawn)
        except (IndexError, RuntimeError, ValueError, TypeError, AssertionError):
            pass
        else:
            return drawn
    return example.gather(0, torch.randint(len(example), shape, generator=random))


def _small_and_silent(
    module: nn.Module, inputs: torch.Tensor, cuts: Sequence[Cut]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network gives without the channels, and with silent ones.

    Raises CompressionError when it does not run without them, or gives another shape.
    """
    with silenced_for_now(module, cuts):
        wanted = outputs(module, inputs)
    # A traced network prints its code to stderr before it raises; the reason below says enough.
    with removed_for_now(module, cuts), redirect_stderr(io.StringIO()):
        try:
            found = outputs(module, inputs)
        except Exception as error:
            # Whatever a network raises here means that its parts no longer fit together.
            raise CompressionError(f"the smaller network does not run: {_reason(error)}") from error
    if found.shape != wanted.shape:
        raise CompressionError(f"the output changes its shape from {tuple(wanted.shape)} to {tuple(found.shape)}")
    return found, wanted


def _require_equal(found: torch.Tensor, wanted: torch.Tensor) -> None:
    difference = relative_difference(found, wanted)
    if not difference <= _tolerance(wanted):
        raise CompressionError(
            f"removing the channels is not the same as silencing them: outputs differ by {difference:.1e}"
        )


def _is_visible(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return not relative_difference(found, wanted) <= 10 * _tolerance(wanted)


def relative_difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference over the largest wanted value; not a number when either has one."""
    scale = wanted.abs().max().clamp_min(1e-12)
    return float(((found - wanted).abs().max() / scale).item())


def _tolerance(like: torch.Tensor) -> float:
    return TOLERANCE.get(like.dtype, 1e-4)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if lines and lines[0].startswith("Expected hidden"):
        return "its starting state has a fixed size; leave zeros out, or make them from a number called hidden_size"
    if lines and (shape := re.match(r"shape '(.+)' is invalid for input of size", lines[0])):
        return f"channels are put into a fixed shape, {shape[1]}, as heads of attention are"
    if lines and lines[0].startswith("split_with_sizes expects"):
        return "channels are split into parts of fixed sizes"
    if lines and lines[0].startswith("Given normalized_shape"):
        return "layer normalisation sees its channels, and mixes them"
    if lines and re.search(r"^Given groups=|^running_mean should|shapes cannot be multiplied|to unpack", lines[0]):
        return "channels are split or put together in a way that nothing here follows"
    return lines[0] if lines else type(error).__name__
