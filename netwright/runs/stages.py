"""What each compression stage is worth: every figure taken from the exported file, in its runtime."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netwright.compression.model import Model
from netwright.core.files import file_hash
from netwright.evaluation.latency import Latency, LatencyProtocol
from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.timing import time_files
from netwright.export.to_onnx import export_onnx
from netwright.tasks.data import Split
from netwright.tasks.task import Task

BATCH = 256
EXAMPLES = 16


@dataclass
class StageMeter:
    """Exports a model, runs the file, and gives a row of the compression table.

    The model it begins with is the baseline that all latencies are compared with. Files go to
    `folder`; their names in rows are relative to the run.
    """

    task: Task
    folder: Path
    protocol: LatencyProtocol
    files: dict[str, Path] = field(default_factory=dict)
    baseline_ms: float = 0.0

    def begin(self, model: Model, stage: str = "original") -> None:
        """Export the baseline, also when its row is known from before."""
        self.files[stage] = self._file(model, stage)

    def measure(self, model: Model, stage: str) -> dict[str, Any]:
        """The row of a stage: validation scores, latency, cost and size of the file that would be deployed."""
        path = self.files.get(stage) or self._file(model, stage)
        self.files[stage] = path
        session = Session(path, threads=self.protocol.threads)
        scores = score_file(session, self.task, self.validation)
        cost = graph_cost(path)
        metric = self.task.primary().metric
        return {
            "stage": stage,
            "accuracy": None,
            metric: scores[metric],
            "scores": scores,
            "n": len(self.validation),
            "params": cost.params,
            "macs": cost.macs,
            "size_bytes": path.stat().st_size,
            "peak_activation_bytes": cost.peak_activation_bytes,
            "file": f"{self.folder.name}/{path.name}",
            "sha256": file_hash(path),
            **self._latency(stage),
        }

    def measure_together(self, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
        """The latency columns of several stages' files, all measured in one interleaved session."""
        found = time_files(files, self.example, protocol=self.protocol, reference=next(iter(files)))
        return {stage: latency_columns(latency) for stage, latency in found.items()}

    @property
    def validation(self) -> Split:
        """What stages are judged on; the test split is not touched."""
        return self.task.data().validation

    @property
    def example(self) -> np.ndarray[Any, Any]:
        """A preprocessed float32 batch [16, *shape]."""
        data = self.task.data()
        return data.preprocessing(data.calibration.inputs[:EXAMPLES])

    def _latency(self, stage: str) -> dict[str, Any]:
        """Latency columns from a session with the baseline.

        Sessions at different times differ, so a stage's latency is the baseline's first one, divided by the paired
        speed-up: that makes stages comparable until all are measured together.
        """
        first = next(iter(self.files))
        files = {name: self.files[name] for name in dict.fromkeys([first, stage])}
        found = time_files(files, self.example, protocol=self.protocol, reference=first)
        columns = latency_columns(found[stage])
        self.baseline_ms = self.baseline_ms or found[first].value_ms
        speedup = found[stage].speedup
        if columns["latency_ms"] is not None and speedup:
            columns["latency_ms"] = self.baseline_ms / speedup
        return columns

    def _file(self, model: Model, stage: str) -> Path:
        """The file to deploy, named by its stage and content, so that no recipe overwrites another's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made = self.folder / f".{stage}.tmp.onnx"
        if model.file is not None:
            shutil.copyfile(model.file, made)
        else:
            export_onnx(model.module, made, example=self.example)
        return made.replace(self.folder / f"{stage}-{file_hash(made)[:8]}.onnx")


def latency_columns(latency: Latency) -> dict[str, Any]:
    """A latency as columns of a row; the value is absent when the measurement is too noisy."""
    return {
        "latency_ms": None if latency.noisy else latency.value_ms,
        "speedup": latency.speedup,
        "speedup_text": latency.speedup_text,
        "latency": {
            "median_ms": latency.median_ms,
            "p10_ms": latency.p10_ms,
            "p90_ms": latency.p90_ms,
            "iqr_ms": latency.iqr_ms,
            "cpu_median_ms": latency.cpu_median_ms,
            "n": latency.n,
            "noisy": latency.noisy,
            "reason": latency.reason,
            "speedup_low": latency.speedup_low,
            "speedup_high": latency.speedup_high,
            "resolution": latency.resolution,
        },
        "protocol": dict(latency.protocol),
    }


def score_file(session: Session, task: Task, split: Split) -> dict[str, float]:
    """The task's scores of an exported model on a split, preprocessed and run in batches of 256."""
    preprocess = task.data().preprocessing
    outputs = [session(preprocess(split.inputs[i : i + BATCH])) for i in range(0, len(split), BATCH)]
    return dict(task.score(np.concatenate(outputs), split.targets))
