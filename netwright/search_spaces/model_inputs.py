"""Several inputs of a network as one tensor, which is what a layer graph and its tasks have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from netwright.core.errors import SpaceError


def joined_inputs(inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Batches of several inputs as one, in single precision: (batch, ...) each -> (batch, ...).

    They are joined along the first axis of a sample where the others are alike, as the channels of images of one
    size, else all values of one stand after those of another. A single input stays as it is.
    """
    if len(inputs) == 1:
        return inputs[0]
    return torch.cat([x.float() if _alike(inputs) else x.float().reshape(len(x), -1) for x in inputs], 1)


def check_inputs(example: Any) -> tuple[torch.Tensor, ...]:
    """The inputs of an example, a batch of each; raises SpaceError for what is none."""
    inputs = tuple(example) if isinstance(example, (tuple, list)) and len(example) else (example,)
    for given in inputs:
        least = 2 if len(inputs) == 1 else 1
        if not isinstance(given, torch.Tensor) or given.dim() < least or not len(given):
            raise SpaceError(
                "the example must be a tensor with a batch of inputs, or a tuple of one for each input, came "
                f"{type(given).__name__}{f' {tuple(given.shape)}' if isinstance(given, torch.Tensor) else ''}"
            )
    if len({len(given) for given in inputs}) > 1:
        raise SpaceError(f"the inputs must be as many samples each, came {[len(given) for given in inputs]}")
    return inputs


@dataclass(frozen=True, slots=True)
class Apart:
    """How the inputs are taken from the tensor that they were joined to."""

    shapes: tuple[tuple[int, ...], ...]
    types: tuple[torch.dtype, ...]
    alike: bool

    @classmethod
    def of(cls, inputs: Sequence[torch.Tensor]) -> Apart:
        """For inputs like these."""
        return cls(tuple(tuple(x.shape[1:]) for x in inputs), tuple(x.dtype for x in inputs), _alike(inputs))

    def taken(self, whole: Any) -> Iterator[Any]:
        """Each input of a tensor, or of what stands for one."""
        if len(self.shapes) == 1:
            yield whole
            return
        start = 0
        for shape, dtype in zip(self.shapes, self.types, strict=True):
            size = shape[0] if self.alike else torch.Size(shape).numel()
            part = whole.narrow(1, start, size)
            start += size
            if not self.alike and len(shape) != 1:
                part = part.unflatten(1, shape) if shape else part.squeeze(1)
            yield part if dtype.is_floating_point else part.to(dtype)


def _alike(inputs: Sequence[torch.Tensor]) -> bool:
    return len({tuple(x.shape[2:]) for x in inputs}) == 1 and all(x.dim() > 1 for x in inputs)
