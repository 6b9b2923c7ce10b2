"""Says a network as calls of torch's operators, in plain JSON that torch alone can run."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netwright.core.errors import ExportError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node


def calls_of(program: ExportedProgram, *, stored: Mapping[str, str]) -> dict[str, Any]:
    """The calls of a program of one input and one output, for `netwright.export.calls` to run; weights are named.

    `stored` has the names of weights that are in the file under another one. Raises ExportError for what cannot be said
    so, such as a loop, or a network that changes its own weights.
    """
    from torch import Tensor

    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1 or signature.buffers_to_mutate:
        raise ExportError("only networks of one input and one output that change no weights can be said as calls")
    weights = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    state = program.state_dict.keys()
    names: dict[str, str] = {str(signature.user_inputs[0]): "input"}
    constants: dict[str, Any] = {}
    for given in [*weights, *signature.inputs_to_lifted_tensor_constants]:
        target = weights.get(given) or signature.inputs_to_lifted_tensor_constants[given]
        names[given] = stored.get(target, target) if target in state else f"constant {given}"
        if target not in state:
            value = program.constants[target]
            assert isinstance(value, Tensor)
            constants[names[given]] = {"dtype": _plain_name(value.dtype), "data": value.tolist()}
    result = str(signature.user_outputs[0])
    calls = []
    for node in program.graph.nodes:
        if node.op != "call_function" or (not node.users and "assert" in str(node.target)):
            continue
        names[node.name] = "output" if node.name == result else f"step {node.name}"
        keywords = {name: _said(one, names) for name, one in node.kwargs.items()}
        calls.append([names[node.name], _operator_name(node), _said(list(node.args), names), keywords])
    if names.get(result) != "output":
        raise ExportError("the network gives back what it was given")
    return {"calls": calls, "constants": constants}


def _operator_name(node: Node) -> str:
    from torch._ops import OpOverload

    from netwright.export.calls import SIZES

    target = node.target
    if isinstance(target, OpOverload) and target.namespace == "aten":
        return str(target)
    name = getattr(target, "__name__", str(target))
    if target is getattr(operator, name, None) and name in SIZES:
        return f"operator.{name}"
    raise ExportError(f"{name} cannot be said as a call of one of torch's operators")


def _said(part: Any, names: Mapping[str, str]) -> Any:
    """Arguments as plain JSON."""
    import torch
    from torch.fx import Node

    from netwright.export.calls import NAMED

    if isinstance(part, Node):
        if part.name not in names:
            raise ExportError(f"{part.name} is a part of the network that cannot be said as a call")
        return {"value": names[part.name]}
    if isinstance(part, (list, tuple)):
        return [_said(one, names) for one in part]
    if isinstance(part, NAMED):
        return {"torch": _plain_name(part)}
    if isinstance(part, torch.device):
        return str(part)
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    raise ExportError(f"an argument of type {type(part).__name__} cannot be said in JSON")


def _plain_name(value: Any) -> str:
    return str(value).removeprefix("torch.")
