"""A run as its readers see it: everything recorded, nothing that changes it. Needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from netwright.core.errors import RunError, SpaceError
from netwright.core.plugins import built
from netwright.core.records import ACCURACY, Objective, Trial, TrialState
from netwright.core.shapes import Shapes
from netwright.runs.folder import RunFolder, driver_is_gone
from netwright.runs.record import StudyRecord, count_states


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What is known of a run at one moment.

    `stages` are the rows of the compression table in order, beginning with the uncompressed winner:
    stage, accuracy, latency_ms, params, macs, size_bytes, peak_activation_bytes, and beside them
    kept, reason, seconds, file, latency (all figures of the protocol), protocol, coverage, sha256.
    `constraints` are bounds on what is not optimised.
    `asked` is the number of trials that the search is to make, 0 for a model of the user's own.
    `winner` tells which trial was chosen, by which rule, and how its full training went.
    `score` is what the task judges models by; where that is not accuracy, rows have it under its own name.
    `solver` is the search over a recipe's open fields: tries, front, chosen, verdict; `sensitivity` what layer groups
    bear alone.
    `test` holds the figures read once from the test split: one entry per exported model; `without_network` those of
    an answer that needs none, and what it answers.
    `sequence` grows with every change, so that a reader knows whether there is news.
    """

    path: Path
    name: str
    state: str
    sequence: int
    specification: Mapping[str, Any]
    objectives: Sequence[Objective]
    units: Mapping[str, str]
    trials: Sequence[Trial]
    asked: int
    counts: Mapping[str, int]
    constraints: Sequence[Objective] = ()
    score: Objective = ACCURACY
    graphs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    winner: Mapping[str, Any] | None = None
    stages: Sequence[Mapping[str, Any]] = ()
    parity: Sequence[Mapping[str, Any]] = ()
    test: Mapping[str, Any] | None = None
    without_network: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    bundle: Path | None = None
    report: Path | None = None
    solver: Mapping[str, Any] | None = None
    sensitivity: Mapping[str, Any] | None = None

    @property
    def limits(self) -> list[Objective]:
        """All that may have a bound: the objectives, then the constraints."""
        return [*self.objectives, *self.constraints]

    def best(self) -> Trial | None:
        """What the winner would be by the run's own rule, of the trials so far; None while none keeps the bounds."""
        from netwright.analysis.front import best_within_bounds

        metric = (self.specification.get("winner") or {}).get("metric")
        return best_within_bounds(self.trials, self.objectives, metric=metric) if self.objectives else None

    def chosen(self) -> int | None:
        """The number of the winner, None for a model of the user's own; until there is a winner that of the best."""
        if self.winner:
            return self.winner.get("trial")
        best = self.best()
        return best.number if best else None

    def __repr__(self) -> str:
        """One line: the record itself would fill screens."""
        return f"RunView({str(self.path)!r}, {self.state}, {self.counts['done']} of {self.asked} trials done)"


class Graphs(Mapping[int, Mapping[str, Any]]):
    """Layer graphs by trial number, lowered from the decisions when they are first asked for.

    A space that does not come with netwright is a program: it is imported only when the reader trusts the
    run, or has imported it already. Otherwise the graph counts as absent.
    """

    def __init__(
        self, specification: Mapping[str, Any], shapes: Shapes | None, trials: Sequence[Trial], *, trust: bool
    ) -> None:
        self._specification = specification
        self._shapes = shapes if trust or not is_foreign(specification["space"]) else None
        self._decisions = {trial.number: trial.decisions for trial in trials}

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        from netwright.search_spaces.space import SearchSpace

        if self._shapes is None:
            raise KeyError(number)
        space = built(SearchSpace, self._specification["space"])
        try:
            return space.graph(self._decisions[number], self._shapes).to_json()
        except SpaceError:
            raise KeyError(number) from None

    def __iter__(self) -> Iterator[int]:
        return iter(self._decisions if self._shapes else ())

    def __len__(self) -> int:
        return len(self._decisions) if self._shapes else 0


def is_foreign(spec: Mapping[str, Any] | None) -> bool:
    """Whether building a space or a task would import code that this process has not imported yet."""
    kind = str(spec["kind"]) if spec else ""
    return ":" in kind and kind.partition(":")[0] not in sys.modules


def open_run(path: Path | str, *, trust: bool = False, known: RunView | None = None) -> RunView:
    """A run folder as it is now; raises RunError when it is none. Safe while the run is being written.

    Nothing of the run is executed, unless `trust` allows to import its own search space, which drawing needs.
    A `known` view of it is given back where nothing was recorded since, so that following a run at rest costs little.
    """
    folder = RunFolder.open(path)
    specification = folder.read_specification()
    record = StudyRecord(folder.database, read_only=True)
    try:
        sequence = record.fact("sequence") or 0  # before all else: what comes in while the rest is read is news
        state = _state(folder, record.fact("state") or "new")
        if known is not None and (state, sequence) == (known.state, known.sequence):
            return known
        return _view(folder, specification, record, state=state, sequence=sequence, trust=trust)
    finally:
        record.close()


def find_runs(root: Path) -> list[Path]:
    """The run folders directly below a folder, by name."""
    if not root.is_dir():
        return []
    return sorted(
        path for path in root.iterdir() if (path / "specification.json").exists() and (path / "run.db").exists()
    )


def _view(
    folder: RunFolder,
    specification: Mapping[str, Any],
    record: StudyRecord,
    *,
    state: str,
    sequence: int,
    trust: bool,
) -> RunView:
    trials = record.all_trials()
    if state == "interrupted":  # nobody works on what was at work; going on begins it again
        trials = [replace(t, state=TrialState.WAITING) if t.state is TrialState.RUNNING else t for t in trials]
    shapes = record.fact("shapes")
    score = record.fact("score")
    return RunView(
        path=folder.path,
        name=specification["name"],
        state=state,
        sequence=sequence,
        specification=specification,
        objectives=[Objective.parse(entry) for entry in specification["objectives"]],
        units=_units(trials),
        trials=trials,
        asked=_asked(specification, record, tried=len(trials)),
        counts=count_states(trials),
        constraints=[Objective.parse(entry) for entry in specification.get("constraints", ())],
        score=Objective.parse(score) if score else ACCURACY,
        graphs=Graphs(specification, Shapes.from_json(shapes) if shapes else None, trials, trust=trust),
        winner=record.fact("winner"),
        stages=record.all_stages(),
        parity=record.fact("parity") or (),
        test=record.fact("test"),
        without_network=record.fact("without_network"),
        environment=_environment(folder),
        events=record.all_events(),
        bundle=folder.bundle if folder.bundle.is_dir() else None,
        report=folder.report if folder.report.exists() else None,
        solver=record.fact("solver"),
        sensitivity=record.fact("sensitivity"),
    )


def _environment(folder: RunFolder) -> dict[str, Any]:
    """Where the run comes from; nothing when its record is lost, without which all else can still be read."""
    try:
        return folder.read_environment()
    except RunError:
        return {}


def _asked(specification: Mapping[str, Any], record: StudyRecord, *, tried: int) -> int:
    """The trials to make: as many as the search was last begun or gone on with, and no fewer than there are."""
    if specification["space"] is None:
        return 0
    return max(int(record.fact("asked") or specification["search"]["trials"]), tried)


def _state(folder: RunFolder, recorded: str) -> str:
    """The recorded state; a run whose driver was killed in the middle says so."""
    busy = recorded in ("searching", "compressing")
    return "interrupted" if busy and driver_is_gone(folder) else recorded


def _units(trials: Sequence[Trial]) -> dict[str, str]:
    return {name: found.unit for trial in trials for name, found in trial.measurements.items()}


def trial_named(view: RunView, name: str) -> Trial:
    """The trial of that number, or `best`: the winner, or what the winner would be by the run's own rule."""
    if name == "best":
        if view.winner is not None:
            return trial_named(view, str(view.winner["trial"]))
        best = view.best()
        if best is None:
            raise RunError(f"{view.path} has no finished trial within the bounds yet, so there is no best one")
        return best
    if not name.isdecimal() or int(name) >= len(view.trials):
        raise RunError(f"{view.path} has no trial {name!r}; give a number below {len(view.trials)}, or `best`")
    return view.trials[int(name)]
