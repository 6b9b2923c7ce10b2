"""Metrics, proxies, stoppers and executors of a user's own that are faulty are told in a sentence; nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from netwright.core.errors import ConfigurationError, NetwrightError, RunError
from netwright.core.plugins import build
from netwright.core.records import Direction, TrialState
from netwright.evaluation.metric import Metric
from netwright.evaluation.proxy import Proxy
from netwright.nas.stopper import Stopper
from netwright.runs.executor import Executor
from netwright.runs.view import open_run
from tests.nas.test_own_strategies import searched

HERE = "tests.nas.test_faulty_plugins"


class Bare(Metric):
    """Answers the number alone."""

    direction: ClassVar[Direction] = "maximize"

    def measure(self, subject: Any) -> Any:
        return 3.5


class Narrow(Metric):
    """Takes no subject."""

    direction: ClassVar[Direction] = "maximize"

    def measure(self) -> Any:  # type: ignore[override]
        return self.record(1.0)


class Aimless(Metric):
    """Says not which direction is better."""

    def measure(self, subject: Any) -> Any:
        return self.record(1.0)


class Wordy(Proxy):
    """Answers a word."""

    def evaluate(self, model: Any, batch: Any) -> Any:
        return {"beauty": "much"}


class Broken(Stopper):
    """Fails whenever it is asked."""

    def keep_going(self, *, epoch: Any, value: Any, history: Any, protected: Any = False) -> bool:
        raise ValueError("a bug in the stopper")


class Hasty(Executor):
    """Leaves before its trials have ended."""

    def run(self, work: Any, *, scratch: Path) -> None:
        work.next_job()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Narrow", "`measure` of .*Narrow' cannot be called with self, subject: too many positional arguments"),
        ("Aimless", "Aimless' does not define direction"),
    ],
)
def test_a_metric_that_is_not_written_in_full_is_told_when_it_is_named(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        build("metric", f"{HERE}:{name}")


def test_a_metric_of_an_unknown_cost_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="the cost of Dear is 'dear'; expected one of cheap, measured, trained"):

        class Dear(Bare):
            cost: ClassVar[Any] = "dear"


def test_an_answer_that_is_no_measurement_or_no_score_is_told() -> None:
    with pytest.raises(NetwrightError, match=r"`measure` of the metric .*Bare' answered 3.5; expected a Measurement"):
        Bare().measured(None)  # type: ignore[arg-type]
    model, batch = nn.Linear(2, 2), torch.zeros(1, 2)
    with pytest.raises(NetwrightError, match=r"`evaluate` of the proxy .*Wordy' answered {'beauty': 'much'}; expected"):
        Wordy().parts(model, batch, batch, nn.functional.mse_loss)


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_stopper_that_fails_ends_the_search_and_no_training(executor: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug in the stopper"):
        searched(tmp_path / "run", f"search.stopper='{HERE}:Broken'", f"search.executor={{kind: {executor}}}")
    run = open_run(tmp_path / "run")
    assert run.state == "interrupted"
    assert {trial.state for trial in run.trials} <= {TrialState.RUNNING, TrialState.WAITING}


def test_an_executor_that_leaves_trials_behind_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Hasty' ended before trial 0; `run` returns when"):
        searched(tmp_path / "run", f"search.executor={{kind: '{HERE}:Hasty'}}")
    assert open_run(tmp_path / "run").state == "interrupted"
