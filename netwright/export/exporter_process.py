"""The process that exports models: it imports torch and onnxscript once, then forks a child for every job.

A child per job is needed because the exporter keeps state: in one process the second recurrent network
silently loses its dynamic time axis. A fork server of our own rather than multiprocessing's, because that one
is refused inside daemonic workers and shares its settings with the rest of the program.

Frames on stdin: a job's header as JSON, then its body, a pickle made by the process that started this one;
both with their length in 8 bytes before them. Frames on stdout: one answer as JSON per job.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

OPSET = 20


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Send one message."""
    stream.write(len(data).to_bytes(8, "big") + data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Receive one message; None when the other side has closed or died in the middle."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    size = int.from_bytes(head, "big")
    data = stream.read(size)
    return data if len(data) == size else None


def main() -> None:
    """Serve jobs until stdin closes; what the exporter prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    jobs = os.fdopen(os.dup(0), "rb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    can_fork = hasattr(os, "fork")
    if can_fork:
        _preload()
    while (header := read_frame(jobs)) is not None and (body := read_frame(jobs)) is not None:
        job = json.loads(header)
        answer = _in_child(job, body) if can_fork else _answer(job, body)
        write_frame(answers, json.dumps(answer).encode())
        if not can_fork:
            return


def _preload() -> None:
    """Load and warm the exporter on a network without recurrent layers, so that a job finds it ready.

    At every export torch asks for all operators, whose sources are parsed anew each time: here they are kept. What
    the children inherit is frozen, or their garbage collector would search it, and so copy it, again and again.
    """
    import torch
    from onnxscript.values import TracedOnnxFunction
    from torch import nn

    torch.set_num_threads(1)
    parsed = vars(TracedOnnxFunction).get("function_ir")
    if isinstance(parsed, property) and parsed.fget:  # another version may keep them itself
        TracedOnnxFunction.function_ir = property(cache(parsed.fget))
    _export(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)),
        torch.zeros(2, 1, 4, 4),
        {0: "batch"},
    )
    gc.collect()
    gc.freeze()


def _in_child(job: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Run one job in a forked child, and say how it ended even when it crashes or hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as stream:
            stream.write(json.dumps(_answer(job, body)).encode())
        os._exit(0)
    os.close(writing)
    answer = _read_until(reading, seconds=job["timeout_s"])
    if answer is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if answer is None:
        return {"error": f"the exporter did not finish within {job['timeout_s']:g} s"}
    if not answer:
        return {"error": f"the exporter process ended with status {os.waitstatus_to_exitcode(status)}"}
    found: dict[str, Any] = json.loads(answer)
    return found


def _read_until(descriptor: int, *, seconds: float) -> bytes | None:
    """Everything written to a pipe until it closes; None when the time is over first."""
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        while True:
            ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            part = stream.read(65536)
            if not part:
                return b"".join(parts)
            parts.append(part)


def _answer(job: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """The job's result; any exception becomes its last line, for the one who asked."""
    from netwright.export.recurrent_factors import factor_recurrent
    from netwright.export.straight_through import drop_straight_through
    from netwright.export.weight_folding import fold_weights, share_transposed

    try:
        sys.path[:] = job["sys_path"]
        if job["main"]:
            from multiprocessing.spawn import prepare

            prepare(job["main"])
        model, example = pickle.loads(body)  # noqa: S301 -- made by the process that started this one
        axes = {int(axis): name for axis, name in job["axes"].items()}
        program = _export_quickly(model, example, axes)
        drop_straight_through(program.model)
        fold_weights(program.model)
        share_transposed(program.model)
        _name_recurrent(program.model.graph)
        factor_recurrent(program.model)
        _save(program, Path(job["path"]))
    except BaseException as error:
        return {"error": _told(error, name=job["name"])}
    return {"opset": OPSET}


def _export_quickly(model: Any, example: Any, axes: Mapping[int, str]) -> Any:
    """Export with the short cut for recurrent layers, and without it should any of them not be one node."""
    from netwright.export.recurrent_shapes import recurrent_layers, recurrent_nodes, recurrent_shapes_only

    layers = recurrent_layers(model)
    if layers:
        with recurrent_shapes_only():
            program = _export(model, example, axes)
        if recurrent_nodes(program) >= layers:
            return program
    return _export(model, example, axes)


def _export(model: Any, example: Any, axes: Mapping[int, str]) -> Any:
    """The exported program of a model in evaluation mode, with the named axes dynamic."""
    import torch
    from torch.export import Dim

    from netwright.export.recurrent_operator import recurrent_operators

    return torch.onnx.export(
        model.eval(),
        (example,),
        dynamo=True,
        dynamic_shapes=({axis: Dim(name) for axis, name in axes.items()},),
        input_names=["input"],
        output_names=["output"],
        opset_version=OPSET,
        custom_translation_table=recurrent_operators(),
        external_data=False,
        optimize=True,
        verbose=False,
    )


def _name_recurrent(graph: Any) -> None:
    """Call recurrent nodes by the path of their layer, `lstm`, or `lstm.l0` and on where it has several.

    Others are known by the names of their weights, of which the exporter leaves none here.
    """
    layers: dict[str, list[Any]] = {}
    for node in graph:
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
        if node.op_type in {"LSTM", "GRU", "RNN"} and len(scopes) > 1 and scopes[-2]:
            layers.setdefault(scopes[-2], []).append(node)
    for path, nodes in layers.items():
        for number, node in enumerate(nodes):
            node.name = path if len(nodes) == 1 else f"{path}.l{number}"


def _save(program: Any, path: Path) -> None:
    """Write one file without the exporter's notes, which hold source lines and paths of this machine.

    Nor are the shapes of weights stated a second time: in a small network all this takes a tenth of the file.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    from onnx_ir.traversal import RecursiveGraphIterator

    graph = program.model.graph
    ClearMetadataAndDocStringPass()(program.model)
    weights = list(graph.initializers.values())
    made = [value for node in RecursiveGraphIterator(graph) for value in node.outputs]
    for value in (*graph.inputs, *graph.outputs, *weights, *made):
        value.metadata_props.clear()
    for value in weights:
        value.type = value.shape = None
    program.save(path, external_data=False)


def _told(error: BaseException, *, name: str) -> str:
    """The root cause of an error: its type and the last line of its text that says something."""
    from netwright.core.own_code import packs_sequences, values_decide

    while not packs_sequences(error) and (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    if type(error).__name__ == "GuardOnDataDependentSymNode" or packs_sequences(error):
        return values_decide(name, error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


if __name__ == "__main__":
    main()
