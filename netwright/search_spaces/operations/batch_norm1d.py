"""Batch normalisation of the features of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import require_sequence
from netwright.search_spaces.operations.batch_norm import BatchNorm

if TYPE_CHECKING:
    from torch import fx, nn


class BatchNorm1d(BatchNorm):
    """Normalises each feature of a sequence (time, features) over the batch and all its steps."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return require_sequence(shapes[0], "batch normalisation of a sequence")

    def params(self, shapes: Sequence[Shape]) -> int:
        return 2 * shapes[0][1] if self.affine else 0

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.BatchNorm1d(shapes[0][1], eps=self.epsilon, momentum=self.momentum, affine=self.affine)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        (x,) = inputs
        # a convolution before it has just turned its result: without turning it twice the two can be folded
        turned = x.target is torch.transpose and x.args[1:] == (1, 2)
        features = x.args[0] if turned else graph.call_function(torch.transpose, (x, 1, 2))
        return graph.call_function(torch.transpose, (graph.call_module(name, (features,)), 1, 2))
