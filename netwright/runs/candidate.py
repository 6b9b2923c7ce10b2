"""One architecture in a worker: its graph, its model, its exported file, and the metrics about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from netwright.core.cost import Cost
from netwright.core.errors import DataError
from netwright.core.plugins import built, name_of
from netwright.core.records import Measurement
from netwright.core.seeds import derive_seed
from netwright.evaluation.metric import Metric
from netwright.evaluation.subject import Session, Subject
from netwright.export.onnx_runtime import Session as OnnxSession
from netwright.export.to_onnx import export_onnx
from netwright.runs.artifacts import Artifacts
from netwright.runs.executor import TrialJob, checkpoint_of
from netwright.runs.noise import mean_of
from netwright.runs.reduced import Reduced, at_rung
from netwright.runs.specification import RunSpecification
from netwright.search_spaces.graph import LayerGraph
from netwright.tasks.training import FitResult, OnEpoch, evaluate, fit, go_on

EXAMPLES = 16
TRIES = 5
PREFIX = "validation_"


@dataclass
class Candidate:
    """A trial's network; what is expensive is made once, when it is first asked for."""

    specification: RunSpecification
    job: TrialJob
    graph: LayerGraph
    model: nn.Module
    reduced: Reduced
    _scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, specification: RunSpecification, job: TrialJob) -> Candidate:
        """The network that a job's decisions make, with weights drawn from the job's seed."""
        shapes = specification.task.shapes()
        graph = specification.searched.graph(job.decisions, shapes)
        model = specification.searched.build(job.decisions, shapes, seed=job.seed)
        reduced = at_rung(specification, job.decisions, model, rung=job.rung, seed=job.seed)
        return cls(specification, job, graph, model, reduced)

    def fit(self, *, checkpoint: Path, on_epoch: OnEpoch = go_on) -> FitResult:
        """Train what the job's fidelity makes of the network; goes on from the checkpoint."""
        return fit(
            self.reduced.model,
            self.reduced.task,
            training=self.reduced.training,
            seed=self.job.seed,
            on_epoch=on_epoch,
            auxiliary=self.reduced.auxiliary,
            checkpoint=checkpoint,
            device=self.specification.training_device(),
        )

    def repeated(self, cost_class: str, names: Sequence[str], *, times: int) -> dict[str, Measurement]:
        """The means of metrics over `times` trainings with different seeds, this one the first; none for one."""
        found = [self.measure(cost_class, names)]
        for repeat in range(1, times):
            seed = derive_seed(self.specification.seed, self.job.identity, repeat)
            other = Candidate.of(self.specification, dataclasses.replace(self.job, seed=seed))
            other.fit(checkpoint=checkpoint_of(self.job.folder, self.job.number, part=f"-repeat-{repeat}"))
            found.append(other.measure(cost_class, names))
        return {name: mean_of([one[name] for one in found]) for name in found[0]} if times > 1 else {}

    def measure(
        self, cost_class: str, names: Iterable[str], *, row: Mapping[str, Any] | None = None
    ) -> dict[str, Measurement]:
        """The metrics among `names` that cost what `cost_class` says: cheap, measured or trained.

        With `row`, trained metrics are read from that epoch's validation scores.
        """
        if row is not None:
            self._scores = {key.removeprefix(PREFIX): float(row[key]) for key in row if key.startswith(PREFIX)}
        found: dict[str, Measurement] = {}
        for name in dict.fromkeys(names):
            metric = built(Metric, name)
            if metric.cost == cost_class:
                found[name] = self._measured_before(name, metric) or self._tried(metric)
        return found

    def _measured_before(self, name: str, metric: Metric) -> Measurement | None:
        """What was measured at a lower rung of what training does not change, such as latency."""
        known = self.job.known.get(name) if metric.cost == "measured" else None
        return Measurement.from_json(known) if known is not None and known["value"] is not None else None

    def _tried(self, metric: Metric) -> Measurement:
        """A measurement; one that the machine disturbed is taken again, a few times at most.

        Raises DataError for one that cannot be recorded.
        """
        measured = metric.measured(self.subject)
        try:
            json.dumps(measured.to_json(), allow_nan=False)
        except (TypeError, ValueError) as error:
            what = f"the metric {name_of(metric)} gives what cannot be recorded ({error})"
            raise DataError(
                f"{what}; use Python's own finite numbers and texts in value, spread and protocol"
            ) from None
        for _ in range(TRIES - 1):
            if measured.value is not None or metric.cost != "measured":
                break
            measured = metric.measured(self.subject)
        return measured

    @cached_property
    def subject(self) -> Subject:
        """The network as metrics see it."""
        return Subject(
            cost=lambda: self._cost,
            scores=lambda: self._scores or evaluate(self.reduced.model, self.reduced.task, "validation"),
            session=lambda: self._session,
            file=lambda: self._file,
            example=self._example,
            latency=self.specification.search.latency,
            graph=lambda: self.graph,
            latency_table=self.specification.search.latency_table,
        )

    def store_weights(self) -> str:
        """Keep the weights in the run folder; returns their content hash."""
        return Artifacts(self.job.folder).put_weights(self.model)

    @cached_property
    def _cost(self) -> Cost:
        return self.specification.searched.cost(self.job.decisions, self.specification.task.shapes())

    @cached_property
    def _example(self) -> np.ndarray:
        data = self.specification.task.data()
        return data.preprocessing(data.calibration.inputs[:EXAMPLES])

    @cached_property
    def _file(self) -> Path:
        folder = self.job.folder / "scratch" / "exports"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.job.number:06d}.onnx"
        export_onnx(self.model, path, example=self._example)
        return path

    @cached_property
    def _session(self) -> Session:
        return OnnxSession(self._file, threads=self.specification.search.latency.threads)
