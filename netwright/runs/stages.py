"""What each compression stage is worth: every figure taken from the exported file, in its runtime."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from netwright.analysis.intervals import wilson
from netwright.compression.model import Model
from netwright.core.files import file_hash
from netwright.evaluation.latency import Latency, LatencyProtocol
from netwright.export.coding.archive import Archive, encode
from netwright.export.coding.onnx_regions import positive_zeros
from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.scoring import score_file
from netwright.export.timing import time_files
from netwright.export.to_onnx import export_onnx
from netwright.tasks.data import Split
from netwright.tasks.task import Task

EXAMPLES = 16
SCREENING = {"pairs": 60, "seconds": 0.6, "warmup_seconds": 0.2, "warmup_windows": 3}
CODED_UP_TO = 32 << 20
"""Bytes of the largest file that is coded for the table; above, coding would take minutes."""


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

    def measure(self, model: Model, stage: str, before: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a stage: validation scores, latency, cost and size of the file that would be deployed.

        `before` is the row of the stage it was made from, whose file runs beside; empty for the input.
        """
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
            "interval": interval(scores, n=len(self.validation)),
            "params": cost.params,
            "macs": cost.macs,
            "peak_activation_bytes": cost.peak_activation_bytes,
            "file": f"{self.folder.name}/{path.name}",
            "sha256": file_hash(path),
            **self._sizes(model, path, params=cost.params),
            **self._latency(stage, before),
        }

    def _sizes(self, model: Model, path: Path, *, params: int) -> dict[str, Any]:
        """Bytes that a stage takes, by every way of counting; its archive lies beside its file, under the same name."""
        sizes = byte_figures(path, model.coded, params=params)
        if model.archive is None:
            return sizes
        kept = path.with_suffix(".nwz")
        shutil.copyfile(model.archive, kept)
        return sizes | {"archive": f"{self.folder.name}/{kept.name}", "archive_sha256": file_hash(kept)}

    def measure_together(self, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
        """The latency columns of several stages' files, all measured in one interleaved session."""
        found = time_files(files, self.example, protocol=self.protocol, reference=next(iter(files)))
        return {stage: latency_columns(latency) for stage, latency in found.items()}

    def screen(self, model: Model, folder: Path) -> tuple[Latency, Latency]:
        """The latency of the baseline and of a model that is not yet trained, side by side in seconds.

        The protocol is the run's own with fewer samples, on one thread of CPU time, which a busy machine disturbs
        less. Raises ExportError when there is no file to run.
        """
        first = next(iter(self.files))
        path = model.file or export_onnx(model.module, folder / "planned.onnx", example=self.example).path
        statistic = "cpu" if self.protocol.threads == 1 else "wall"
        protocol = self.protocol.model_copy(update={**SCREENING, "statistic": statistic})
        files = {"baseline": self.files[first], "planned": path}
        found = time_files(files, self.example, protocol=protocol, reference="baseline", sessions=2)
        return found["baseline"], found["planned"]

    @property
    def validation(self) -> Split:
        """What stages are judged on; the test split is not touched."""
        return self.task.data().validation

    @property
    def example(self) -> np.ndarray[Any, Any]:
        """A preprocessed float32 batch [16, *shape]."""
        data = self.task.data()
        return data.preprocessing(data.calibration.inputs[:EXAMPLES])

    def _latency(self, stage: str, before: Mapping[str, Any]) -> dict[str, Any]:
        """Latency columns from a session with the baseline and the stage that this one was made from.

        Sessions at different times differ, so a stage's latency is the baseline's first one, divided by the paired
        speed-up: that makes stages comparable until all are measured together. `change` is the speed-up over the
        stage before, paired as well: what tells a slower stage from a busy moment.
        """
        first = next(iter(self.files))
        origin = self._file_of(before) or self.files[first]
        same = {name for name, path in self.files.items() if path == origin}
        reference = first if first in same else "before"
        files = {first: self.files[first], reference: origin, stage: self.files[stage]}
        found = time_files(files, self.example, protocol=self.protocol, reference=reference)
        self.baseline_ms = self.baseline_ms or found[first].value_ms
        latency = found[stage]
        columns: dict[str, Any] = {}
        if before and latency.speedup:
            ends = ("speedup", "speedup_low", "speedup_high", "resolution", "noisy")
            columns["change"] = {"before": before.get("stage"), **{end: getattr(latency, end) for end in ends}}
        columns |= latency_columns(_over_baseline(latency, found[first].speedup))
        if columns["latency_ms"] is not None and columns["speedup"]:
            columns["latency_ms"] = self.baseline_ms / columns["speedup"]
        return columns

    def _file_of(self, row: Mapping[str, Any]) -> Path | None:
        """The file that a row was measured on, if it is still there."""
        path = self.folder.parent / str(row.get("file"))
        return path if path.is_file() else None

    def _file(self, model: Model, stage: str) -> Path:
        """The file to deploy, named by its stage and content, so that no recipe overwrites another's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made = self.folder / f".{stage}.tmp.onnx"
        if model.file is not None:
            shutil.copyfile(model.file, made)
        else:
            export_onnx(model.module, made, example=self.example)
            made.write_bytes(positive_zeros(made.read_bytes()))
        return made.replace(self.folder / f"{stage}-{file_hash(made)[:8]}.onnx")


def _over_baseline(latency: Latency, baseline: float | None) -> Latency:
    """A latency with its speed-up over the baseline, given the baseline's own over the same reference."""
    if baseline is None or latency.speedup is None:
        return latency
    ends = {end: getattr(latency, end) / baseline for end in ("speedup", "speedup_low", "speedup_high")}
    return replace(latency, **ends)


def byte_figures(path: Path, archive: Archive | None = None, *, params: int) -> dict[str, Any]:
    """What a file's bytes come to, in the file and by the coders; nothing is predicted.

    size_bytes: the archive, or the file where there is none. file_bytes: the ONNX file. dense_bytes: its parameters
    as 32-bit floats. gzip_bytes: `gzip -9` of the file, the control. coded_bytes: the archive that the entropy coder
    makes of the file, with what its bytes are for (`bytes`) and the zeroth-order bound of the same symbols. Those are
    None for files above 32 MB of which there is no archive, as `coded_reason` says.
    """
    file = path.read_bytes()
    figures: dict[str, Any] = {
        "size_bytes": len(archive.data) if archive else len(file),
        "file_bytes": len(file),
        "dense_bytes": 4 * params,
        "gzip_bytes": len(gzip.compress(file, 9, mtime=0)),
        **dict.fromkeys(("coded_bytes", "entropy_bound_bytes", "bytes")),
    }
    if archive is None and len(file) > CODED_UP_TO:
        return {**figures, "coded_reason": f"files above {CODED_UP_TO >> 20} MB are not coded for the table alone"}
    made = archive or encode(file, prove=False)
    return figures | {
        "coded_bytes": len(made.data),
        "entropy_bound_bytes": made.entropy_bound_bytes,
        "bytes": made.bytes_by_kind,
    }


def interval(scores: Mapping[str, float], *, n: int) -> list[float] | None:
    """The 95 % interval (Wilson) of the accuracy on n samples; None for tasks without one."""
    share = scores.get("accuracy")
    return None if share is None or not 0 <= share <= 1 else list(wilson(share, n=n))


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
            "p95_ms": latency.p95_ms,
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
