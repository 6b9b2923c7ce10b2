"""What is learnt from several fidelities together, and who is promoted by it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from netwright.core.plugins import build
from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.nas.benchmarking.promoting import search_promoting
from netwright.nas.benchmarking.scoring import Scale, course, summary
from netwright.nas.context import SearchContext
from netwright.nas.evidence import gather, key_of
from netwright.nas.rung_evidence import by_rung
from netwright.nas.surrogate import Surrogate
from tests.nas.searching import done, strategy
from tests.nas.spaces import Knapsack, knapsack_value
from tests.nas.tables import goals, letters_table

QUALITY = Objective(metric="quality", direction="maximize")
EARLY = ("early@10", "quality@100")


def trained(number: int, decisions: dict[str, object], *values: float, state=TrialState.STOPPED) -> Trial:
    """A trial that reached one rung per value, and paused there or was trained in full."""
    rungs = [
        {
            "fidelity": float(fidelity),
            "step": number,
            "measurements": {"quality": Measurement(metric="quality", value=value).to_json()},
        }
        for fidelity, value in zip((1, 9), values, strict=False)
    ]
    ended = TrialState.DONE if len(values) == 2 else state
    return replace(done(number, decisions, {"quality": values[-1]}), state=ended, rungs=rungs)


def cascade(count: int, whole: int, low) -> tuple[Surrogate, list[Trial]]:
    """A model of `count` short trainings worth `low` of the quality, of which `whole` were trained in full."""
    rng = random.Random(0)
    samples = [Knapsack().sample(rng) for _ in range(count)]
    trials = []
    for number, decisions in enumerate(samples):
        quality = knapsack_value(decisions)["quality"]
        trials.append(trained(number, decisions, low(quality, rng), *([quality] if number < whole else [])))
    lower, evidence = by_rung(trials, [QUALITY])
    return Surrogate.fit(Knapsack(), evidence, lower=[lower]), trials


def test_without_a_pause_there_is_one_list_as_gathered() -> None:
    trials = [done(number, {"a": number}, {"quality": number / 3}) for number in range(3)]
    assert by_rung(trials, [QUALITY]) == [gather(trials, [QUALITY])]


def test_every_fidelity_has_the_evidence_of_those_who_reached_it() -> None:
    trials = [
        trained(0, {"a": 0}, 0.3, 0.6),
        trained(1, {"a": 1}, 0.2),
        trained(2, {"a": 2}, 0.1, state=TrialState.RUNNING),
        trained(3, {"a": 3}, 0.9, state=TrialState.FAILED),
    ]
    low, high = by_rung(trials, [QUALITY])
    assert [(item.trial.number, item.losses) for item in low] == [(0, (-0.3,)), (1, (-0.2,)), (2, (-0.1,))]
    assert [(item.trial.number, item.losses) for item in high] == [(0, (-0.6,))]


def test_a_few_full_trainings_suffice_where_short_ones_tell_the_order() -> None:
    model, trials = cascade(120, 12, lambda quality, _: quality**3)
    paused = trials[12:]
    mean, spread = model.predict([key_of(trial.decisions) for trial in paused])
    truth = [-knapsack_value(trial.decisions)["quality"] for trial in paused]
    assert np.corrcoef(mean[:, 0].argsort().argsort(), np.argsort(np.argsort(truth)))[0, 1] > 0.9
    assert (spread > 0).all()


def test_short_trainings_that_tell_nothing_get_a_flat_line() -> None:
    telling, _ = cascade(120, 40, lambda quality, _: quality)
    noise, _ = cascade(120, 40, lambda _, rng: rng.random())
    (steep,), (flat,) = telling.models, noise.models
    assert steep.slope > 0.7
    assert abs(flat.slope) < 0.35


def test_what_is_in_training_becomes_more_certain() -> None:
    _, trials = cascade(60, 20, lambda quality, _: quality / 2)
    lower, evidence = by_rung(trials, [QUALITY])
    keys = [key_of(trial.decisions) for trial in trials[20:24]]
    before = Surrogate.fit(Knapsack(), evidence, lower=[lower]).predict(keys)
    after = Surrogate.fit(Knapsack(), evidence, lower=[lower], pending=keys).predict(keys)
    assert (after[1] < before[1]).all()
    assert after[0] == pytest.approx(before[0], abs=1e-6)


def test_a_drawn_function_spreads_around_the_mean() -> None:
    model, trials = cascade(60, 20, lambda quality, _: quality / 2)
    keys = [key_of(trial.decisions) for trial in trials[20:30]]
    drawn = np.stack([model.draw(keys, np.random.default_rng(seed))[:, 0] for seed in range(300)])
    mean, spread = model.predict(keys)
    assert drawn.mean(axis=0) == pytest.approx(mean[:, 0], abs=0.3)
    assert drawn.std(axis=0) == pytest.approx(spread[:, 0], rel=0.5)


def promoted(table, *, epochs: int = 1500, seed: int = 0, promotion: object = "predicted"):
    found = search_promoting(
        strategy("predictor"),
        table,
        goals(fidelities=EARLY),
        promotion=build("promotion", promotion),
        epochs=epochs,
        seed=seed,
    )
    assert sum(paid.epochs for paid in found.paid) <= epochs
    assert found.repeats == 0
    return found


def test_telling_short_trainings_leave_few_to_be_trained_in_full() -> None:
    table = letters_table()
    found = promoted(table)
    whole = [paid.row for paid in found.paid if paid.whole]
    assert max(table.columns["quality"][row] for row in whole) == 12
    assert len({paid.row for paid in found.paid}) > 2 * len(whole)


def test_new_architectures_get_as_many_epochs_as_promotions_so_that_no_search_stays_where_it_began() -> None:
    paid = promoted(letters_table()).paid
    short = sum(one.epochs for one in paid if not one.whole)
    assert short >= sum(one.epochs for one in paid if one.whole) - 100


def test_short_trainings_that_tell_nothing_cost_little_more_than_themselves() -> None:
    table = letters_table()
    rng = random.Random(3)
    table.columns["early"] = [rng.random() for _ in range(len(table))]
    found = promoted(table, epochs=3000)
    assert sum(paid.whole for paid in found.paid) >= 20


def test_the_same_seed_gives_the_same_search() -> None:
    assert promoted(letters_table(), epochs=700).paid == promoted(letters_table(), epochs=700).paid


def test_payments_are_counted_in_whole_trainings() -> None:
    scale = Scale(letters_table(), goals(fidelities=EARLY))
    found = promoted(scale.table, epochs=1000)
    row = summary("predictor", [found], scale, budget=10)
    assert 9 < row["paid"] <= 10
    assert row["architectures_mean"] > 10 > row["in_full_mean"]
    assert row["repeats_paid"] == 0
    whole = course(found, scale, length=10)
    assert len(whole.best) == 10
    assert whole.epochs[-1] == sum(paid.epochs for paid in found.paid)
    assert np.isnan(whole.best[0])


def test_local_search_climbs_with_promotions_too() -> None:
    table = letters_table()
    found = search_promoting(
        strategy("local_search"),
        table,
        goals(fidelities=EARLY),
        promotion=build("promotion", "predicted"),
        epochs=2500,
        seed=1,
    )
    assert max(table.columns["quality"][paid.row] for paid in found.paid if paid.whole) == 12


def test_auto_takes_the_predictor_for_several_rungs_and_says_why(tmp_path) -> None:
    context = SearchContext(build("task", "digits"), tmp_path, trials=60, rungs=(1.0, 3.0, 9.0))
    auto = build("strategy", "auto").prepare(context)
    trials: list[Trial] = []
    for number in range(18):
        proposal = auto.ask(Knapsack(), trials, [QUALITY], random.Random(number))
        trials.append(done(number, proposal.decisions, knapsack_value(proposal.decisions)))
    why = "auto: predictor, since a model learns from all rungs together: "
    assert proposal.origin.startswith(f"{why}random")
    assert auto.ask(Knapsack(), trials, [QUALITY], random.Random(0)).origin.startswith(f"{why}predictor, of")
