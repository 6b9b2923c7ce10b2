"""U-Net with transposed convolutions on cell membranes (ISBI 2012): pruned and int8, by Dice of the files.

Trains a network of the encoder-decoder space on 24 of the 30 slices (some of them for validation), runs the recipe
structured_prune -> quantize, and judges every exported file by the Dice coefficient on the 6 slices that nothing else
has seen, in tiles of 64 x 64 pixels. `kept_dice` says whether the last file's Dice is at most 0.01 below that of its
own fp32 network.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from torch import nn

from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.recipe import Recipe, RecipeResult, run_recipe
from netwright.compression.store import FolderStore
from netwright.evaluation.latency import LatencyProtocol
from netwright.export.onnx_runtime import Session
from netwright.export.scoring import score_file
from netwright.runs.stages import StageMeter
from netwright.search_spaces.spaces.encoder_decoder import EncoderDecoder
from netwright.tasks.kinds.segmentation import Segmentation
from netwright.tasks.settings import Training
from netwright.tasks.training import fit

DATA = Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[3] / "shared" / "data"))
TASK = {"test_fraction": 0.2, "validation_fraction": 0.14, "flip": True, "tile": 64}
TRAINING = Training(epochs=8, batch_size=32, learning_rate=0.01)
FINE_TUNE = Training(epochs=4, batch_size=32, learning_rate=0.004)
PASSES = [{"kind": "structured_prune", "ratio": 0.3, "round_to": 4}, "quantize"]
SEED, ALLOWED = 0, 0.01


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row: the file's ratio, and Dice errors (1 - Dice) before and after, with a row per stage."""
    task = Segmentation.parse({"path": DATA / "segmentation" / "isbi_em_membrane.npz", **TASK})
    module = _trained(task, folder)
    protocol = LatencyProtocol(pairs=40, seconds=2.0, warmup_seconds=0.5)
    meter = StageMeter(task, folder / "models", protocol)
    recipe = Recipe.parse({"bounds": {"max_drop": 0.02}, "passes": PASSES, "fine_tune": FINE_TUNE.model_dump()})
    context = make_context(task, module, workspace=folder / "work", training=FINE_TUNE, seed=SEED)
    meter.begin(Model(module))
    result = run_recipe(Model(module), recipe, context, meter.measure, store=FolderStore(folder / "stages"))
    return [_row(task, result, meter)]


def _trained(task: Segmentation, folder: Path) -> nn.Module:
    """The fp32 U-Net, 16, 32 and 64 channels from top to bottom; goes on from what is in `folder`."""
    space = EncoderDecoder(
        depth=(2, 2),
        filters=(16, 32, 64),
        convolutions=("same",),
        decoders=("levels",),
        down_samplings=("max",),
        up_samplings=("transposed",),
        skips=("concat",),
        residuals=(False,),
        batch_norms=(True,),
        activations=("relu",),
        convolutions_per_level=(2, 2),
    )
    widths = {"level1/filters": 16, "level2/filters": 32, "bottom/filters": 64}
    decisions = {**space.sample(random.Random(SEED)), **widths}
    module: nn.Module = space.build(decisions, task.shapes(), seed=SEED)
    fit(module, task, training=TRAINING, seed=SEED, checkpoint=folder / "trained.safetensors")
    return module.eval()


def _row(task: Segmentation, result: RecipeResult, meter: StageMeter) -> dict[str, Any]:
    files = {s.name: meter.folder.parent / s.row["file"] for s in result.stages if s.row.get("file")}
    latencies = meter.measure_together(files)
    test = task.test_split()
    dice = {name: score_file(Session(path), task, test)["dice"] for name, path in files.items()}
    last = next(stage.name for stage in reversed(result.stages) if stage.kept)
    stages = [
        {
            "stage": stage.name,
            "kept": stage.kept,
            "reason": stage.reason,
            "dice": dice.get(stage.name),
            **{key: stage.row.get(key) for key in ("size_bytes", "params", "macs", "peak_activation_bytes")},
            **{key: latencies.get(stage.name, {}).get(key) for key in ("latency_ms", "speedup")},
        }
        for stage in result.stages
    ]
    before, after = result.stages[0].row, result.row
    return {
        "name": "unet-isbi",
        "ratio": before["size_bytes"] / after["size_bytes"],
        "size_bytes": after["size_bytes"],
        "reference_bytes": before["size_bytes"],
        "error_reference": 1 - dice["original"],
        "error": 1 - dice[last],
        "dice_reference": dice["original"],
        "dice": dice[last],
        "allowed_drop": ALLOWED,
        "kept_dice": dice["original"] - dice[last] <= ALLOWED,
        "macs_ratio": before["macs"] / after["macs"],
        "latency_speedup": latencies[last]["speedup"],
        "n_test_tiles": len(test),
        "stages": stages,
    }
