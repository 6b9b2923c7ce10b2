"""Every compression pass on sampled networks of every search space: exact, refused with a reason, or wrong.

Nothing is trained. A result is exact when

- its patch and weights, loaded onto the network it came from, give the same outputs bit for bit;
- the exported file computes what the module does, at two batch sizes and on other inputs;
- it has as many parameters as before or fewer, and keeps the forms it claims for its weights;
- and, where a pass promises more, that holds too: `structured_prune` gives what the network with the removed channels
  silenced gives, `low_rank` leaves a network whose weights are of low rank as it was, `fold` and `fine_tune` leave all
  networks as they were, `entropy_code` gives the exported file's outputs bit for bit, and what rounds weights in a file
  stays within a bound.

A row is one pass on one space; its numbers count networks.
"""

from __future__ import annotations

import copy
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression.compression_pass import Pass
from netwright.compression.context import Context, make_context
from netwright.compression.model import Model
from netwright.compression.patch import difference, load_compressed, save_weights
from netwright.compression.proof import outputs, relative_difference
from netwright.core.errors import NetwrightError
from netwright.core.plugins import build, load, names
from netwright.core.shapes import Shapes
from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx
from netwright.search_spaces.packed_graph import layout_of
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.data import AnyArray, Arrays, Preprocessing
from netwright.tasks.packed_graphs import pack_graph
from netwright.tasks.settings import Training
from netwright.tasks.targets import ClassNumbers, Targets
from netwright.tasks.task import Task

NETWORKS = int(os.environ.get("NETWRIGHT_NETWORKS", "1"))
"""Networks of every space."""
SETTINGS: dict[str, dict[str, Any]] = {
    "structured_prune": {"ratio": 0.4, "round_to": 1, "min_channels": 2},
    "low_rank": {"energy": 1 - 1e-9, "min_gain": 0.0},
}
"""Settings that make a pass do much, or what it must do exactly; the others run with their defaults."""
FILE_BOUND = 1e-3
"""Largest difference between an exported file and its module, relative to the largest output."""
ROUNDED_BOUND = 0.25
"""The same for 8-bit files of networks whose weights are random, the worst case for rounding."""
UNCHANGED_BOUND = 1e-4
LOW_RANK_BOUND = 1e-2
PRESERVING = ("fold", "fine_tune")


class AnyInput(ClassNumbers):
    """Class numbers for inputs of any number of axes."""

    input_axes: ClassVar[tuple[int, ...]] = (2, 3, 4)


class Noise(Task):
    """Random inputs of a shape, or words below `tokens`, or random graphs; and a loss that any network has."""

    shape: tuple[int, ...]
    results: tuple[int, ...]
    tokens: int = 0
    graphs: bool = False

    def targets(self) -> Targets:
        return AnyInput()

    def preprocess(self, inputs: AnyArray) -> Preprocessing:
        return Preprocessing.of(inputs).without()

    def load(self) -> Arrays:
        classes = min(max(2, self.results[0] if len(self.results) == 1 else 2), 10)  # each needs a few samples
        return Arrays(train=(self.inputs(160, seed=0), np.arange(160) % classes))

    def inputs(self, count: int, *, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Samples [count, *shape]."""
        random = np.random.default_rng(seed)
        if self.tokens:
            return random.integers(self.tokens, size=(count, *self.shape)).astype(np.float32)
        if self.graphs:
            return np.stack([self._graph(random) for _ in range(count)])
        return random.standard_normal((count, *self.shape)).astype(np.float32)

    def _graph(self, random: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
        layout = layout_of(self.shape, edges=0)
        nodes = int(random.integers(layout.nodes // 2, layout.nodes + 1))
        joined = np.triu(random.random((nodes, nodes)) < 2 / nodes, 1)
        features = random.standard_normal((nodes, layout.features))
        return pack_graph(features, joined | joined.T, size=layout.nodes)

    def shapes(self) -> Shapes:
        return Shapes(self.shape, self.results[0] if len(self.results) == 1 else self.results, tokens=self.tokens)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
        del targets, label_smoothing
        return outputs.square().mean()


@dataclass(frozen=True)
class Finding:
    """What came of one pass on one network: `exact`, `refused` or `wrong`, and why."""

    outcome: str
    reason: str = ""


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row for each space and pass, then one per pass over all spaces."""
    rows = []
    for space in names("space"):
        found: dict[str, list[Finding]] = {}
        for number, (net, shapes) in enumerate(networks(space, NETWORKS)):
            for name in names("pass"):
                finding = audit(name, net, shapes, folder / f"{space}-{number}-{name}", graphs=space == "graph")
                found.setdefault(name, []).append(finding)
        rows += [_row(space, name, findings) for name, findings in found.items()]
    return rows + [_total(name, [row for row in rows if row["pass"] == name]) for name in names("pass")]


def networks(name: str, count: int) -> Iterator[tuple[nn.Module, Shapes]]:
    """Networks drawn from a space, their inputs taking turns, with normalisation that is not the identity."""
    space = build("space", {"kind": name, **load("space", name).small})
    assert isinstance(space, SearchSpace)
    examples = space.examples()
    for number in range(count):
        shapes = examples[number % len(examples)]
        net = space.build(space.sample(random.Random(number)), shapes, seed=number).eval()
        draw = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for key, value in net.state_dict().items():
                if key.endswith("running_mean"):
                    value.copy_(0.2 * torch.randn(value.shape, generator=draw))
                elif key.endswith("running_var"):
                    value.copy_(0.6 + 0.8 * torch.rand(value.shape, generator=draw))
        yield net, shapes


def audit(name: str, net: nn.Module, shapes: Shapes, folder: Path, *, graphs: bool = False) -> Finding:
    """Runs a pass on a network and tells what came of it."""
    one = build("pass", {"kind": name, **SETTINGS.get(name, {})})
    assert isinstance(one, Pass)
    if name == "low_rank":
        net = of_low_rank(net)
    task = Noise(shape=shapes.input, results=shapes.output_shape, tokens=shapes.tokens, graphs=graphs)
    training = Training(epochs=1, samples=64)
    context = make_context(task, net, workspace=folder, training=training).without_training()
    model = Model(net)
    try:
        applies = any(verdict.applies for verdict in one.check(model, context))
        done = one.apply(model, context)
    except NetwrightError as error:
        return Finding("refused", str(error))
    if not applies:
        return Finding("wrong", "check finds nothing to do, and apply does something")
    try:
        wrong = _file_mistake(name, done, context) if one.stage == "file" else _mistake(one, name, model, done, context)
    except NetwrightError as error:
        wrong = str(error)
    return Finding("wrong", wrong) if wrong else Finding("exact")


def of_low_rank(net: nn.Module, rank: int = 2) -> nn.Module:
    """A copy whose weight matrices and convolutions have a low rank, so that thin factors say all of them."""
    thin = copy.deepcopy(net)
    for layer in thin.modules():
        if isinstance(layer, (nn.Linear, nn.RNNBase)) or (isinstance(layer, _ConvNd) and layer.groups == 1):
            for key, weight in layer.named_parameters(recurse=False):
                if key.startswith("weight") and weight.ndim >= 2:
                    _make_thin(weight, rank)
    return thin


def _make_thin(weight: nn.Parameter, rank: int) -> None:
    """Keeps a few directions of the first two dimensions."""
    with torch.no_grad():
        for dimension in (0, 1) if weight.ndim > 2 else (0,):
            rows = weight.double().movedim(dimension, 0)
            left = torch.linalg.svd(rows.flatten(1), full_matrices=False).U[:, :rank]
            flat = left @ (left.T @ rows.flatten(1))
            weight.copy_(flat.view(rows.shape).movedim(0, dimension))


def _mistake(one: Pass, name: str, model: Model, done: Model, context: Context) -> str:
    """What is wrong with the network that a pass made; empty when nothing is."""
    fresh = _fresh(context, 5)
    found = outputs(done.module, fresh)
    if not torch.isfinite(found).all():
        return "the outputs are not finite"
    patch = difference(model.module, done.module)
    weights = context.workspace / "weights.safetensors"
    save_weights(done.module, weights)
    loaded = load_compressed(model.module, patch=patch, weights=weights).eval()
    if not torch.equal(outputs(loaded, fresh), found):
        return "the patch and the weights give another network"
    if _count(done.module) > _count(model.module):
        return f"it has more parameters than before: {_count(done.module)} instead of {_count(model.module)}"
    if done.with_module(done.module).forms != done.forms:
        return "a weight does not have the form that is claimed for it"
    if wrong := _broken_promise(one, name, model, done, context):
        return wrong
    path = context.workspace / "module.onnx"
    export_onnx(done.module, path, example=context.example)
    return _file_differs(path, done.module, context, FILE_BOUND)


def _broken_promise(one: Pass, name: str, model: Model, done: Model, context: Context) -> str:
    """What a pass promises beyond a network that works, and does not keep."""
    fresh = _fresh(context, 7)
    found = outputs(done.module, fresh)
    if name in PRESERVING:
        away = relative_difference(found, outputs(model.module, fresh))
        return "" if away <= UNCHANGED_BOUND else f"the outputs moved by {away:.1e}"
    if name == "low_rank":
        away = relative_difference(found, outputs(model.module, fresh))
        return "" if away <= LOW_RANK_BOUND else f"factors of the full rank move the outputs by {away:.1e}"
    if name == "structured_prune":
        away = relative_difference(found, outputs(silenced(one, model.module, context), fresh))
        return "" if away <= UNCHANGED_BOUND else f"the outputs are {away:.1e} from those of the silenced network"
    return ""


def silenced(one: Pass, module: nn.Module, context: Context) -> nn.Module:
    """The network of the old size in which the channels that the pass removes give nothing."""
    from netwright.compression.passes.structured_prune import StructuredPrune, dependency_groups
    from netwright.compression.pruning import find_couplings, prune_once, start_of
    from netwright.compression.surgery import silence

    assert isinstance(one, StructuredPrune)
    couplings = find_couplings(module, context.example_tensor(), dependency_groups, seed=context.seed).proven
    start = start_of(module, couplings, one, context)
    return silence(module, prune_once(module, couplings, one, context, step=1, start=start).cuts)


def _file_mistake(name: str, done: Model, context: Context) -> str:
    """What is wrong with the file that a pass made; empty when nothing is."""
    if done.file is None:
        return "it made no file"
    if name == "entropy_code":
        plain = context.workspace / "plain.onnx"
        export_onnx(done.module, plain, example=context.example)
        fresh = _fresh(context, 7).numpy()
        same = np.array_equal(Session(plain)(fresh), Session(done.file)(fresh))
        return "" if same else "the archive gives another network than the file"
    return _file_differs(done.file, done.module, context, ROUNDED_BOUND)


def _file_differs(path: Path, module: nn.Module, context: Context, bound: float) -> str:
    session = Session(path)
    for batch in (1, 3):
        fresh = _fresh(context, 11 + batch)[:batch]
        wanted = outputs(module, fresh)
        found = torch.from_numpy(session(fresh.numpy()))
        if found.shape != wanted.shape:
            return f"the file gives the shape {tuple(found.shape)} for a batch of {batch}, not {tuple(wanted.shape)}"
        away = relative_difference(found, wanted)
        if not away <= bound:
            return f"the file is {away:.1e} from its module at a batch of {batch}"
    return ""


def _fresh(context: Context, seed: int) -> torch.Tensor:
    """Inputs that no pass has seen, like those of the task."""
    assert isinstance(context.task, Noise)
    return torch.from_numpy(context.task.inputs(6, seed=seed))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _row(space: str, name: str, findings: list[Finding]) -> dict[str, Any]:
    counts = Counter(finding.outcome for finding in findings)
    reasons = {
        outcome: next((f.reason for f in findings if f.outcome == outcome), "") for outcome in ("refused", "wrong")
    }
    return {
        "name": f"{space} x {name}",
        "space": space,
        "pass": name,
        **{outcome: counts[outcome] for outcome in ("exact", "refused", "wrong")},
        **{f"{outcome}_because": reason[:160] for outcome, reason in reasons.items() if reason},
    }


def _total(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    sums = {outcome: sum(row[outcome] for row in rows) for outcome in ("exact", "refused", "wrong")}
    return {"name": f"all x {name}", "space": "all", "pass": name, **sums}
