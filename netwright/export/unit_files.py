"""Many small networks exported in one go: an ONNX file each, some of them with several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from netwright.core.errors import ExportError
from netwright.evaluation.latency_units import Unit
from netwright.export.onnx_shapes import known_shapes
from netwright.export.to_onnx import export_onnx

if TYPE_CHECKING:
    from torch import fx

FLOAT = onnx.TensorProto.FLOAT


def export_units(units: Mapping[str, Unit], folder: Path, *, timeout_s: float = 600.0) -> dict[str, Path | str]:
    """An ONNX file at batch 1 of every unit, by its name; a reason in its place when a unit cannot be exported.

    One export serves all of them, because each costs about a second: a network of all units side by side is
    exported and its file cut apart. When that fails the units are tried in halves, so that one that the exporter
    refuses costs the others nothing.
    """
    if not units:
        return {}
    whole = folder / "units.onnx"
    try:
        module = _side_by_side(list(units.values()))
        total = sum(prod(shape) for unit in units.values() for shape in unit.input_shapes)
        export_onnx(module, whole, example=np.zeros((1, total), np.float32), dynamic_batch=False, timeout_s=timeout_s)
        return _cut_apart(whole, list(units), folder)
    except ExportError as error:
        names = list(units)
        if len(names) == 1:
            return {names[0]: str(error)}
        half = len(names) // 2
        parts = (names[:half], names[half:])
        return {k: v for part in parts for k, v in export_units({n: units[n] for n in part}, folder).items()}
    finally:
        whole.unlink(missing_ok=True)


def copies_of(model: Any, count: int) -> Any:
    """A model that runs `count` copies of a model, each with inputs, weights and results of its own.

    Of its own, because a runtime computes what is equal only once.
    """
    graph = onnx.GraphProto(name="copies")
    for number in range(count):
        prefix = f"copy{number}/"
        for kind in ("input", "output", "initializer"):
            for entry in getattr(model.graph, kind):
                added = getattr(graph, kind).add()
                added.CopyFrom(entry)
                added.name = prefix + entry.name
        for node in model.graph.node:
            added = graph.node.add()
            added.CopyFrom(node)
            added.name = prefix + node.name
            for names in (added.input, added.output):
                names[:] = [prefix + name if name else "" for name in names]
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def do_nothing() -> Any:
    """A model that gives out its input of one number: what a call costs."""
    shape = [1, 1]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "nothing",
        [helper.make_tensor_value_info("input", FLOAT, shape)],
        [helper.make_tensor_value_info("output", FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _side_by_side(units: Sequence[Unit]) -> fx.GraphModule:
    """A torch module whose one input [1, values] is dealt out to all units, and whose result is all of theirs."""
    import torch
    from torch import fx, nn

    root, steps, flat = nn.Module(), fx.Graph(), []
    source = steps.placeholder("input")
    offset = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for number, unit in enumerate(units):
            values = []
            for shape in unit.input_shapes:
                part = steps.call_function(torch.narrow, (source, 1, offset, prod(shape)))
                values.append(steps.call_method("reshape", (part, (1, *shape))))
                offset += prod(shape)
            shapes = list(unit.input_shapes)
            for place, operation in enumerate(unit.operations):
                module = operation.module(shapes)
                path = f"unit{number}_{place}"
                if module is not None:
                    root.add_module(path, module)
                values = [operation.emit(steps, path, values)]
                shapes = [operation.output_shape(shapes)]
            flat.append(steps.call_method("reshape", (values[0], (1, -1))))
    steps.output(steps.call_function(torch.cat, (flat, 1)))
    return fx.GraphModule(root, steps, class_name="Units")


def _cut_apart(whole: Path, names: Sequence[str], folder: Path) -> dict[str, Path | str]:
    """The file of each unit, cut out of the file of all of them; raises ExportError when there are not as many."""
    model = onnx.load(str(whole))
    makers = {name: node for node in model.graph.node for name in node.output}
    last = makers.get(model.graph.output[0].name)
    ends = list(last.input) if last is not None and last.op_type == "Concat" else [model.graph.output[0].name]
    if len(ends) != len(names):
        raise ExportError(f"{len(names)} units were exported, and {len(ends)} came out")
    shapes, _ = known_shapes(model, {})
    found: dict[str, Path | str] = {}
    for number, (name, end) in enumerate(zip(names, ends, strict=True)):
        maker = makers.get(end)
        if maker is not None and maker.op_type == "Reshape":
            end = maker.input[0]
        path = folder / f"{number:04d}.onnx"
        try:
            onnx.save(_part(model, end, makers, shapes), str(path))
        except KeyError as error:
            found[name] = f"the shape of {error} inside it is not known"
        else:
            found[name] = path
    return found


def _part(model: Any, end: str, makers: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """What makes the tensor `end` out of what was dealt out; its inputs are what was dealt out."""
    source = model.graph.input[0].name
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    wanted, inputs, used = [end], [], set()
    nodes: dict[int, Any] = {}
    seen = set()
    while wanted:
        name = wanted.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        if name in initializers:
            used.add(name)
        elif _dealt_out(name, source, makers):
            inputs.append(name)
        else:
            node = makers[name]
            nodes[id(node)] = node
            wanted += node.input
    graph = onnx.GraphProto(name="unit")
    graph.node.extend(node for node in model.graph.node if id(node) in nodes)
    graph.initializer.extend(initializers[name] for name in sorted(used))
    for entries, tensors in ((graph.input, sorted(inputs)), (graph.output, [end])):
        entries.extend(helper.make_tensor_value_info(name, FLOAT, list(shapes[name])) for name in tensors)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _dealt_out(name: str, source: str, makers: Mapping[str, Any]) -> bool:
    """Whether a tensor is a piece of the input of all units, as it is handed to one of them."""
    if name == source:
        return True
    maker = makers.get(name)
    if maker is None or maker.op_type not in {"Slice", "Reshape"}:
        return False
    before = maker.input[0]
    if before == source:
        return True
    cutter = makers.get(before)
    return maker.op_type == "Reshape" and cutter is not None and cutter.op_type == "Slice" and cutter.input[0] == source
