"""The budget solver: what it tries, what it cuts off, what it chooses, and that a killed one goes on."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from netwright.compression.compression_pass import Pass, Verdict
from netwright.compression.context import Context
from netwright.compression.model import Model, Note
from netwright.compression.recipe import Recipe
from netwright.compression.store import FolderStore
from netwright.core.errors import CompressionError, ConfigurationError, InfeasibleError
from netwright.core.progress import Event
from netwright.core.records import Objective, TrialState
from netwright.evaluation.profile import profile
from netwright.runs.forecast import Forecast, beyond
from netwright.runs.search import OpenRun, create_run, writing
from netwright.runs.solving import narrowed, sensitivities, solve, strategy_of
from netwright.runs.specification import RunSpecification
from netwright.runs.stages import StageMeter
from netwright.runs.tries import Try, missed, verdict_of
from netwright.runs.workbench import Workbench, context_of, salt_of
from netwright.tasks.training import fit

WIDTH = 32
SHORT = {"pairs": 10, "seconds": 0.1, "warmup_seconds": 0.05, "noisy_above": 100, "control": False}


class Narrow(Pass):
    """Keeps a share of the hidden units of a two-layer network: those with the largest weights."""

    strength: ClassVar[str | None] = "ratio"
    trains: ClassVar[bool] = True
    applied: ClassVar[list[float]] = []
    ratio: float = 0.5
    epochs: int = 0
    ignore: tuple[str, ...] = ()

    def check(self, model: Model, context: Context) -> list[Verdict]:
        return [Verdict("1", "1" not in self.ignore, "the hidden units")]

    def apply(self, model: Model, context: Context) -> Model:
        if self.ratio == 0.33:
            raise CompressionError("0.33 is a share that this pass cannot take")
        if not context.dry:
            self.applied.append(self.ratio)
        first, last = model.module[1], model.module[3]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        keep = first.weight.detach().norm(dim=1).argsort(descending=True)[: max(1, round(WIDTH * (1 - self.ratio)))]
        small = copy.deepcopy(model.module)
        small[1], small[3] = nn.Linear(64, len(keep)), nn.Linear(len(keep), 10)
        with torch.no_grad():
            small[1].weight.copy_(first.weight[keep])
            small[1].bias.copy_(first.bias[keep])
            small[3].weight.copy_(last.weight[:, keep])
            small[3].bias.copy_(last.bias)
        module = context.fine_tune(small, purpose="narrow", epochs=self.epochs)
        return model.with_module(module, [Note("narrow", "1", "pruned", f"{len(keep)} units left")])


class QuickMeter(StageMeter):
    """Counts costs on the module instead of an exported file, which would take seconds."""

    def measure(self, model: Model, stage: str, before: object) -> dict[str, Any]:
        found = profile(model.module, torch.zeros(2, 1, 8, 8))
        from netwright.tasks.training import evaluate

        accuracy = evaluate(model.module, self.task, "validation")["accuracy"]
        figures = {"params": found.params, "macs": found.macs, "size_bytes": 4 * found.params}
        return {"stage": stage, "accuracy": accuracy, "latency_ms": None, **figures}


@pytest.fixture(autouse=True)
def _forget() -> None:
    Narrow.applied.clear()
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small trained network for the digits."""
    from netwright.core.plugins import build
    from netwright.tasks.settings import Training
    from netwright.tasks.task import Task

    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))
    task = build("task", "digits")
    assert isinstance(task, Task)
    fit(net, task, training=Training(epochs=8, batch_size=64, learning_rate=0.01), seed=1)
    return net.eval()


def recipe(**changes: Any) -> Recipe:
    ratio = changes.pop("ratio", {"low": 0.1, "high": 0.9})
    solver = {"trials": 6, "strategy": "random_search", "sensitivity": False, **changes.pop("solve", {})}
    data = {"passes": [{"kind": f"{__name__}:Narrow", "ratio": ratio}], "solve": solver, **changes}
    return Recipe.parse(data)


@pytest.fixture
def opened(tmp_path: Path, network: nn.Module) -> Callable[..., Any]:
    """A run of the network with its workbench; the same folder each time, as after a restart."""

    @contextmanager
    def make(
        one: Recipe, *, listener: Callable[[Event], None] = lambda event: None, timed: bool = False
    ) -> Iterator[tuple[OpenRun, Workbench]]:
        specification = RunSpecification.parse({"name": "solved", "task": "digits", "latency": SHORT})
        path = tmp_path / "run"
        if not path.exists():
            create_run(specification, path)
        with writing(path, specification=specification) as run:
            context = context_of(specification, network, recipe=one, workspace=path / "work", listener=listener)
            meter = QuickMeter(specification.task, path / "models", specification.latency, {"original": path})
            if timed:
                meter = StageMeter(specification.task, path / "models", specification.latency)
                meter.begin(Model(network))
            yield run, Workbench(Model(network), context, meter, FolderStore(path / "stages"), salt_of(run))

    return make


def solved(opened: Callable[..., Any], one: Recipe, **more: Any) -> tuple[Any, dict[str, Any]]:
    with opened(one, **more) as (run, bench):
        result = solve(run, bench, one)
        return result, run.record.fact("solver")


def test_the_smallest_try_within_the_bounds_is_chosen_and_all_are_on_record(opened) -> None:
    result, fact = solved(opened, recipe(bounds={"accuracy_drop": 0.05}))
    tries = [Try.from_json(one) for one in fact["tries"]]
    assert [one.number for one in tries] == list(range(6))
    start = fact["original"]["accuracy"]
    within = [one for one in tries if one.state is TrialState.DONE]
    assert within
    assert all(one.figures["accuracy"] >= start - 0.05 - 1e-9 for one in within)
    broken = [one for one in tries if one.state is TrialState.INFEASIBLE]
    assert broken
    assert all("at most 0.05 is allowed" in one.reason for one in broken)
    best = min(within, key=lambda one: one.figures["size_bytes"])
    assert fact["chosen"] == best.number
    assert fact["chosen"] in fact["front"]
    assert result.row["size_bytes"] == best.figures["size_bytes"]
    assert result.stages[1].spec == best.passes[0]


def test_the_chosen_recipe_is_not_computed_again(opened) -> None:
    result, fact = solved(opened, recipe(bounds={"accuracy_drop": 0.5}))
    assert result.stages[1].resumed
    assert len(Narrow.applied) == len(fact["tries"])


def test_predictions_end_a_try_before_it_is_trained(opened) -> None:
    _, fact = solved(opened, recipe(bounds={"params": 1200}, solve={"trials": 10}))
    tries = [Try.from_json(one) for one in fact["tries"]]
    early = [one for one in tries if one.reason.startswith("predicted before training")]
    trained = [one for one in tries if one.figures]
    assert early
    assert trained
    assert all(one.predicted["params"] > 1200 * 1.1 for one in early)
    assert sorted(Narrow.applied) == sorted(one.decisions[next(iter(one.decisions))] for one in trained)
    assert all(one.predicted["params"] == one.figures["params"] for one in trained), "the prediction is exact here"


def test_a_latency_that_cannot_be_kept_ends_tries_before_they_are_trained(opened) -> None:
    one = recipe(bounds={"latency_ms": 1e-6}, solve={"trials": 2})
    with opened(one, timed=True) as (run, bench):
        with pytest.raises(InfeasibleError, match=r"No try reached latency_ms 1e-06; the best was"):
            solve(run, bench, one)
        tries = [Try.from_json(each) for each in run.record.fact("solver")["tries"]]
    assert Narrow.applied == []
    assert all(each.reason.startswith("predicted before training: latency_ms") for each in tries)
    assert all(each.ends["latency_ms"][0] <= each.predicted["latency_ms"] for each in tries)


def test_a_latency_within_the_goal_is_predicted_and_then_measured(opened) -> None:
    _, fact = solved(opened, recipe(bounds={"latency_ms": 1e6}, solve={"trials": 1}), timed=True)
    one = Try.from_json(fact["tries"][0])
    low, high = one.ends["latency_ms"]
    assert 0 < low <= one.predicted["latency_ms"] <= high
    assert one.figures["latency_ms"] > 0
    assert len(Narrow.applied) == 1


def test_no_try_is_ended_by_a_prediction_within_its_error() -> None:
    goals = [Objective(metric="latency_ms", direction="minimize", bound=1.0)]

    def broken(value: float, low: float, tries: Sequence[Try] = ()) -> bool:
        return bool(beyond(Forecast({"latency_ms": value}, {"latency_ms": (low, 2.0)}), goals, margin=0.1, tries=tries))

    assert broken(1.5, 1.2)
    assert not broken(1.5, 1.05), "the interval reaches into the margin"
    before = Try(number=0, phase=0, decisions={}, passes=[{}], stages=[{}], origin="", predicted={"latency_ms": 2.0})
    halved = dataclasses.replace(before, figures={"latency_ms": 1.0})
    assert not broken(1.5, 1.4, [halved]), "what was measured came to half of what had been predicted"
    assert broken(1.5, 1.4, [dataclasses.replace(halved, stages=[])]), "that one ended at an earlier pass"


def test_a_goal_that_cannot_be_met_is_named_with_what_is_missing(opened) -> None:
    one = recipe(bounds={"accuracy_drop": 0.02, "params": 100}, solve={"margin": 100})
    with opened(one) as (run, bench):
        with pytest.raises(InfeasibleError, match=r"no setting of 6 tried meets all goals\. Nearest is try") as caught:
            solve(run, bench, one)
        fact = run.record.fact("solver")
    assert fact["chosen"] is None
    assert fact["verdict"] == str(caught.value)
    assert "No try reached params 100; the best was" in fact["verdict"]
    assert len(fact["tries"]) == 6


class StopAfterError(Exception):
    """Stands for the death of the process."""


def test_a_solver_that_was_cut_short_goes_on_as_if_it_had_not_been(opened, tmp_path) -> None:
    one = recipe(bounds={"accuracy_drop": 0.3}, solve={"strategy": {"kind": "tpe", "startup": 2}})
    seen: list[str] = []

    def dies(event: Event) -> None:
        if event.name == "step":
            seen.append(str(event.facts["text"]))
            if str(event.facts["text"]).startswith("try 3 ("):
                raise StopAfterError

    with pytest.raises(StopAfterError):
        solved(opened, one, listener=dies)
    with opened(one) as (run, _):
        left = run.record.fact("solver")["tries"]
    assert [entry["state"] for entry in left][-1] == "running"
    _, resumed = solved(opened, one)
    (tmp_path / "run").rename(tmp_path / "first")
    _, whole = solved(opened, one)
    same = ("number", "decisions", "state", "figures", "reason")
    assert [[entry[key] for key in same] for entry in resumed["tries"]] == [
        [entry[key] for key in same] for entry in whole["tries"]
    ]
    assert resumed["chosen"] == whole["chosen"]


def test_more_trials_go_on_with_those_on_record(opened) -> None:
    solved(opened, recipe(solve={"trials": 3}))
    done = len(Narrow.applied)
    _, fact = solved(opened, recipe(solve={"trials": 5}))
    assert len(fact["tries"]) == 5
    assert len(Narrow.applied) == done + 2


def test_a_space_that_is_used_up_ends_the_search(opened) -> None:
    heard: list[Event] = []
    _, fact = solved(opened, recipe(ratio={"choice": [0.2, 0.4]}, solve={"trials": 9}), listener=heard.append)
    assert "no other setting is left to try" in [event.facts.get("text") for event in heard]
    assert sorted(next(iter(one["decisions"].values())) for one in fact["tries"]) == [0.2, 0.4]


def test_a_pass_that_cannot_is_part_of_a_try_with_its_reason(opened) -> None:
    _, fact = solved(opened, recipe(ratio={"choice": [0.33, 0.5]}, solve={"trials": 2}))
    stages = {one["decisions"][f"{__name__}:Narrow/ratio"]: one["stages"][0] for one in fact["tries"]}
    assert stages[0.33]["reason"] == "0.33 is a share that this pass cannot take"
    assert stages[0.5]["kept"]


def test_passes_can_be_searched_one_after_the_other(opened) -> None:
    narrow = {"kind": f"{__name__}:Narrow", "ratio": {"choice": [0.1, 0.2]}}
    tuned = {"kind": "fine_tune", "learning_rate": {"choice": [1e-3, 1e-2]}, "epochs": 1}
    one = recipe(passes=[narrow, tuned], solve={"trials": 4, "order": "pass_by_pass"})
    _, fact = solved(opened, one)
    assert [entry["phase"] for entry in fact["tries"]] == [0, 0, 1, 1]
    assert [len(entry["passes"]) for entry in fact["tries"]] == [1, 1, 2, 2]
    first = {entry["decisions"][f"{__name__}:Narrow/ratio"] for entry in fact["tries"][2:]}
    assert first == {0.2}, "the second phase keeps the smallest of the first"


def test_a_pass_whose_tries_miss_goals_for_the_result_hands_on_the_nearest_to_them(opened) -> None:
    narrow = {"kind": f"{__name__}:Narrow", "ratio": {"choice": [0.1, 0.2]}}
    tuned = {"kind": "fine_tune", "learning_rate": {"choice": [1e-3, 1e-2]}, "epochs": 1}
    one = recipe(passes=[narrow, tuned], solve={"trials": 4, "order": "pass_by_pass"}, bounds={"params": 100})
    heard: list[Event] = []
    with opened(one, listener=heard.append) as (run, bench):
        with pytest.raises(InfeasibleError, match="no setting of 2 tried with all passes meets all goals"):
            solve(run, bench, one)
        fact = run.record.fact("solver")
    assert {entry["decisions"][f"{__name__}:Narrow/ratio"] for entry in fact["tries"][2:]} == {0.2}
    texts = [str(event.facts.get("text")) for event in heard]
    assert f"2 tries of {__name__}:Narrow" in texts
    assert f"2 tries of {__name__}:Narrow, fine_tune with {__name__}:Narrow/ratio=0.2" in texts


def test_hopeless_ends_of_a_range_are_cut_by_what_was_measured(opened) -> None:
    solver = {"sensitivity": True, "hopeless": 0.5, "samples": 100, "trials": 1}
    one = recipe(ratio={"low": 0.1, "high": 0.99}, solve=solver)
    heard: list[Event] = []
    _, fact = solved(opened, one, listener=heard.append)
    assert len(fact["cuts"]) == 1
    assert f"by the sensitivities, {fact['cuts'][0]}" in [event.facts.get("text") for event in heard]
    with opened(one) as (run, bench):
        rows = sensitivities(run, bench, one, samples=100)
        again = sensitivities(run, bench, one, samples=100)
        fact = run.record.fact("sensitivity")
    assert again == rows
    assert [row["strength"] for row in fact["rows"]] == [0.1, 0.545, 0.99]
    narrow, texts = narrowed(one, rows)
    assert 0.545 < narrow.open[0].high < 0.99, "up to where the loss is about half, not to the last value measured"
    assert "at 0.99 most groups alone, untrained, lose more than 50% of the score" in texts[0]


def test_sensitivities_are_measured_once_whatever_the_bounds(opened) -> None:
    heard: list[Event] = []
    given: list[dict[str, Any]] = [
        {},
        {"bounds": {"size_bytes": 5000}, "retry": 1},
        {"ratio": {"low": 0.1, "high": 0.8}},
    ]
    for changes in given:
        with opened(recipe(**changes), listener=heard.append) as (run, bench):
            sensitivities(run, bench, recipe(**changes), samples=100)
    told = [event for event in heard if str(event.facts.get("text", "")).startswith("sensitivity of")]
    assert len(told) == 2, "only other passes are measured anew"


def test_what_a_stage_depends_on_includes_the_machine(opened, monkeypatch) -> None:
    from netwright.runs import workbench

    with opened(recipe()) as (run, _):
        before = salt_of(run)
        assert salt_of(run) == before
        machine = workbench.this_machine()
        monkeypatch.setattr(workbench, "this_machine", lambda: dataclasses.replace(machine, isa=("avx512_vnni",)))
        assert salt_of(run) != before


def test_a_strategy_that_is_not_there_is_a_mistake_of_the_recipe() -> None:
    with pytest.raises(ConfigurationError, match=r"solve\.strategy\.kind: no strategy is called 'tpee'"):
        strategy_of(recipe(solve={"strategy": "tpee"}))


def test_what_is_missed_is_said_with_both_numbers() -> None:
    objectives = [
        Objective(metric="latency_ms", direction="minimize", bound=4.0),
        Objective(metric="accuracy", direction="maximize", bound=0.9),
    ]
    text = missed({"latency_ms": 5.0, "accuracy": 0.91}, objectives)
    assert text == "latency_ms 5, at most 4 is asked: missed by 1 (25.0%)"
    assert missed({"latency_ms": 30.0, "accuracy": 0.9}, objectives).endswith("missed by 26 (650%)")
    assert missed({"latency_ms": 3.0, "accuracy": 0.9}, objectives) == ""
    assert "latency_ms is not known" in missed({"accuracy": 0.95}, objectives)
    one = Try(number=0, phase=0, decisions={}, passes=[], origin="", state=TrialState.FAILED, reason="no layer")
    assert verdict_of([one], objectives) == "none of 1 tries came to an end; the most common reason: no layer"


def test_the_nearest_and_the_best_are_sought_among_what_was_measured_and_what_was_predicted() -> None:
    objectives = [
        Objective(metric="latency_ms", direction="minimize", bound=1.0),
        Objective(metric="accuracy", direction="maximize", bound=0.9),
    ]
    bare = Try(number=0, phase=0, decisions={}, passes=[], origin="", state=TrialState.INFEASIBLE)
    trained = dataclasses.replace(bare, figures={"latency_ms": 3.0, "accuracy": 0.5})
    ended = dataclasses.replace(bare, number=1, predicted={"latency_ms": 1.5})
    assert verdict_of([trained, ended], objectives) == (
        "no setting of 2 tried meets all goals. Nearest is try 1, predicted: latency_ms 1.5, at most 1 is asked: "
        "missed by 0.5 (50.0%). No try reached latency_ms 1; the best was 1.5. No try reached accuracy 0.9; the best "
        "was 0.5"
    )
