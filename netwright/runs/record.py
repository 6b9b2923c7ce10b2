"""The study record: one SQLite file, one writer. Optuna's own tables live beside ours.

Ours are the truth and are written in one transaction per change. When a trial ends it is also added to
an Optuna study in the same file, so that every Optuna tool can read the run; what a crash kept from
being added is added at the next opening.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from netwright.core.clock import Clock, SystemClock
from netwright.core.errors import RunError
from netwright.core.files import canonical_json
from netwright.core.interrupt import undisturbed
from netwright.core.records import FINISHED, Measurement, Trial, TrialState
from netwright.runs.database import open_engine
from netwright.runs.executor import Outcome

metadata = sql.MetaData()

facts = sql.Table(
    "nw_facts",
    metadata,
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)
trials = sql.Table(
    "nw_trials",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("identity", sql.String, nullable=False, index=True),
    sql.Column("state", sql.String, nullable=False),
    sql.Column("value", sql.Text, nullable=False),
    sql.Column("sequence", sql.Integer, nullable=False),
)
measurements = sql.Table(
    "nw_measurements",
    metadata,
    sql.Column("trial", sql.Integer, sql.ForeignKey("nw_trials.number"), primary_key=True),
    sql.Column("metric", sql.String, primary_key=True),
    sql.Column("value", sql.Float),
    sql.Column("unit", sql.String, nullable=False),
    sql.Column("spread", sql.Float),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("protocol", sql.Text, nullable=False),
    sql.CheckConstraint("value IS NULL OR abs(value) <= 1.7976931348623157e308", name="finite"),
)
attempts = sql.Table(
    "nw_attempts",
    metadata,
    sql.Column("trial", sql.Integer, sql.ForeignKey("nw_trials.number"), primary_key=True),
    sql.Column("attempt", sql.Integer, primary_key=True),
    sql.Column("started", sql.String, nullable=False),
    sql.Column("ended", sql.String, nullable=False, server_default=""),
    sql.Column("kind", sql.String, nullable=False, server_default=""),
    sql.Column("reason", sql.Text, nullable=False, server_default=""),
)
stages = sql.Table(
    "nw_stages",
    metadata,
    sql.Column("position", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("value", sql.Text, nullable=False),
)
events = sql.Table(
    "nw_events",
    metadata,
    sql.Column("sequence", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("time", sql.String, nullable=False),
    sql.Column("name", sql.String, nullable=False),
    sql.Column("facts", sql.Text, nullable=False),
)


class StudyRecord:
    """What a run knows, on disk. The holder of the run's lock is its only writer."""

    def __init__(self, path: Path, *, read_only: bool = False, clock: Clock | None = None) -> None:
        self._path = path
        self._clock: Clock = clock or SystemClock()
        self._epoch = -1
        begun = path.exists()
        self._engine = open_engine(path, read_only=read_only)
        try:
            with undisturbed():
                if begun and not sql.inspect(self._engine).has_table(trials.name):
                    raise RunError(
                        f"{path} holds no study record: it is empty, or another file; restore it from a copy"
                    )
                if not read_only:
                    metadata.create_all(self._engine)
            with self._reading() as connection:
                check = connection.execute(sql.text("PRAGMA quick_check")).scalar()
        except sql.exc.DatabaseError as error:
            raise RunError(f"{path} is not a readable study record: {error.orig}; restore it from a copy") from None
        if check != "ok":
            raise RunError(f"{path} is damaged ({check}); restore it from a copy")

    def close(self) -> None:
        """Let go of the file."""
        with undisturbed():
            self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[sql.Connection]:
        with undisturbed(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        """A transaction that nobody else writes beside, from its first read on."""
        with undisturbed(), self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def take_over(self) -> None:
        """Become the writer: an earlier driver that wakes up again can write no more."""
        with self._writing() as connection:
            epoch = int(self._fact(connection, "epoch") or 0) + 1
            _set_fact(connection, "epoch", epoch)
        self._epoch = epoch

    @contextmanager
    def _change(self, name: str = "", **details: object) -> Iterator[tuple[sql.Connection, int]]:
        """One transaction with its sequence number; refused when another driver has taken over."""
        with self._writing() as connection:
            if int(self._fact(connection, "epoch") or 0) != self._epoch:
                raise RunError(f"{self._path}: another driver has taken over this run; this one stops")
            sequence = int(self._fact(connection, "sequence") or 0) + 1
            _set_fact(connection, "sequence", sequence)
            if name:
                row = {"sequence": sequence, "time": self._clock.now(), "name": name, "facts": canonical_json(details)}
                connection.execute(events.insert().values(**row))
            yield connection, sequence

    def note(self, name: str, **details: object) -> None:
        """Record an event."""
        with self._change(name, **details):
            return

    def start_trial(self, trial: Trial) -> None:
        """Record a trial that begins, and its first attempt."""
        with self._change("trial.start", trial=trial.number) as (connection, sequence):
            _put_trial(connection, trial, sequence)
            self._add_attempt(connection, trial.number, 1)

    def restart_trial(self, trial: Trial, attempt: int, *, promoted: bool = False) -> None:
        """Record another attempt at a trial, after one that was lost, or because it goes on to its next rung."""
        name = "trial.promote" if promoted else "trial.restart"
        with self._change(name, trial=trial.number, attempt=attempt) as (connection, sequence):
            _put_trial(connection, trial, sequence)
            self._add_attempt(connection, trial.number, attempt)

    def update_trial(self, trial: Trial) -> None:
        """Record what is new about a running trial."""
        with self._change() as (connection, sequence):
            _put_trial(connection, trial, sequence)

    def end_attempt(self, trial: Trial, attempt: int, outcome: Outcome) -> None:
        """Record how an attempt ended, and what the trial is now."""
        with self._change("trial.end", trial=trial.number, state=str(trial.state)) as (connection, sequence):
            _put_trial(connection, trial, sequence)
            where = (attempts.c.trial == trial.number) & (attempts.c.attempt == attempt)
            values = {"ended": self._clock.now(), "kind": outcome.kind, "reason": outcome.reason}
            connection.execute(attempts.update().where(where).values(**values))

    def add_finished(self, trial: Trial) -> None:
        """Record a trial that needed no worker: infeasible at once, or known from before."""
        with self._change("trial.end", trial=trial.number, state=str(trial.state)) as (connection, sequence):
            _put_trial(connection, trial, sequence)

    def set_fact(self, name: str, value: object) -> None:
        """Record a named fact, such as the winner."""
        with self._change("fact", fact=name) as (connection, _):
            _set_fact(connection, name, value)

    def clear_stages(self) -> None:
        """Forget the compression table, because another recipe begins."""
        with self._change("compress.begin") as (connection, _):
            connection.execute(stages.delete())

    def put_stage(self, position: int, row: Mapping[str, Any]) -> None:
        """Record a stage of the compression."""
        with self._change("compress.stage", stage=row.get("stage", "")) as (connection, _):
            connection.execute(stages.delete().where(stages.c.position == position))
            connection.execute(stages.insert().values(position=position, value=canonical_json(row)))

    def fact(self, name: str) -> Any:
        """A named fact, or None."""
        with self._reading() as connection:
            return self._fact(connection, name)

    def all_trials(self) -> list[Trial]:
        """Every trial, in the order in which they were asked for; raises RunError for a row that was damaged."""
        with self._reading() as connection:
            measured = connection.execute(measurements.select()).all()
            rows = connection.execute(sql.select(trials.c.number, trials.c.value).order_by(trials.c.number)).all()
        for number, row in enumerate(rows):
            if row.number != number:
                raise RunError(f"{self._path} has lost trial {number}; restore it from a copy")
        by_trial: dict[int, dict[str, Any]] = {}
        for row in measured:
            with self._whole(f"the measurement {row.metric!r} of trial {row.trial}"):
                by_trial.setdefault(row.trial, {})[row.metric] = _measurement(row).to_json()
        found = []
        for row in rows:
            with self._whole(f"trial {row.number}"):
                found.append(Trial.from_json({**json.loads(row.value), "measurements": by_trial.get(row.number, {})}))
        return found

    def attempts_of(self, number: int) -> list[dict[str, Any]]:
        """The attempts at a trial, oldest first."""
        with self._reading() as connection:
            query = attempts.select().where(attempts.c.trial == number).order_by(attempts.c.attempt)
            return [dict(row._mapping) for row in connection.execute(query)]

    def all_stages(self) -> list[dict[str, Any]]:
        """The rows of the compression table, in order."""
        with self._reading() as connection:
            query = sql.select(stages.c.value).order_by(stages.c.position)
            with self._whole("the compression table"):
                return [json.loads(value) for value in connection.execute(query).scalars()]

    def all_events(self) -> list[dict[str, Any]]:
        """Every event, in order."""
        with self._reading() as connection:
            rows = connection.execute(events.select().order_by(events.c.sequence)).all()
        with self._whole("the table of events"):
            return [{"sequence": r.sequence, "time": r.time, "name": r.name, **json.loads(r.facts)} for r in rows]

    def _fact(self, connection: sql.Connection, name: str) -> Any:
        value = connection.execute(sql.select(facts.c.value).where(facts.c.name == name)).scalar()
        with self._whole(f"the fact {name!r}"):
            return None if value is None else json.loads(value)

    @contextmanager
    def _whole(self, what: str) -> Iterator[None]:
        """What cannot be read back as it was written is named, and where it lies."""
        try:
            yield
        except (ValueError, TypeError, KeyError) as error:
            why = f"{type(error).__name__}: {error}"
            raise RunError(
                f"{self._path}: {what} is damaged, or was written by a newer netwright ({why}); restore it from a copy"
            ) from None

    def _add_attempt(self, connection: sql.Connection, number: int, attempt: int) -> None:
        values = {"trial": number, "attempt": attempt, "started": self._clock.now()}
        connection.execute(attempts.insert().values(**values))


def is_finished(trial: Trial) -> bool:
    """Whether nothing more will happen to a trial."""
    return trial.state in FINISHED


def count_states(found: Sequence[Trial]) -> dict[str, int]:
    """How many trials are in each state."""
    counts = Counter(trial.state for trial in found)
    return {str(state): counts[state] for state in TrialState}


def _measurement(row: Any) -> Measurement:
    return Measurement(
        metric=row.metric,
        value=row.value,
        unit=row.unit,
        spread=row.spread,
        reason=row.reason,
        protocol=json.loads(row.protocol),
    )


def _set_fact(connection: sql.Connection, name: str, value: object) -> None:
    connection.execute(facts.delete().where(facts.c.name == name))
    connection.execute(facts.insert().values(name=name, value=canonical_json(value)))


def _put_trial(connection: sql.Connection, trial: Trial, sequence: int) -> None:
    data = trial.to_json()
    measured = data.pop("measurements")
    row = {"identity": trial.identity, "state": str(trial.state), "sequence": sequence, "value": canonical_json(data)}
    changed = connection.execute(trials.update().where(trials.c.number == trial.number).values(**row))
    if not changed.rowcount:
        connection.execute(trials.insert().values(number=trial.number, **row))
    connection.execute(measurements.delete().where(measurements.c.trial == trial.number))
    for name, found in measured.items():
        values = {key: found[key] for key in ("value", "unit", "spread", "reason")}
        protocol = canonical_json(found["protocol"])
        connection.execute(measurements.insert().values(trial=trial.number, metric=name, protocol=protocol, **values))
