"""Trials as Ray Tune trials, on this machine or a Ray cluster."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import ray
from pydantic import Field
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler
from ray.tune.search import Searcher

from netwright.core.errors import RunError
from netwright.core.interrupt import undisturbed
from netwright.runs.executor import Executor, Outcome, TrialJob, Work, lost, stopped_early

logger = logging.getLogger(__name__)

JOB = "job"
ROW = "row"
OUTCOME = "outcome"
EPOCH, LOSS = "epoch", "loss"
Scheduler = Literal["search", "asha", "hyperband", "median"]
BRACKETS = 3
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "RAY_TQDM_PATCH_PRINT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class RayTune(Executor):
    """Each architecture is a Ray Tune trial; Ray places it, watches it and hands back its rows.

    Ray only executes: what it writes goes to the run's scratch folder and is never read back. With
    `address` the trials run on that cluster, whose nodes must see the run folder. One of Ray's own schedulers may
    end trials by the objective that chooses the winner, beside the search's own rules; it remembers nothing of a
    search that was interrupted.
    """

    workers: int = Field(default=2, ge=1, description="trials at a time")
    address: str | None = Field(default=None, description="an existing cluster; default: one of its own, on loopback")
    gpus: float = Field(default=0, ge=0, description="share of a GPU for each trial")
    scheduler: Scheduler = Field(
        default="search",
        description="who else may end a trial of a search for one objective: nobody but the search, or Ray's asha "
        "(asynchronous successive halving), hyperband (asha in three brackets, each with a later first rung) or median",
    )
    eta: int = Field(default=3, ge=2, description="of Ray's asha and hyperband: one in so many goes on")

    @property
    def judges(self) -> bool:
        return self.scheduler != "search"

    def run(self, work: Work, *, scratch: Path) -> None:
        with self._cluster():
            searcher = _WorkSearcher(work)
            tuner = tune.Tuner(
                tune.with_resources(_TrialActor, {"cpu": self.threads, "gpu": self.gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=_WorkScheduler(searcher, self),
                    num_samples=-1,
                    max_concurrent_trials=self.workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(scratch.resolve() / "ray"),
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            )
            tuner.fit()

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        if ray.is_initialized():
            yield
            return
        environment = {"OMP_NUM_THREADS": str(self.threads), "NETWRIGHT_WORKER": "1", "PYTHONPATH": _python_path()}
        common: dict[str, Any] = {
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "runtime_env": {"env_vars": environment},
        }
        cores = {"num_cpus": self.workers * self.threads} if self.address is None else {}
        try:
            try:
                # a cluster of one's own that is stopped while it starts leaves processes behind
                with undisturbed() if self.address is None else nullcontext():
                    ray.init(address=self.address or "local", **cores, **common)
            except Exception as error:  # Ray raises plain exceptions of many kinds
                where = f"no Ray cluster at {self.address} could be joined" if self.address else "Ray did not start"
                told = str(error).rstrip(".")
                raise RunError(f"{where}: {told}; `executor: processes` needs no Ray") from error
            yield
        finally:
            ray.shutdown()


def _python_path() -> str:
    """Where a worker finds what the driver could import: the user's own spaces and tasks."""
    import sys

    return os.pathsep.join(dict.fromkeys(path or str(Path.cwd()) for path in sys.path))


class _WorkSearcher(Searcher):  # type: ignore[misc]  # Ray is untyped here
    """Hands the search's jobs to Tune, and Tune's results to the search."""

    def __init__(self, work: Work) -> None:
        super().__init__(metric=None, mode=None)
        self._work = work
        self._running: dict[str, TrialJob] = {}
        self._stopped: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts to restore them later, and we never do."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        job = self._work.next_job()
        if job is None:
            return None if self._running else str(Searcher.FINISHED)
        self._running[trial_id] = job
        return {JOB: job}

    def on_epoch(self, trial_id: str, row: Mapping[str, Any]) -> bool:
        """Pass one epoch's row on; False when the trial is to be stopped."""
        go_on = self._work.report(self._running[trial_id].number, row)
        if not go_on:
            self._stopped.add(trial_id)
        return go_on

    def loss(self, trial_id: str) -> float | None:
        """The loss of the objective that chooses the winner, as the search knows it."""
        job = self._running.get(trial_id)
        return None if job is None else self._work.loss(job.number)

    def epochs(self, trial_id: str) -> int:
        """The epochs of a whole training."""
        return int(self._running[trial_id].specification["search"]["training"]["epochs"])

    def stop(self, trial_id: str) -> None:
        """Take note that a trial was ended by one of Ray's rules."""
        self._stopped.add(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self._running.pop(trial_id, None)
        if job is None:
            return
        seconds = float((result or {}).get("time_total_s", 0.0))
        if trial_id in self._stopped:
            outcome = stopped_early(seconds=seconds)
        elif not error and result is not None and OUTCOME in result:
            outcome = Outcome.from_json(json.loads(result[OUTCOME]))
        else:
            outcome = lost(
                "killed", "the worker process died (killed, out of memory, or over its time)", seconds=seconds
            )
        self._work.finish(job.number, outcome)

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the run's record is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: the run's record is the only state."""


class _WorkScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped here
    """Asks the search after every epoch whether a trial goes on, and then one of Ray's own rules if there is one."""

    def __init__(self, searcher: _WorkSearcher, executor: RayTune) -> None:
        super().__init__()
        self._searcher = searcher
        self._executor = executor
        self._rule: TrialScheduler | None = None
        self._watched: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as with the searcher."""
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        if self._executor.scheduler != "search":
            self._rule = self._rule or _rays_own(self._executor, epochs=self._searcher.epochs(trial.trial_id))
            self._rule.on_trial_add(tune_controller, trial)
            self._watched.add(trial.trial_id)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if ROW not in result:
            return str(TrialScheduler.CONTINUE)
        row = json.loads(result[ROW])
        if not self._searcher.on_epoch(trial.trial_id, row):
            return str(TrialScheduler.STOP)
        loss = self._searcher.loss(trial.trial_id)
        last = row["epoch"] >= self._searcher.epochs(trial.trial_id)
        if self._rule is None or loss is None or last:
            return str(TrialScheduler.CONTINUE)
        seen = {**result, EPOCH: row["epoch"], LOSS: loss}
        decision = str(self._rule.on_trial_result(tune_controller, trial, seen))
        if decision == TrialScheduler.STOP:
            self._searcher.stop(trial.trial_id)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        loss = self._searcher.loss(trial.trial_id)
        if self._rule is not None and trial.trial_id in self._watched and loss is not None:
            epochs = self._searcher.epochs(trial.trial_id)
            self._rule.on_trial_complete(tune_controller, trial, {**result, EPOCH: epochs, LOSS: loss})
            self._watched.discard(trial.trial_id)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self.on_trial_remove(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        if self._rule is not None and trial.trial_id in self._watched:
            self._watched.discard(trial.trial_id)
            self._rule.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        if self._rule is not None:
            return self._rule.choose_trial_to_run(tune_controller)
        return super().choose_trial_to_run(tune_controller)


def _rays_own(executor: RayTune, *, epochs: int) -> TrialScheduler:
    """The scheduler of Ray that the settings name; it minimises the loss of the objective that chooses the winner."""
    common = {"time_attr": EPOCH, "metric": LOSS, "mode": "min"}
    if executor.scheduler in ("asha", "hyperband"):
        brackets = BRACKETS if executor.scheduler == "hyperband" else 1
        return ASHAScheduler(max_t=epochs, reduction_factor=executor.eta, grace_period=1, brackets=brackets, **common)
    return MedianStoppingRule(grace_period=1, min_samples_required=3, **common)


class _TrialActor(tune.Trainable):  # type: ignore[misc]  # Ray is untyped here
    """Runs one trial after another; a step is an epoch. Training runs in a thread of its own."""

    _asked: bool

    def setup(self, config: dict[str, Any]) -> None:
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._answer.put(False)
        self._thread.join()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._asked:
            self._answer.put(True)
        kind, payload = self._messages.get()
        self._asked = kind == ROW
        return {kind: json.dumps(payload), "done": kind == OUTCOME}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing: a training checkpoints itself in the run folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Read nothing: a training that begins again finds its own checkpoint."""

    def cleanup(self) -> None:
        self._answer.put(False)

    def _begin(self, config: dict[str, Any]) -> None:
        self._messages: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._answer: queue.Queue[bool] = queue.Queue()
        self._asked = False
        arguments = (config[JOB], self._messages, self._answer)
        self._thread = threading.Thread(target=_train, args=arguments, daemon=True)
        self._thread.start()


def _train(job: TrialJob, messages: queue.Queue[tuple[str, Any]], answer: queue.Queue[bool]) -> None:
    from netwright.runs.trial import run_trial

    def report(row: Mapping[str, Any]) -> bool:
        messages.put((ROW, row))
        return answer.get()

    messages.put((OUTCOME, run_trial(job, report=report).to_json()))
