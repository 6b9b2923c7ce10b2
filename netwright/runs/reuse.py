"""The result cache across runs: what another run measured in the same way is not paid for again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netwright.core.errors import CheckpointError
from netwright.core.files import content_hash
from netwright.core.records import Trial, TrialState
from netwright.runs.artifacts import Artifacts
from netwright.runs.view import RunView, open_run


def measured_before(specification: Mapping[str, Any], *, data: str, runs: tuple[Path, ...]) -> dict[str, Known]:
    """Finished trials of other runs by architecture, of those runs alone that measured in the same way.

    The same way means equal data, training settings, seed, device and latency protocol. Raises RunError for a
    path that is no run.
    """
    wanted = _way(specification, data=data)
    found: dict[str, Known] = {}
    for path in runs:
        view = open_run(path)
        if _way(view.specification, data=str(view.environment.get("data"))) != wanted:
            continue
        for trial in view.trials:
            if trial.state is TrialState.DONE:
                found.setdefault(trial.identity, Known(view, trial))
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A finished trial of another run."""

    run: RunView
    trial: Trial

    def as_trial(self, asked: Trial, *, folder: Path) -> Trial | None:
        """The asked trial with everything the known one measured, its weights copied; None when they are lost."""
        source, target = Artifacts(self.run.path), Artifacts(folder)
        try:
            artifacts = {role: target.put(source.get(digest)) for role, digest in self.trial.artifacts.items()}
        except CheckpointError:
            return None
        return dataclasses.replace(
            asked,
            state=TrialState.DONE,
            measurements={**asked.measurements, **self.trial.measurements},
            curve=self.trial.curve,
            fidelity=self.trial.fidelity,
            artifacts=artifacts,
            origin=f"{asked.origin}; known from trial {self.trial.number} of {self.run.path.name}",
            ended=asked.started,
        )


def _way(specification: Mapping[str, Any], *, data: str) -> str:
    search = specification["search"]
    parts = {"data": data, "training": search["training"], "latency": search["latency"]}
    return content_hash({**parts, "seed": specification["seed"], "device": specification.get("device")})
