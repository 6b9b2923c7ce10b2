"""Proof that channels were removed rightly: silencing them and removing them must give equal outputs.

A dependency graph can be wrong without any error: shapes fit, and the network computes something else. So each
removal is checked by computing. The check runs twice: on the network with the given example, and on a twin
with random weights and inputs, in which no weight is too small to be seen. The twin must also react to the
silencing, else equal outputs would prove nothing. And it must hold with all values of the layer far below zero, then
far above: a maximum over channels takes a silent zero for the largest only if all others are negative.
"""

from __future__ import annotations

import copy
import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression import recurrent_pruning
from netwright.compression.surgery import Cut, removed_for_now, silenced_for_now, width
from netwright.core.errors import CompressionError

SHIFTS = (-30.0, 30.0)
"""Added to the layer's values; signals in the twin are of size 1."""
ROWS, VALUES = (8, 32), 8192
"""Inputs a proof runs on: as many as hold this many values, within the limits. More show nothing more."""
REAL_ROWS = 2
"""Inputs of the network itself; the wiring shows in its random twins."""
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}


class Prover:
    """Proves removals of one network; it works on copies of its own, made once."""

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
        self._untouched = outputs(*self._twin)

    def refutation(self, cuts: Sequence[Cut]) -> str:
        """Why removing the cuts is not proven right, as a sentence; empty when it is proven."""
        try:
            found, _ = _difference(*self._real, cuts)
            if found:
                return found
            twin, inputs = self._twin
            found, silent = _difference(twin, inputs, cuts)
            if found:
                return found
            if relative_difference(silent, self._untouched) <= 10 * _tolerance(inputs):
                return "the channels have no visible effect on the output, so nothing can be proven about them"
            for shift in SHIFTS:
                with _shifted(twin, cuts, shift):
                    found, silent = _difference(twin, inputs[: ROWS[0]], cuts)
                if found and torch.isfinite(silent).all():
                    return found
        except CompressionError as error:
            return str(error)
        return ""


@contextmanager
def _shifted(module: nn.Module, cuts: Sequence[Cut], shift: float) -> Iterator[None]:
    """The module itself with the values of the cuts' layers moved, until the block ends."""
    saved: list[tuple[nn.Module, str, nn.Parameter | None]] = []
    try:
        for path in {cut.path: None for cut in cuts if cut.role not in ("in", "number")}:
            layer = module.get_submodule(path)
            for name, bias in _moved_biases(layer, shift).items():
                saved.append((layer, name, getattr(layer, name)))
                setattr(layer, name, nn.Parameter(bias))
        yield
    finally:
        for layer, name, old in reversed(saved):
            setattr(layer, name, old)


def _moved_biases(layer: nn.Module, shift: float) -> dict[str, torch.Tensor]:
    """The biases that move what a layer gives, each moved; a recurrent layer's are those of its candidate state."""
    if isinstance(layer, nn.RNNBase):
        first = 0 if recurrent_pruning.gates(layer) == 1 else 2 * layer.hidden_size
        names = [f"bias_ih{suffix}" for suffix in recurrent_pruning.suffixes(layer)] if layer.bias else []
        found = {name: layer.get_parameter(name).detach().clone() for name in names}
        for bias in found.values():
            bias[first : first + layer.hidden_size] += shift
        return found
    if isinstance(layer, (nn.Linear, _ConvNd)):
        plain = layer.weight.new_zeros(width(layer, "out"))
        return {"bias": (plain if layer.bias is None else layer.bias.detach()) + shift}
    own = getattr(layer, "bias", None)
    return {"bias": own.detach() + shift} if isinstance(own, nn.Parameter) else {}


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


def _difference(module: nn.Module, inputs: torch.Tensor, cuts: Sequence[Cut]) -> tuple[str, torch.Tensor]:
    """How the network without the channels differs from that with silent ones, and what the latter gives."""
    with silenced_for_now(module, cuts):
        wanted = outputs(module, inputs)
    # A traced network prints its code to stderr before it raises; the reason below says enough.
    with removed_for_now(module, cuts), redirect_stderr(io.StringIO()):
        try:
            found = outputs(module, inputs)
        except Exception as error:
            # Whatever a network raises here means that its parts no longer fit together.
            return f"the smaller network does not run: {_reason(error)}", wanted
    if found.shape != wanted.shape:
        return f"the output changes its shape from {tuple(wanted.shape)} to {tuple(found.shape)}", wanted
    difference = relative_difference(found, wanted)
    if not difference <= _tolerance(inputs):
        reason = f"removing the channels is not the same as silencing them: outputs differ by {difference:.1e}"
        return reason, wanted
    return "", wanted


def relative_difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference over the largest wanted value; not a number when either has one."""
    scale = wanted.abs().max().clamp_min(1e-12)
    return float(((found - wanted).abs().max() / scale).item())


def _tolerance(inputs: torch.Tensor) -> float:
    return TOLERANCE.get(inputs.dtype, 1e-4)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if lines and lines[0].startswith("Expected hidden"):
        return "its starting state has a fixed size; leave zeros out, or make them from a number called hidden_size"
    if lines and (shape := re.match(r"shape '(.+)' is invalid for input of size", lines[0])):
        return f"channels are put into a fixed shape, {shape[1]}, as heads of attention are"
    if lines and lines[0].startswith("split_with_sizes expects"):
        return "channels are split into parts of fixed sizes"
    return lines[0] if lines else type(error).__name__
