"""What single strategies promise beyond what all do: climbing, levels, policies, choices, given architectures."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from netwright.core.errors import ConfigurationError
from netwright.core.records import Objective, TrialState
from netwright.nas.evidence import key_of
from netwright.nas.policy import Policy, PolicyChooser, options_of, steps_of
from netwright.nas.strategies.auto import Auto
from netwright.nas.strategies.local_search import LocalSearch
from netwright.nas.strategies.progressive import Progressive
from netwright.nas.strategies.reinforce import Reinforce
from netwright.nas.strategies.warm_start import WarmStart
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from tests.nas.searching import done, search, strategy
from tests.nas.spaces import Few, Knapsack, Mixed, Only, knapsack_value

QUALITY = Objective(metric="quality", direction="maximize")
SIZE = Objective(metric="size", direction="minimize")


class Grid(Only):
    """Two numbers from 0 to 6; neighbours differ in one of them."""

    def decide(self, choose: Chooser) -> Any:
        return [choose.one_of(axis, tuple(range(7))) for axis in ("x", "y")]


def hills(decisions: Any) -> dict[str, float]:
    """Two peaks, at 1,1 and at 5,5; the second is higher."""
    x, y = int(decisions["x"]), int(decisions["y"])
    return {"quality": max(8.0 - 3 * (abs(x - 1) + abs(y - 1)), 10.0 - 3 * (abs(x - 5) + abs(y - 5))), "size": x + y}


def distance(left: Any, right: Any) -> int:
    return sum(left[name] != right[name] for name in left)


def parent_of(trial: Any) -> int | None:
    words = trial.origin.split()
    return int(words[-1]) if words[-1].isdigit() else None


def test_local_search_steps_to_neighbours_of_the_best_of_its_climb():
    trials = search(LocalSearch(), Grid(), [QUALITY], hills, budget=20, seed=1)
    assert trials[0].origin == "random start"
    for trial in trials[1:]:
        parent = parent_of(trial)
        if parent is not None:
            assert distance(trial.decisions, trials[parent].decisions) == 1
    first_climb = trials[: next((t.number for t in trials[1:] if t.origin == "random start"), 20)]
    for trial in first_climb[1:]:
        best = max(first_climb[: trial.number], key=lambda t: (t.value("quality") or 0.0, -t.number))
        assert parent_of(trial) == best.number


def test_local_search_starts_anew_only_where_no_neighbour_is_better():
    trials = search(LocalSearch(), Grid(), [QUALITY], hills, budget=40, seed=3)
    starts = [trial.number for trial in trials if trial.origin == "random start"]
    assert len(starts) >= 2
    tried = {key_of(trial.decisions): trial.value("quality") or 0.0 for trial in trials[: starts[1]]}
    top = max(trials[: starts[1]], key=lambda t: t.value("quality") or 0.0)
    around = [{**top.decisions, axis: v} for axis in ("x", "y") for v in range(7) if v != top.decisions[axis]]
    assert all(tried[key_of(one)] <= (top.value("quality") or 0.0) for one in around)
    assert max(trial.value("quality") or 0.0 for trial in trials) == 10.0


def test_local_search_of_two_objectives_expands_the_front():
    trials = search(LocalSearch(), Grid(), [QUALITY, SIZE], hills, budget=12, seed=0)
    for trial in trials[1:]:
        before = trials[: trial.number]
        assert parent_of(trial) in {t.number for t in before if not any(beats(o, t) for o in before)}


def beats(left: Any, right: Any) -> bool:
    pairs = [(-left.value("quality"), -right.value("quality")), (left.value("size"), right.value("size"))]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def test_local_search_climbs_on_from_trials_of_another_strategy():
    rng = random.Random(0)
    others = [done(n, d, hills(d)) for n, d in enumerate(Grid().sample(rng) for _ in range(12))]
    best = max(others, key=lambda t: (t.value("quality") or 0.0, -t.number))
    assert LocalSearch().ask(Grid(), others, [QUALITY], rng).origin == f"neighbour of trial {best.number}"


def test_progressive_opens_one_decision_after_the_other():
    rule = Progressive(startup=4, beam=2, level=3)
    trials = search(rule, Knapsack(), [QUALITY], knapsack_value, budget=16, seed=0)
    opened = [trial.origin.split(": ")[1].split(" of ")[0] for trial in trials[4:]]
    assert opened == ["a0"] * 3 + ["a1"] * 3 + ["a2"] * 3 + ["a3"] * 3
    for trial in trials[4:]:
        parent = trials[int(trial.origin.split()[-1])]
        assert distance(trial.decisions, parent.decisions) == 1


def test_a_policy_prefers_what_was_rewarded_and_starts_even():
    space, policy = Mixed(), Policy()
    decisions = space.sample(random.Random(0))
    steps = steps_of(decisions, space.trace(decisions).domains)
    assert all(len(set(policy.probabilities(step.slot, step.options))) == 1 for step in steps)
    for _ in range(20):
        policy.learn(steps, advantage=1.0, rate=0.5, entropy=0.0)
    for step in steps:
        chances = policy.probabilities(step.slot, step.options)
        assert max(chances) == chances[step.options.index(step.taken)] > 0.7


def test_entropy_draws_a_policy_back_to_even_odds():
    steps = steps_of({"kind": "a"}, Few().trace({"kind": "a"}).domains)
    policies = {weight: Policy() for weight in (0.0, 1.0)}
    for weight, policy in policies.items():
        policy.learn(steps, advantage=2.0, rate=1.0, entropy=0.0)
        for _ in range(100):
            policy.learn(steps, advantage=0.0, rate=0.3, entropy=weight)
    tops = {weight: max(p.probabilities(steps[0].slot, steps[0].options)) for weight, p in policies.items()}
    assert tops[1.0] < 0.6 < tops[0.0]


def test_the_options_of_a_policy_cover_every_domain():
    space, rng = Mixed(), random.Random(0)
    for _ in range(50):
        chooser = PolicyChooser(Policy(), rng)
        try:
            space.decide(chooser)
        except RejectedDecisionsError:
            continue
        assert all(domain.holds(chooser.decisions[name]) for name, domain in chooser.domains.items())
        steps = steps_of(chooser.decisions, chooser.domains)
        assert {step.slot[0] for step in steps} == {n for n, d in chooser.domains.items() if len(options_of(d)) > 1}


def test_reinforce_settles_on_what_pays():
    def worth(decisions: Any) -> dict[str, float]:
        return {"quality": float(decisions["a0"] == "z") + 0.01 * knapsack_value(decisions)["quality"]}

    trials = search(Reinforce(), Knapsack(), [QUALITY], worth, budget=80, seed=0)
    early, late = trials[:20], trials[-20:]
    assert sum(t.decisions["a0"] == "z" for t in late) > sum(t.decisions["a0"] == "z" for t in early) + 5


def test_reinforce_learns_the_same_from_a_record_that_changed_in_between():
    space, rng = Knapsack(), random.Random(0)
    trials = [done(n, d, knapsack_value(d)) for n, d in enumerate(space.sample(rng) for _ in range(30))]
    rule = Reinforce()
    whole = rule.ask(space, trials, [QUALITY], random.Random(1)).decisions
    rule.ask(space, [*trials[:10], *trials[12:]], [QUALITY], random.Random(1))
    assert rule.ask(space, trials, [QUALITY], random.Random(1)).decisions == whole


def test_a_warm_start_tries_what_is_given_then_goes_on(tmp_path):
    space, rng = Knapsack(), random.Random(5)
    given = [space.sample(rng) for _ in range(4)]
    path = tmp_path / "front.jsonl"
    lines = [given[2], {"number": 7, "decisions": given[3]}]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")
    architectures = (given[0], space.genotype(given[1]))
    rule = WarmStart(architectures=architectures, file=path, then=strategy("local_search"))
    trials = search(rule, space, [QUALITY], knapsack_value, budget=6, seed=0)
    assert [trial.decisions for trial in trials[:4]] == given
    assert [trial.origin for trial in trials[:4]] == [f"given {n} of 4" for n in (1, 2, 3, 4)]
    best = max(trials[:4], key=lambda t: t.value("quality") or 0.0)
    assert trials[4].origin == f"neighbour of trial {best.number}"


def test_a_warm_start_from_a_run_folder_tries_its_best_first(tmp_path):
    from netwright.runs.record import StudyRecord

    space, rng = Knapsack(), random.Random(6)
    trials = [done(n, d, knapsack_value(d)) for n, d in enumerate(space.sample(rng) for _ in range(8))]
    record = StudyRecord(tmp_path / "run.db")
    record.take_over()
    for trial in trials:
        record.add_finished(trial)
    record.close()
    rule = WarmStart(file=tmp_path, most=3, then=strategy("random_search"))
    best = sorted(trials, key=lambda t: t.value("quality"), reverse=True)
    found = search(rule, space, [QUALITY], knapsack_value, budget=4, seed=0)
    assert [t.value("quality") for t in found[:3]] == [t.value("quality") for t in best[:3]]
    assert [t.origin for t in found] == ["given 1 of 3", "given 2 of 3", "given 3 of 3", "random"]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        WarmStart(file=tmp_path / "..").ask(space, [], [QUALITY], rng)


def test_a_warm_start_carries_over_what_the_space_allows():
    rule = WarmStart(architectures=({"a0": "z", "a1": "not an option", "unheard": 3},))
    decisions = rule.ask(Knapsack(), [], [QUALITY], random.Random(0)).decisions
    Knapsack().trace(decisions)
    assert decisions["a0"] == "z"


def test_a_warm_start_names_the_line_that_it_cannot_read(tmp_path):
    path = tmp_path / "front.jsonl"
    path.write_text('{"a0": "x"}\n{"a0": \n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 2"):
        WarmStart(file=path).ask(Knapsack(), [], [QUALITY], random.Random(0))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        WarmStart(file=tmp_path / "none.jsonl").ask(Knapsack(), [], [QUALITY], random.Random(0))


def test_a_warm_start_finds_its_file_when_a_search_goes_on_in_another_folder(tmp_path, monkeypatch):
    first = Knapsack().sample(random.Random(3))
    (tmp_path / "good.jsonl").write_text(json.dumps(first), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    rule = WarmStart(file="good.jsonl")
    monkeypatch.chdir(tmp_path.parent)
    assert rule.ask(Knapsack(), [], [QUALITY], random.Random(0)).decisions == first


class Wide(Only):
    """Forty decisions, of which the first three matter."""

    def decide(self, choose: Chooser) -> Any:
        return [choose.one_of(f"d{i}", (1, 2, 3, 4)) for i in range(40)]


def three_of_forty(decisions: Any) -> dict[str, float]:
    return {"quality": float(sum(decisions[f"d{i}"] for i in range(3))), "size": float(decisions["d0"])}


def test_auto_takes_turns_where_few_of_many_decisions_may_matter():
    kinds = {"predictor", "tpe"}
    wide = [t.origin.split(",")[0] for t in search(Auto(), Wide(), [QUALITY], three_of_forty, budget=24, seed=0)]
    assert {f"auto: {kind}" for kind in kinds} == set(wide)
    several = search(Auto(), Wide(), [QUALITY, SIZE], three_of_forty, budget=14, seed=0)
    narrow = search(Auto(), Knapsack(), [QUALITY], knapsack_value, budget=14, seed=0)
    assert all(trial.origin.startswith("auto: predictor, ") for trial in [*several, *narrow])


@pytest.mark.parametrize(("better", "worse"), [("tpe", "predictor"), ("predictor", "tpe")])
@pytest.mark.parametrize("stopped", [False, True])
def test_auto_asks_more_often_whose_last_proposals_were_better(better, worse, stopped):
    rng, told = random.Random(0), []
    for number, kind in enumerate([better, worse] * 15):
        early = stopped and kind == worse  # a training that was stopped is no better for what it showed until then
        value = {"quality": rng.random() + (1.0 if kind == better else 2.0 * early)}
        state = TrialState.STOPPED if early else TrialState.DONE
        told.append(done(number, Wide().sample(rng), value, origin=f"auto: {kind}, as an example", state=state))
    asked = [Auto().ask(Wide(), told, [QUALITY], random.Random(seed)).origin for seed in range(20)]
    assert sum(origin.startswith(f"auto: {better},") for origin in asked) > 13


def test_auto_says_what_it_picked_and_why():
    one, two = [QUALITY], [QUALITY, SIZE]
    assert Auto(budget=2).choice(Few(), one)[0] == "random_search"
    assert Auto(budget=100).choice(Knapsack(), two)[0] == Auto().choice(Mixed(), one)[0] == "predictor"
    assert Auto().choice(Knapsack(), one, tried=5000)[0] == "local_search"
    assert Auto().choice(Knapsack(), two, tried=5000)[0] == "nsga2"
    origin = Auto(budget=2).ask(Few(), [], one, random.Random(0)).origin
    assert origin == "auto: random_search, since the budget allows all 2 architectures: random"
