"""Deep Compression on MNIST: a LeNet is trained, pruned, shared and coded, and every stage's bytes are counted.

What the passes see is the training part, 5,000 of its samples for validation. Errors are of the test part, in percent,
by the exported file in its runtime; of the last stage by the file that the archive gives back.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.recipe import Recipe, Stage, run_recipe
from netwright.compression.store import FolderStore
from netwright.core.seeds import derive_seed
from netwright.evaluation.latency import LatencyProtocol
from netwright.export.coding.archive import read_archive
from netwright.export.onnx_runtime import Session
from netwright.export.scoring import score_file
from netwright.runs.stages import StageMeter
from netwright.tasks.checkpoint import digest_of
from netwright.tasks.settings import Training
from netwright.tasks.task import Task
from netwright.tasks.training import evaluate_split, fit

INDEX_BITS = 5
"""Bits of a distance between two weights in the paper's count; a longer distance needs a zero in between."""


@dataclass(frozen=True, slots=True)
class Case:
    """A network, how its reference is trained, and the recipes to compress it by, each a row of the benchmark.

    What is compressed is taught by the reference, or by the reference of the case `teacher`.
    """

    name: str
    build: Callable[[], nn.Module]
    task: Task
    training: Training
    recipes: Mapping[str, Recipe]
    teacher: Case | None = None


def recipe(*passes: dict[str, Any] | str, training: dict[str, Any], distillation: dict[str, Any]) -> Recipe:
    """A recipe from plain data, as a user's file has it."""
    return Recipe.parse({"passes": list(passes), "fine_tune": training, "distillation": distillation})


def rows(case: Case, folder: Path) -> list[dict[str, Any]]:
    """Train the reference, then run every recipe; recipes that begin alike share the stages they begin with.

    The environment variable NETWRIGHT_SEED is the seed of everything but the teacher, 0 unless given.
    """
    seed = int(os.environ.get("NETWRIGHT_SEED", "0"))
    net = reference(case, folder / f"reference-{seed}.safetensors", seed=seed)
    teacher = reference(case.teacher, folder / "teacher-0.safetensors", seed=0) if case.teacher else net
    return [compressed(case, net, name, teacher=teacher, folder=folder, seed=seed) for name in case.recipes]


def reference(case: Case, checkpoint: Path, *, seed: int) -> nn.Module:
    """The trained network; a training that was cut short goes on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("reference", seed))
        net = case.build()
    fit(net, case.task, training=case.training, seed=seed, checkpoint=checkpoint)
    return net.eval()


def compressed(case: Case, net: nn.Module, name: str, *, teacher: nn.Module, folder: Path, seed: int) -> dict[str, Any]:
    """One row: the recipe run on the reference, each stage beside the paper's way of counting."""
    chosen = case.recipes[name]
    meter = StageMeter(case.task, folder / "models", LatencyProtocol.screening())
    context = make_context(
        case.task,
        net,
        workspace=folder / "work",
        training=chosen.fine_tune,
        distillation=chosen.distillation,
        seed=seed,
    )
    context = replace(context, original=teacher)
    meter.begin(Model(net))
    salt = f"{folder} {digest_of(teacher.state_dict())}"
    result = run_recipe(Model(net), chosen, context, meter.measure, store=FolderStore(folder / "stages"), salt=salt)
    stages = [described(stage, meter, case.task) for stage in result.stages]
    archive = result.model.archive
    assert archive is not None, f"{name}: {result.stages[-1].reason}"
    decoded = folder / f"{name}.onnx"
    read_archive(archive, decoded)
    size, full = archive.stat().st_size, int(stages[0]["file_bytes"])
    return {
        "name": name,
        "ratio": full / size,
        "size_bytes": size,
        "reference_bytes": full,
        "error_reference": stages[0]["error"],
        "teacher": (case.teacher or case).name,
        "error_teacher": percent_wrong(evaluate_split(teacher, case.task, case.task.test_split())),
        "error": error(decoded, case.task),
        "paper_ratio": stages[0]["paper_bytes"] / stages[-1]["paper_bytes"],
        "entropy_bound_bytes": result.row["entropy_bound_bytes"],
        "bytes": result.row["bytes"],
        "seed": seed,
        "stages": stages,
    }


def error(file: Path, task: Task) -> float:
    """Test error in percent of an exported file."""
    return percent_wrong(score_file(Session(file, threads=1), task, task.test_split()))


def percent_wrong(scores: Mapping[str, float]) -> float:
    """What the accuracy leaves, in percent."""
    return round(100 - 100 * scores["accuracy"], 4)


def described(stage: Stage, meter: StageMeter, task: Task) -> dict[str, Any]:
    """One line of the paper's table, with the bytes of whole files beside it."""
    assert stage.model is not None, f"{stage.name}: {stage.reason}"
    file = meter.folder.parent / stage.row["file"]
    weights = matrices(stage.model.module)
    coded = stage.model.archive is not None
    return {
        "stage": stage.name,
        "kept": stage.kept,
        "reason": stage.reason,
        "error": error(file, task),
        "validation_error": percent_wrong(stage.row),
        "weights_percent": 100 * sum(np.count_nonzero(w) for w in weights) / sum(w.size for w in weights),
        "file_bytes": stage.row["file_bytes"],
        "gzip_bytes": stage.row["gzip_bytes"],
        "coded_bytes": stage.row["coded_bytes"],
        "paper_bytes": sum(paper_bits(w, coded=coded) for w in weights) / 8,
        "seconds": round(stage.seconds, 1),
    }


def matrices(net: nn.Module) -> list[np.ndarray[Any, Any]]:
    """The weights without biases, which the paper leaves out."""
    return [parameter.detach().numpy() for parameter in net.parameters() if parameter.ndim > 1]


def paper_bits(weight: np.ndarray[Any, Any], *, coded: bool) -> float:
    """Bits as the paper counts them: values or indices into a codebook, distances of 5 bits, the codebook.

    With `coded`, indices and distances by a Huffman code each. A distance that is too long is bridged by zeros.
    """
    flat = weight.ravel()
    places = np.flatnonzero(flat)
    if len(places) == len(flat):
        return 32 * len(flat)
    longest = 2**INDEX_BITS - 1
    distances = np.diff(places, prepend=-1) - 1
    padding = distances // (longest + 1)
    book, numbers = np.unique(flat[places], return_inverse=True)
    if len(book) > 256:
        return (len(places) + int(padding.sum())) * (32 + INDEX_BITS)
    # bridging zeros are one more value of the codebook
    symbols = np.concatenate([numbers + 1, np.zeros(int(padding.sum()), np.int64)])
    steps = np.concatenate([distances % (longest + 1), np.full(int(padding.sum()), longest)])
    if coded:
        return huffman_bits(np.bincount(symbols)) + huffman_bits(np.bincount(steps)) + 32 * len(book)
    bits = max(1, int(np.ceil(np.log2(len(book) + bool(padding.any())))))
    return len(symbols) * (bits + INDEX_BITS) + 32 * len(book)


def huffman_bits(counts: Sequence[int] | np.ndarray[Any, Any]) -> int:
    """The length in bits of symbols that occur so often, each by its Huffman code."""
    heap = [int(count) for count in counts if count]
    if len(heap) == 1:
        return heap[0]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total
