"""Run a search from its specification, or go on with one that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from netwright.core.config import with_overrides
from netwright.core.errors import ConfigurationError, InfeasibleError, InterruptedRunError, Mistake, RunError
from netwright.core.interrupt import undisturbed
from netwright.core.plugins import given, name_of
from netwright.core.progress import Event, Listener, say, silent
from netwright.core.records import Trial, TrialState
from netwright.core.text import rounded
from netwright.runs.cheap import check_feasible
from netwright.runs.folder import RunFolder
from netwright.runs.loop import SearchLoop
from netwright.runs.noise import noise_of
from netwright.runs.optuna_mirror import OptunaMirror
from netwright.runs.provenance import environment
from netwright.runs.record import StudyRecord, count_states, is_finished
from netwright.runs.reduced import check_auxiliary, check_fidelity
from netwright.runs.score_check import check_scores
from netwright.runs.specification import RunSpecification


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that this process may write to."""

    folder: RunFolder
    specification: RunSpecification
    record: StudyRecord


def create_run(
    specification: RunSpecification, path: Path | None = None, *, again: str = "netwright search --resume"
) -> RunFolder:
    """Check everything that can be known beforehand, then make the folder; default: the next `runs/<name>-<number>`.

    From then on Ctrl-C tells to go on by `again` and the folder.

    Raises DataError, SpaceError, InfeasibleError, ConfigurationError for a device that is not there, or RunError for a
    run to reuse that is none, before anything is written.
    """
    if specification.device.startswith("cuda"):
        from netwright.tasks.prediction import usable_device

        usable_device(specification.device)
    for before in specification.search.reuse:
        RunFolder.open(before)
    data = specification.task.data()
    if specification.space is not None:
        check_scores(specification)
        check_feasible(specification)
        check_fidelity(specification)
    check_auxiliary(specification)
    facts = environment(seed=specification.seed, data_fingerprint=data.fingerprint)
    path = path or RunFolder.take_next(specification.name)
    shapes, score = specification.task.shapes().to_json(), specification.task.primary().model_dump(mode="json")
    with going_on_by(f"{again} {path}"), undisturbed():
        folder = RunFolder.create(path, specification=specification.to_json(), environment=facts)
        with closing(StudyRecord(folder.database)) as record:
            record.take_over()
            record.set_fact("shapes", shapes)
            record.set_fact("score", score)
    return folder


@contextmanager
def writing(path: Path, *, specification: RunSpecification | None = None) -> Iterator[OpenRun]:
    """Open a run for writing: its lock is held and its record is ours until the block ends.

    Raises RunError when somebody else writes to it, or when the data are others than those it began with.
    """
    folder = RunFolder.open(path)
    with folder.lock():
        record = StudyRecord(folder.database)
        record.take_over()
        try:
            stored = specification or RunSpecification.parse(
                folder.read_specification(), source=str(folder.specification)
            )
            _check_data(folder, stored)
            yield OpenRun(folder, stored, record)
        finally:
            record.close()


def _check_data(folder: RunFolder, specification: RunSpecification) -> None:
    """Raise RunError when the data changed since the run began: its figures could not be compared any more."""
    began = folder.read_environment().get("data")
    if began is not None and began != specification.task.data().fingerprint:
        raise RunError(
            f"{folder.path} began with other data than there are now in {specification.task.where()}; "
            "put those back, or begin a new run"
        )


RESUMABLE = (
    "search.trials",
    "search.executor",
    "search.budget_s",
    "search.trial_limit_s",
    "search.retries",
    "search.reuse",
)
"""What may differ when a search goes on; anything else would make the record a mixture of two searches."""


def resumed_specification(path: Path, overrides: Sequence[str]) -> RunSpecification:
    """A run's specification with changes to how it goes on; raises ConfigurationError for any other change.

    Without a number of trials it is the one that was last asked for.
    """
    folder = RunFolder.open(path)
    record = StudyRecord(folder.database, read_only=True)
    asked = record.fact("asked")
    record.close()
    frozen = with_overrides(folder.read_specification(), [f"search.trials={asked}"] if asked else [])
    wrong = [text for text in overrides if not text.partition("=")[0].strip().startswith(RESUMABLE)]
    if wrong:
        allowed = ", ".join(RESUMABLE)
        raise ConfigurationError([Mistake(text, f"cannot change in a resumed search; {allowed} can") for text in wrong])
    return RunSpecification.parse(with_overrides(frozen, overrides), source=str(path))


def search(
    path: Path, *, specification: RunSpecification | None = None, listener: Listener = silent, command: str = "search"
) -> list[Trial]:
    """Run the search of a run folder until its trials are used up; returns all trials.

    A search that was interrupted goes on: finished trials stay, those in flight begin again. Raises
    InterruptedRunError on Ctrl-C, which tells to go on by `command`, with everything recorded so far kept, and
    InfeasibleError when no trial came to an end within the bounds.
    """
    again = f"netwright {command} --resume {path}"
    with going_on_by(again), writing(path, specification=specification) as run, closing(_mirror(run)) as mirror:
        return _search(run, mirror, listener)


@contextmanager
def going_on_by(again: str) -> Iterator[None]:
    """Ctrl-C as an InterruptedRunError that says by which command the run goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(f"stopped; everything recorded so far is kept. Go on with: {again}") from None


def _mirror(run: OpenRun) -> OptunaMirror:
    spec = run.specification
    with undisturbed():
        return OptunaMirror(run.folder.database, name=spec.name, objectives=spec.objectives, space=spec.searched)


def _search(run: OpenRun, mirror: OptunaMirror, listener: Listener) -> list[Trial]:
    spec = run.specification
    loop = SearchLoop(spec, run.record, folder=run.folder.path.resolve(), mirror=mirror, listener=listener)
    run.record.set_fact("state", "searching")
    run.record.set_fact("asked", spec.search.trials)
    listener(Event("search.begin", {"trials": spec.search.trials, "counts": count_states(loop.trials)}))
    run.folder.scratch.mkdir(exist_ok=True)
    try:
        spec.search.executor.run(loop, scratch=run.folder.scratch)
        if running := [str(trial.number) for trial in loop.trials if not is_finished(trial)]:
            what = f"the executor {name_of(spec.search.executor)!r} ended before trial {', '.join(running)}"
            raise RunError(f"{what}; `run` returns when `next_job` has none left and all are told by `finish`")
    except BaseException:
        # another program may hold the database; without a driver the run counts as interrupted
        with suppress(RunError):
            run.record.set_fact("state", "interrupted")
        raise
    loop.close()
    if spec.search.repeats > 1:
        run.record.set_fact("noise", noise_of(loop.trials))
    run.record.set_fact("state", "searched")
    listener(Event("search.end", {"counts": count_states(loop.trials)}))
    if not any(trial.state is TrialState.DONE for trial in loop.trials):
        raise InfeasibleError(_nothing_done(loop.trials))
    if loop.why_fewer:
        say(listener, loop.why_fewer)
    return loop.trials


def tell_without_network(specification: RunSpecification, listener: Listener) -> None:
    """What to know of the data, and what an answer without a network scores: a search should be better."""
    for remark in specification.task.remarks():
        say(listener, remark)
    found: tuple[str, dict[str, float]] | None = given(specification.task, "naive", tuple | None)
    metric = specification.task.primary().metric
    if found is not None and metric in found[1]:
        score, samples = rounded(found[1][metric]), len(specification.task.data().validation)
        text = f"without a network, {found[0]}: {metric} {score} on the validation split ({samples:,} samples)"
        say(listener, text)


def _nothing_done(trials: list[Trial]) -> str:
    if not trials:
        return "no trial was begun: the time was up, or the promotion rule or the executor wanted none"
    counts = ", ".join(f"{count} {state}" for state, count in count_states(trials).items() if count)
    reasons = [trial.reason for trial in trials if trial.reason]
    common = max(reasons, key=reasons.count) if reasons else "none is told"
    return f"no trial came to an end within the bounds ({counts}); the most common reason: {common}"
