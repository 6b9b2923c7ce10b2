"""What each compression stage is worth: every figure taken from the exported file, in its runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netwright.compression.model import Model
from netwright.core.files import file_hash
from netwright.evaluation.latency import Latency, LatencyProtocol, measure_latency
from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx
from netwright.tasks.data import Split
from netwright.tasks.task import Task

BATCH = 256
EXAMPLES = 16


@dataclass
class StageMeter:
    """Exports a model, runs the file, and gives a row of the compression table.

    The first model measured is the baseline that all latencies are compared with. Files go to
    `folder`; their names in rows are relative to the run.
    """

    task: Task
    folder: Path
    protocol: LatencyProtocol
    files: dict[str, Path] = field(default_factory=dict)

    def measure(self, model: Model, stage: str) -> dict[str, Any]:
        """The row of a stage: validation scores, latency, cost and size of the file that would be deployed."""
        path = self._file(model, stage)
        self.files[stage] = path
        session = Session(path, threads=self.protocol.threads)
        scores = score_file(session, self.task, self.validation)
        cost = graph_cost(path)
        return {
            "stage": stage,
            "accuracy": scores[self.task.primary_metric],
            "scores": scores,
            "n": len(self.validation),
            "params": cost.params,
            "macs": cost.macs,
            "size_bytes": path.stat().st_size,
            "peak_activation_bytes": cost.peak_activation_bytes,
            "file": f"{self.folder.name}/{path.name}",
            "sha256": file_hash(path),
            **latency_columns(self._against_baseline(stage)),
        }

    def measure_together(self, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
        """The latency columns of several stages' files, all measured in one interleaved session."""
        sessions = {stage: Session(path, threads=self.protocol.threads) for stage, path in files.items()}
        found = measure_latency(sessions, self.example, protocol=self.protocol, reference=next(iter(files)))
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

    def _against_baseline(self, stage: str) -> Latency:
        first = next(iter(self.files))
        names = list(dict.fromkeys([first, stage]))
        sessions = {name: Session(self.files[name], threads=self.protocol.threads) for name in names}
        return measure_latency(sessions, self.example, protocol=self.protocol, reference=first)[stage]

    def _file(self, model: Model, stage: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{len(self.files):02d}-{re.sub(r'[^a-z0-9]+', '-', stage.lower()).strip('-')}.onnx"
        if model.file is not None:
            path.write_bytes(model.file.read_bytes())
        else:
            export_onnx(model.module, path, example=self.example)
        return path


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
