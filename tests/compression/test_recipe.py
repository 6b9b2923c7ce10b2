"""Recipes: order, bounds, roll-back, goals, events and resuming."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import nn

from netwright.cli.progress import _Plain
from netwright.compression.compression_pass import Pass, Verdict
from netwright.compression.context import Context, make_context
from netwright.compression.judging import goals_of
from netwright.compression.model import Model, Note
from netwright.compression.recipe import Bounds, Recipe, judge, run_recipe
from netwright.compression.store import STAGE, WEIGHTS, FolderStore, model_identity
from netwright.core.clock import SystemClock
from netwright.core.config import parse_yaml
from netwright.core.errors import CompressionError, ConfigurationError, ExportError
from netwright.core.plugins import build
from netwright.core.records import Objective
from netwright.evaluation.profile import profile
from netwright.tasks.settings import Training
from netwright.tasks.training import NotFiniteError

YAML = """
bounds: {accuracy_drop: 0.5, params: 100000, macs: 10}
fine_tune: {epochs: 1, learning_rate: 1e-3, samples: 256}
distillation: {temperature: 2, weight: 0.5}
passes:
  - {kind: structured_prune, ratio: 0.4}
  - low_rank
  - fine_tune
"""


class Picky(nn.Module):
    """Raises what own networks do: no error of torch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1] == 3, "three channels"
        return x


class Scalars(nn.Module):
    """One value per sample, without an axis for it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).sum(1)


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (Picky(), r"does not run on the task's inputs \[batch, 1, 8, 8\]: AssertionError: three channels"),
        (Scalars(), r"gives outputs \[batch\]; the task expects \[batch, 10\]"),
    ],
)
def test_a_network_that_does_not_fit_the_task_is_refused(net: nn.Module, told: str, tmp_path) -> None:
    with pytest.raises(CompressionError, match=told):
        make_context(build("task", "digits"), net, workspace=tmp_path, training=Training())


class Heads(nn.Linear):
    """One tensor in use, two in training."""

    def forward(self, x: torch.Tensor) -> object:
        found = super().forward(x.flatten(1))
        return (found, found) if self.training else found


def test_a_network_that_gives_more_in_training_is_not_trained_further(tmp_path) -> None:
    net = Heads(64, 10)
    context = make_context(build("task", "digits"), net, workspace=tmp_path, training=Training())
    with pytest.raises(CompressionError, match=r"cannot be trained further.* gives a tuple, not one tensor"):
        context.fine_tune(net, purpose="fine_tune")


class Halve(Pass):
    """Scale the last layer: cheap, and it counts how often it is applied."""

    applied: ClassVar[list[str]] = []
    raises: str = ""
    larger: bool = False

    def check(self, model: Model, context: Context) -> list[Verdict]:
        return [Verdict("", True, "always")]

    def apply(self, model: Model, context: Context) -> Model:
        self.applied.append(str(len(model.notes)))
        errors = {
            "compression": CompressionError,
            "export": ExportError,
            "nan": NotFiniteError,
            "bug": ZeroDivisionError,
        }
        if self.raises:
            raise errors[self.raises]("nothing to do here")
        linear = nn.Linear(64, 70 if self.larger else 32)
        return model.with_module(
            nn.Sequential(nn.Flatten(), linear, nn.ReLU(), nn.Linear(linear.out_features, 10)).eval(),
            [Note("halve", "", "done")],
        )


@pytest.fixture(autouse=True)
def _forget() -> None:
    Halve.applied.clear()


def measured(context: Context):
    def measure(model: Model, stage: str, before: object) -> dict[str, object]:
        found = profile(model.module, context.example_tensor())
        return {
            "accuracy": context.evaluate(model.module)["accuracy"],
            "latency_ms": None,
            "params": found.params,
            "macs": found.macs,
            "size_bytes": found.params * 4,
            "peak_activation_bytes": found.peak_activation_bytes,
            "protocol": {"for": stage},
        }

    return measure


def test_a_recipe_runs_from_yaml(context_of) -> None:
    net, context = context_of("plain_cnn", epochs=6)
    trained = context.fine_tune(net, purpose="train", distill=False)
    context = dataclasses.replace(context, original=trained)
    recipe = Recipe.parse(parse_yaml(YAML, source="test"))
    result = run_recipe(Model(trained), recipe, context, measured(context))
    names = [stage.name for stage in result.stages]
    assert names == ["original", "structured_prune", "low_rank", "fine_tune"]
    assert result.stages[1].kept
    assert result.row["params"] < result.stages[0].row["params"]
    assert all(stage.kept or stage.reason for stage in result.stages)
    assert [(goal.metric, goal.met) for goal in result.goals] == [("params", True), ("macs", False)]
    assert result.row["protocol"] == {"for": result.row["stage"]}
    kept = [stage for stage in result.stages if stage.kept][-1]
    assert model_identity(result.model) == model_identity(kept.model)


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        (["quantize", "structured_prune"], "put structured_prune first"),
        (["quantize", "quantize"], "once"),
        (["structured_prun"], "did you mean 'structured_prune'"),
        ([{"kind": "structured_prune", "ratoi": 0.5}], "did you mean 'ratio'"),
        ([{"kind": "structured_prune", "ratio": 1.5}], "less than 1"),
        ([7], "name of a pass"),
    ],
)
def test_a_bad_recipe_is_refused_before_it_runs(passes: list[object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Recipe.parse({"passes": passes})


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Recipe.parse({"passes": ["nine", {"kind": "low_rank", "energy": 3}], "bounds": {"accuracy_drop": -1}})
    assert [mistake.where for mistake in caught.value.mistakes] == [
        "passes.0.kind",
        "passes.1.energy",
        "bounds.accuracy_drop",
    ]


def test_a_recipe_survives_a_round_trip() -> None:
    recipe = Recipe.parse(parse_yaml(YAML, source="test"))
    dump = recipe.model_dump(mode="json")
    assert Recipe.parse({**dump, "passes": recipe.specs()}) == recipe
    assert dump["passes"][0]["ratio"] == 0.4


@pytest.mark.parametrize("kind", ["compression", "export", "nan"])
def test_a_pass_that_cannot_is_recorded_and_the_next_goes_on(kind: str, context_of) -> None:
    net, context = context_of("mlp")
    recipe = Recipe(passes=(Halve(raises=kind), Halve()))
    result = run_recipe(Model(net), recipe, context, measured(context))
    failed, done = result.stages[1:]
    assert (failed.kept, failed.reason, failed.model) == (False, "nothing to do here", None)
    assert failed.row["accuracy"] is None
    assert done.kept
    assert done.name.endswith("_2")


def test_a_bug_in_a_pass_is_not_hidden(context_of) -> None:
    net, context = context_of("mlp")
    with pytest.raises(ZeroDivisionError):
        run_recipe(Model(net), Recipe(passes=(Halve(raises="bug"),)), context, measured(context))


def test_a_pass_that_gains_nothing_is_rolled_back(context_of) -> None:
    net, context = context_of("mlp")
    small = Halve().apply(Model(net), context)
    result = run_recipe(small, Recipe(passes=(Halve(larger=True),)), context, measured(context))
    stage = result.stages[1]
    assert not stage.kept
    assert stage.reason.startswith("it gained nothing: params 2410 → 5260")
    assert stage.row["params"] == 5260
    assert result.model.module is small.module


def test_a_broken_bound_is_rolled_back_and_the_next_starts_before_it(context_of) -> None:
    net, context = context_of("mlp", epochs=8)
    trained = context.fine_tune(net, purpose="train", distill=False)
    recipe = Recipe(passes=(Halve(), Halve()), bounds=Bounds(accuracy_drop=0.05))
    result = run_recipe(Model(trained), recipe, context, measured(context))
    assert [stage.kept for stage in result.stages] == [True, False, False]
    assert "at most 0.05 is allowed" in result.stages[1].reason
    assert Halve.applied == ["0", "0"]
    assert result.stages[1].row["accuracy"] is not None


FIRST = {"accuracy": 0.9, "params": 100, "macs": 100, "size_bytes": 400, "latency_ms": 1.0}


@pytest.mark.parametrize(
    ("change", "bounds", "gains", "kept"),
    [
        ({"params": 99}, Bounds(), ("params", "macs"), True),
        ({"params": 101, "macs": 90}, Bounds(), ("params", "macs"), True),
        ({"params": 101}, Bounds(), ("params", "macs"), False),
        ({"latency_ms": 0.99}, Bounds(), ("latency_ms",), False),
        ({"latency_ms": 0.9}, Bounds(), ("latency_ms",), True),
        ({"latency_ms": None}, Bounds(), ("latency_ms",), True),
        ({"latency_ms": None}, Bounds(), ("latency_ms", "params"), False),
        ({"accuracy": 0.91}, Bounds(), ("accuracy",), True),
        ({"accuracy": 0.90}, Bounds(), ("accuracy",), False),
        ({"accuracy": None, "params": 1}, Bounds(), ("params",), True),
        ({"accuracy": None, "params": 1}, Bounds(accuracy_drop=0.1), ("params",), False),
        ({"accuracy": 0.885, "params": 1}, Bounds(accuracy_drop=0.015), ("params",), True),
        ({"accuracy": 0.884, "params": 1}, Bounds(accuracy_drop=0.015), ("params",), False),
    ],
)
def test_what_is_kept(change: dict[str, object], bounds: Bounds, gains: tuple[str, ...], kept: bool) -> None:
    reason = judge({**FIRST, **change}, before=FIRST, first=FIRST, bounds=bounds, gains=gains)
    assert (reason == "") is kept


RMSE = Objective(metric="rmse", direction="minimize")
PSNR = Objective(metric="psnr", direction="maximize")


@pytest.mark.parametrize(
    ("score", "value", "allowed", "reason"),
    [
        (RMSE, 55.0, 5.0, ""),
        (RMSE, 56.0, 5.0, "rmse rose from 50.0000 to 56.0000, a rise of 6.0000; at most 5 is allowed"),
        (RMSE, 20.0, 0.0, ""),
        (PSNR, 49.0, 0.5, "psnr fell from 50.0000 to 49.0000, a drop of 1.0000; at most 0.5 is allowed"),
        (PSNR, 60.0, 0.0, ""),
        (PSNR, None, 0.5, "its psnr is not known, so the bound on the psnr drop cannot be checked"),
    ],
)
def test_a_tasks_own_score_is_bounded_in_its_own_direction(
    score: Objective, value: float | None, allowed: float, reason: str
) -> None:
    first = {**FIRST, "accuracy": None, score.metric: 50.0}
    row = {**first, "params": 1, score.metric: value}
    bounds = Bounds(max_drop=allowed)
    assert judge(row, before=first, first=first, bounds=bounds, gains=("params",), score=score) == reason


@pytest.mark.parametrize(("score", "better"), [(RMSE, 49.0), (PSNR, 51.0)])
def test_a_pass_that_is_for_the_score_gains_in_its_direction(score: Objective, better: float) -> None:
    first = {**FIRST, "accuracy": None, score.metric: 50.0}
    for value, kept in ((better, True), (100 - better, False)):
        row = {**first, score.metric: value}
        reason = judge(row, before=first, first=first, bounds=Bounds(), gains=("score",), score=score)
        assert bool(reason) != kept


def test_not_a_number_counts_as_unknown(context_of) -> None:
    net, context = context_of("mlp")
    recipe = Recipe(passes=(Halve(),), bounds=Bounds(accuracy_drop=0.1))
    result = run_recipe(
        Model(net), recipe, context, lambda model, stage, before: {"accuracy": float("nan"), "params": 5}
    )
    assert result.stages[1].row["accuracy"] is None
    assert "not known" in result.stages[1].reason


def test_events_tell_each_stage(context_of) -> None:
    net, context = context_of("mlp")
    heard = []
    context = dataclasses.replace(context, listener=heard.append)
    run_recipe(Model(net), Recipe(passes=(Halve(), Halve(raises="compression"))), context, measured(context))
    stages = [event.facts for event in heard if event.name == "compress.stage"]
    assert [(fact["number"], fact["kept"]) for fact in stages] == [(0, True), (1, True), (2, False)]
    assert [event.name for event in heard].count("compress.pass") == 2


def test_the_line_of_a_stage_says_why_it_was_rolled_back(context_of, capsys) -> None:
    net, context = context_of("mlp")
    context = dataclasses.replace(context, listener=_Plain(SystemClock()))
    passes = (Halve(), Halve(larger=True), Halve(raises="compression"))
    run_recipe(Model(net), Recipe(passes=passes), context, measured(context))
    lines = capsys.readouterr().err.splitlines()
    assert ["(rolled back: " in line for line in lines] == [False, False, True, False]
    assert "(could not be done: " in lines[-1]


def test_a_stored_recipe_is_not_computed_again(context_of, tmp_path) -> None:
    net, context = context_of("mlp")
    store = FolderStore(tmp_path / "stages")
    recipe = Recipe(passes=(Halve(), Halve(raises="compression"), Halve(larger=True)))
    first = run_recipe(Model(net), recipe, context, measured(context), store=store)
    done = len(Halve.applied)

    def never(model: Model, stage: str, before: object) -> dict[str, object]:
        raise AssertionError(stage)

    second = run_recipe(Model(net), recipe, context, never, store=store)
    assert len(Halve.applied) == done == 3
    assert all(stage.resumed for stage in second.stages)
    for one, other in zip(first.stages, second.stages, strict=True):
        assert (one.kept, one.reason, dict(one.row), one.notes) == (
            other.kept,
            other.reason,
            dict(other.row),
            other.notes,
        )
    assert model_identity(first.model) == model_identity(second.model)
    x = context.example_tensor()
    assert torch.equal(first.model.module(x), second.model.module(x))


def test_what_changes_a_stage_changes_its_key(context_of, tmp_path) -> None:
    net, context = context_of("mlp")
    store, recipe = FolderStore(tmp_path / "stages"), Recipe(passes=(Halve(),))
    run_recipe(Model(net), recipe, context, measured(context), store=store)
    others = [
        (Model(net), recipe, dataclasses.replace(context, seed=5), ""),
        (
            Model(net),
            recipe,
            dataclasses.replace(context, training=context.training.model_copy(update={"epochs": 3})),
            "",
        ),
        (Model(net), Recipe(passes=(Halve(larger=True),)), context, ""),
        (Model(context.fine_tune(net, purpose="x")), recipe, context, ""),
        (Model(net), recipe, context, "another protocol"),
    ]
    for model, other, around, salt in others:
        count = len(Halve.applied)
        run_recipe(model, other, around, measured(context), store=store, salt=salt)
        assert len(Halve.applied) == count + 1


@pytest.mark.parametrize("name", [WEIGHTS, STAGE])
def test_a_damaged_stage_is_computed_again(name: str, context_of, tmp_path, caplog) -> None:
    net, context = context_of("mlp")
    store, recipe = FolderStore(tmp_path / "stages"), Recipe(passes=(Halve(),))
    run_recipe(Model(net), recipe, context, measured(context), store=store)
    for path in (tmp_path / "stages").glob(f"*/{name}"):
        path.write_bytes(path.read_bytes()[:-7])
    result = run_recipe(Model(net), recipe, context, measured(context), store=store)
    assert len(Halve.applied) == 2
    assert not result.stages[1].resumed
    assert "computed again" in caplog.text


def test_other_bounds_are_judged_anew_without_computing(context_of, tmp_path) -> None:
    net, context = context_of("mlp")
    store = FolderStore(tmp_path / "stages")
    run_recipe(Model(net), Recipe(passes=(Halve(),)), context, measured(context), store=store)
    strict = Recipe(passes=(Halve(),), bounds=Bounds(accuracy_drop=0.0))
    result = run_recipe(Model(net), strict, context, lambda model, stage, before: {}, store=store)
    drop = result.stages[0].row["accuracy"] - result.stages[1].row["accuracy"]
    assert len(Halve.applied) == 1
    assert result.stages[1].kept is (drop <= 0)


class Shrink(Pass):
    """Narrows the last hidden layer by a share: cheap, and the accuracy of the untrained rest falls with it."""

    strength: ClassVar[str | None] = "ratio"
    ratio: float = 0.8

    def check(self, model: Model, context: Context) -> list[Verdict]:
        return [Verdict("", True, "always")]

    def apply(self, model: Model, context: Context) -> Model:
        hidden = max(1, round(64 * (1 - self.ratio)))
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
        return model.with_module(net.eval(), [Note("shrink", "", "done")])


def falling(model: Model, stage: str, before: object) -> dict[str, object]:
    """Accuracy and size that both fall with the width of the hidden layer."""
    del stage, before
    width = next(layer for layer in model.module if isinstance(layer, nn.Linear)).out_features
    return {"accuracy": 0.5 + width / 128, "params": width, "size_bytes": width, "latency_ms": None, "macs": width}


def shrunk(context_of, *, retry: int, allowed: float, **more):
    _, context = context_of("mlp")
    start = Shrink(ratio=0.0).apply(Model(nn.Sequential()), context)
    recipe = Recipe(passes=(Shrink(),), bounds=Bounds(accuracy_drop=allowed), retry=retry)
    return run_recipe(start, recipe, context, falling, **more)


def test_a_pass_that_broke_a_bound_is_tried_again_half_as_strong(context_of) -> None:
    result = shrunk(context_of, retry=3, allowed=0.15)
    tries = result.stages[1:]
    assert [stage.spec["ratio"] for stage in tries] == [0.8, 0.4, 0.2]
    assert [stage.kept for stage in tries] == [False, False, True]
    assert [stage.attempt for stage in tries] == [1, 2, 3]
    assert all("at most 0.15 is allowed" in stage.reason for stage in tries[:2])
    assert len({stage.name for stage in tries}) == 3
    assert result.row["params"] == 51


def test_milder_tries_end_with_those_allowed(context_of) -> None:
    result = shrunk(context_of, retry=1, allowed=0.15)
    assert [stage.kept for stage in result.stages] == [True, False, False]
    assert result.row["params"] == 64


def test_a_pass_without_a_strength_is_not_tried_again(context_of) -> None:
    net, context = context_of("mlp", epochs=8)
    trained = context.fine_tune(net, purpose="train", distill=False)
    recipe = Recipe(passes=(Halve(),), bounds=Bounds(accuracy_drop=0.05), retry=4)
    result = run_recipe(Model(trained), recipe, context, measured(context))
    assert [stage.broke for stage in result.stages] == [False, True]


@pytest.mark.parametrize(
    ("spec", "field", "milder"),
    [
        ({"kind": "structured_prune", "ratio": 0.6}, "ratio", 0.3),
        ({"kind": "unstructured_prune", "density": 0.1}, "density", 0.2),
        ({"kind": "low_rank", "energy": 0.8}, "energy", 0.9),
    ],
)
def test_milder_takes_less_away_and_changes_nothing_else(spec: dict[str, object], field: str, milder: float) -> None:
    (one,) = Recipe.parse({"passes": [spec]}).passes
    half = one.milder()
    assert half is not None
    assert getattr(half, field) == milder
    changed = {field: getattr(one, field)}
    assert half.model_copy(update=changed) == one


def test_a_recipe_can_end_at_the_first_broken_bound(context_of) -> None:
    _, context = context_of("mlp")
    start = Shrink(ratio=0.0).apply(Model(nn.Sequential()), context)
    recipe = Recipe(passes=(Shrink(), Shrink(ratio=0.1)), bounds=Bounds(accuracy_drop=0.15))
    whole = run_recipe(start, recipe, context, falling)
    short = run_recipe(start, recipe, context, falling, stop_at_break=True)
    assert [stage.kept for stage in whole.stages] == [True, False, True]
    assert [stage.broke for stage in short.stages] == [False, True]


def test_an_open_recipe_has_to_be_resolved_before_it_runs(context_of) -> None:
    net, context = context_of("mlp")
    recipe = Recipe.parse({"passes": [{"kind": "low_rank", "optional": True}], "solve": {}})
    with pytest.raises(ConfigurationError, match="resolve it first"):
        run_recipe(Model(net), recipe, context, measured(context))


def test_recipes_are_light_to_read() -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom netwright.compression.recipe import Recipe\n"
        "Recipe.parse({'passes': ['structured_prune', 'low_rank', 'fine_tune', 'quantize']})\n"
        "assert not {'torch', 'onnxruntime', 'torch_pruning', 'tensorly'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pass_that_slows_the_network_down_is_rolled_back() -> None:
    before = {"accuracy": 0.9, "latency_ms": 1.0, "size_bytes": 100}
    slower = {"accuracy": 0.9, "latency_ms": 1.2, "size_bytes": 50}
    bounds = Bounds(slowdown=0.05)
    assert "slower: 1 → 1.2 ms" in judge(slower, before=before, first=before, bounds=bounds, gains=("size_bytes",))
    near = {**slower, "latency_ms": 1.04}
    assert judge(near, before=before, first=before, bounds=bounds, gains=("size_bytes",)) == ""
    assert judge(slower, before=before, first=before, bounds=Bounds(), gains=("size_bytes",)) == ""


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"speedup": 0.8, "speedup_low": 0.78, "speedup_high": 0.82}, False),
        ({"speedup": 0.9, "speedup_low": 0.8, "speedup_high": 0.97}, True),
        ({"speedup": 0.8, "speedup_low": 0.78, "speedup_high": 0.82, "resolution": 0.3}, True),
        ({"speedup": 0.8, "speedup_low": 0.78, "speedup_high": 0.82, "noisy": True}, True),
        ({"speedup": 1.1, "speedup_low": 1.05, "speedup_high": 1.15}, True),
    ],
)
def test_a_paired_comparison_decides_what_is_slower_not_two_sessions(change: dict[str, object], kept: bool) -> None:
    before = {"latency_ms": 1.0, "size_bytes": 100}
    change = {"before": "original", "resolution": 0.02, "noisy": False, **change}
    row = {"latency_ms": 1.2, "size_bytes": 50, "change": change}
    reason = judge(row, before=before, first=before, bounds=Bounds(slowdown=0.05), gains=("size_bytes",))
    assert (reason == "") is kept
    assert kept or "0.8x as fast (0.78 to 0.82) side by side; at most 5% is allowed" in reason


def test_a_noisy_latency_counts_as_its_slow_end_against_a_goal() -> None:
    row = {"latency_ms": None, "latency": {"noisy": True, "median_ms": 1.0, "p95_ms": 3.0}}
    (met,) = goals_of(Bounds(latency_ms=4), row)
    (missed,) = goals_of(Bounds(latency_ms=2), row)
    assert (met.value, met.met, missed.met) == (3.0, True, False)
    (unknown,) = goals_of(Bounds(latency_ms=4), {"latency_ms": None})
    assert (unknown.value, unknown.met) == (None, False)


def test_what_follows_the_last_pass_is_one_mistake() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Recipe.parse({"passes": ["entropy_code", "quantize"]})
    assert [one.what for one in caught.value.mistakes] == ["nothing can follow entropy_code; put quantize before it"]


def test_two_passes_that_make_a_file_are_an_illegal_order() -> None:
    with pytest.raises(ConfigurationError, match="quantize_weights makes a file of the network, and quantize before"):
        Recipe.parse({"passes": ["quantize", "quantize_weights"]})
    assert len(Recipe.parse({"passes": ["fold", "quantize", "entropy_code"]}).passes) == 3


def test_a_goal_by_another_name_is_told_its_own() -> None:
    with pytest.raises(
        ConfigurationError, match=r"bounds\.peak_memory: unknown field; did you mean 'peak_activation_bytes'"
    ):
        Recipe.parse({"bounds": {"peak_memory": 12_000}})
