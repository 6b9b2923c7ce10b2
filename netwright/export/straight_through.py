"""Operators that only gradients need do not go into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def drop_straight_through(model: ir.Model) -> None:
    """Take out sums with a clipped value less itself, by which gradients go straight through a sign, in place.

    What is clipped is finite, so that its difference from itself is zero.
    """
    from onnx_ir.convenience import replace_all_uses_with
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    sums = [node for node in model.graph if node.op_type == "Add" and sum(map(_is_zero, node.inputs)) == 1]
    for node in sums:
        (rest,) = (value for value in node.inputs if not _is_zero(value))
        if rest is not None and not node.outputs[0].is_graph_output():
            replace_all_uses_with(node.outputs[0], rest)
    if sums:
        RemoveUnusedNodesPass()(model)


def _is_zero(value: ir.Value | None) -> bool:
    made = value.producer() if value is not None else None
    if made is None or made.op_type != "Sub" or made.inputs[0] is not made.inputs[1] or made.inputs[0] is None:
        return False
    clip = made.inputs[0].producer()
    return clip is not None and clip.op_type == "Clip"
