"""A search on a table goes as a real one: nothing is paid for twice, results are those of the table."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from netwright.core.errors import ConfigurationError, MissingPackageError, UnknownNameError
from netwright.core.plugins import build
from netwright.core.records import Decisions, Measurement, Trial, TrialState
from netwright.nas.benchmarking.comparing import Contest, compare
from netwright.nas.benchmarking.contestant import all_strategies, check, parse_peer, parse_strategy
from netwright.nas.benchmarking.peer import Peer, make_peer
from netwright.nas.benchmarking.peers.optuna import SAMPLERS
from netwright.nas.benchmarking.promoting import search_promoting
from netwright.nas.benchmarking.searching import TableSearch, search_table, search_with_peer
from netwright.nas.benchmarking.table import BenchmarkTable
from netwright.nas.stoppers.successive_halving import SuccessiveHalving
from netwright.nas.strategies.evolution import Evolution
from netwright.nas.strategies.random_search import RandomSearch
from netwright.nas.strategies.warm_start import WarmStart
from netwright.nas.strategy import Proposal, Strategy
from tests.nas.searching import strategy
from tests.nas.spaces import Mixed
from tests.nas.tables import Letters, all_letters, goals, letters_table

TABLE = letters_table()
OWN = ["random_search", "evolution", "tpe", "nsga2:population=10"]


class Stubborn(Strategy):
    """Always proposes the same, whatever it is told."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: random.Random) -> Proposal:
        return Proposal({f"a{i}": "x" for i in range(4)}, "the same")


class InOrder(Strategy):
    """Proposes all architectures one after the other, as many as there are trials."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: random.Random) -> Proposal:
        return Proposal(dict(all_letters()[len(trials)]), "next")


class Looking(InOrder):
    """The same, and raises when the trials on record are not as a run would have them."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: random.Random) -> Proposal:
        for number, trial in enumerate(trials):
            assert trial.number == number
            if number == 1:
                assert (trial.state, trial.reason) == (TrialState.FAILED, "letters has no such architecture")
            else:
                assert trial.state is TrialState.DONE
                assert trial.value("quality") is not None
        return super().ask(space, trials, objectives, rng)


def search(
    who: Strategy, table: BenchmarkTable = TABLE, *, budget: int = 40, seed: int = 0, **more: Any
) -> TableSearch:
    return search_table(who, table, more.pop("goals", goals()), budget=budget, seed=seed, **more)


@pytest.mark.parametrize("text", OWN)
def test_the_budget_is_paid_for_in_full_and_nothing_twice(text: str) -> None:
    contestant = parse_strategy(text)
    assert contestant.strategy is not None
    found = search(contestant.strategy, goals=goals("max:quality", "min:size"))
    assert len({paid.row for paid in found.paid}) == len(found.paid) == 40
    assert (found.repeats, found.ended) == (0, "budget")


@pytest.mark.parametrize("text", OWN)
def test_the_same_seed_finds_the_same_and_another_seed_something_else(text: str) -> None:
    who = parse_strategy(text).strategy
    assert who is not None
    first, again, other = search(who), search(who), search(who, seed=1)
    assert first.paid == again.paid
    assert first.paid != other.paid


def test_a_used_up_space_ends_the_search() -> None:
    found = search(strategy("random_search"), budget=300)
    assert {paid.row for paid in found.paid} == set(range(256))
    assert found.ended == "exhausted"


def test_what_neither_a_strategy_nor_chance_comes_upon_is_listed_where_the_space_is_small() -> None:
    found = search(Stubborn(), letters_table(), budget=300)
    assert {paid.row for paid in found.paid} == set(range(256))
    assert found.ended == "exhausted"


def test_a_strategy_that_repeats_itself_is_replaced_by_chance_and_counted() -> None:
    found = search(Stubborn(), budget=5)
    assert len(found.paid) == 5
    assert (found.repeats, found.known, found.asks) == (0, 80, 81)


def test_what_the_table_lacks_is_a_failed_trial_that_costs_nothing() -> None:
    found = search(Looking(), letters_table(without=[1]), budget=10)
    assert [paid.row for paid in found.paid] == list(range(10))
    assert (found.absent, found.ended) == (1, "budget")


def test_an_architecture_without_a_value_costs_nothing() -> None:
    found = search(InOrder(), letters_table(unmeasured=[0, 3]), budget=4)
    assert [paid.row for paid in found.paid] == [1, 2, 4, 5]
    assert found.absent == 2


def test_a_search_that_meets_only_absent_architectures_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netwright.nas.benchmarking.searching.PATIENCE", 50)
    found = search(strategy("random_search"), letters_table(without=range(1, 256)), budget=10)
    assert found.ended == "absent"
    assert len(found.paid) <= 1


def test_a_strategy_is_told_how_much_may_be_paid_for_and_what_the_rungs_are() -> None:
    told: list[tuple[int | None, tuple[float, ...]]] = []

    class Told(RandomSearch):
        def expecting(self, trials: int | None, *, rungs: Any = ()) -> Strategy:
            told.append((trials, tuple(rungs)))
            return self

    around = WarmStart(then=Told())
    search(around, budget=7)
    sought = goals(fidelities=["early@10", "quality@90"])
    search_promoting(around, TABLE, sought, promotion=build("promotion", "asha"), epochs=400, seed=0)
    assert told == [(7, ()), (20, (10.0, 90.0))]


def test_auto_searches_at_random_where_the_budget_covers_the_table() -> None:
    many, few = (search(build("strategy", "auto"), budget=budget) for budget in (256, 20))
    assert [paid.row for paid in many.paid] == [paid.row for paid in search(RandomSearch(), budget=256).paid]
    assert [paid.row for paid in few.paid] == [paid.row for paid in search(strategy("predictor"), budget=20).paid]


def test_by_network_two_ways_to_write_one_network_are_one_architecture() -> None:
    """All architectures of the space lower to one and the same network."""
    table = BenchmarkTable(
        "letters", Letters(), TABLE.rows, TABLE.columns, same="network", shapes=Letters().examples()[0]
    )
    found = search(strategy("random_search"), table, budget=3)
    assert len(found.paid) == 1
    assert found.ended == "exhausted"


def test_a_stopper_saves_epochs_and_the_stopped_are_not_whole() -> None:
    halving = SuccessiveHalving(min_epochs=10)
    sought = goals("max:quality", fidelities=["early@10", "quality@100"])
    whole, halved = search(Evolution(), goals=sought), search(Evolution(), goals=sought, stopper=halving)
    assert sum(paid.epochs for paid in whole.paid) == 40 * 100
    assert sum(paid.epochs for paid in halved.paid) < 40 * 100
    assert {(paid.epochs, paid.whole) for paid in halved.paid} == {(10, False), (100, True)}


def test_a_budget_of_epochs_ends_a_search() -> None:
    sought = goals("max:quality", fidelities=["quality@100"])
    assert len(search(Evolution(), goals=sought, epochs=700).paid) == 7


def test_it_searches_as_the_real_loop_does(tmp_path: Path) -> None:
    """The search loop of a run, its trainings answered from the table, takes the same decisions."""
    from netwright.runs.executor import Outcome
    from netwright.runs.loop import SearchLoop
    from netwright.runs.record import StudyRecord
    from netwright.runs.specification import RunSpecification

    specification = RunSpecification.parse(
        {
            "task": "digits",
            "space": "tests.nas.test_benchmarking:Wide",
            "objectives": ["accuracy"],
            "search": {"trials": 30, "strategy": {"kind": "evolution", "population": 8}, "executor": "inline"},
            "seed": 5,
        }
    )
    record = StudyRecord(tmp_path / "record.sqlite")
    record.take_over()
    loop = SearchLoop(specification, record, folder=tmp_path)
    table = BenchmarkTable("letters", Wide(), TABLE.rows, {"accuracy": TABLE.columns["quality"]})
    while (job := loop.next_job()) is not None:
        row = table.row(job.decisions)
        assert row is not None
        measured = {"accuracy": Measurement(metric="accuracy", value=table.value(row, "accuracy"))}
        loop.finish(job.number, Outcome(state=TrialState.DONE, measurements=measured))
    record.close()
    found = search(Evolution(population=8), table, budget=30, seed=5, goals=goals("max:accuracy"))
    assert [paid.row for paid in found.paid] == [table.row(trial.decisions) for trial in loop.trials]


class Wide(Letters):
    """The same decisions, and a network of its own for each."""

    def lower(self, plan: Any, net: Any, shapes: Any) -> Any:
        from netwright.search_spaces.operations.flatten import Flatten
        from netwright.search_spaces.operations.linear import Linear

        widths = [8 + "xyzw".index(letter) for letter in plan]
        layers = [Linear(features=width) for width in widths]
        return net.chain(net.input, Flatten(), *layers, Linear(features=shapes.output))


def test_as_many_workers_as_one_likes_find_the_same() -> None:
    contest = Contest(TABLE, goals(), 15)
    contestants = [parse_strategy("random_search"), parse_peer("optuna:random")]
    alone, together = (compare(contest, contestants, seeds=range(2), workers=workers) for workers in (1, 2))
    assert {n: [s.paid for s in found] for n, found in alone.items()} == {
        n: [s.paid for s in found] for n, found in together.items()
    }


def test_settings_follow_a_name() -> None:
    found = parse_strategy("evolution:population=7,tournament=3").strategy
    assert found == Evolution(population=7, tournament=3)
    assert parse_strategy("tests.nas.test_benchmarking:InOrder").strategy == InOrder()
    peer = parse_peer("optuna:tpe+cache:multivariate=true,n_startup_trials=5")
    assert (peer.library, peer.method, peer.cache) == ("optuna", "tpe", True)
    assert peer.settings == {"multivariate": True, "n_startup_trials": 5}


@pytest.mark.parametrize(
    ("make", "text", "says"),
    [
        (parse_strategy, "evolutoin", "did you mean 'evolution'?"),
        (parse_strategy, "evolution:populatoin=3", "did you mean 'population'?"),
        (parse_peer, "optuna", "expected LIBRARY:METHOD"),
    ],
)
def test_a_contestant_that_is_none_is_told_so(make: Any, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says.replace("?", r"\?")):
        make(text)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("hyperopt:tpe", UnknownNameError, "no library of peers is called 'hyperopt'"),
        ("optuna:tpee", UnknownNameError, "did you mean 'tpe'"),
        ("optuna:tpe:speed=3", ConfigurationError, "speed"),
    ],
)
def test_a_peer_that_is_none_is_told_so(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        check(parse_peer(text), TABLE, goals().objectives)


def test_every_sampler_of_optuna_serves_several_objectives_or_says_that_it_does_not() -> None:
    sought = goals("max:quality", "min:size")
    for method in SAMPLERS:
        peer = parse_peer(f"optuna:{method}")
        if method == "cmaes":
            with pytest.raises(ConfigurationError, match="--peer optuna:cmaes: serves one objective only"):
                check(peer, TABLE, sought.objectives)
            continue
        assert len(Contest(TABLE, sought, 12).search(peer, 0).paid) == 12


def test_a_peer_that_is_not_installed_says_what_to_install() -> None:
    try:
        import syne_tune  # noqa: F401
    except ImportError:
        with pytest.raises(MissingPackageError, match="pip install syne-tune"):
            check(parse_peer("syne-tune:rea"), TABLE, goals().objectives)
    else:
        check(parse_peer("syne-tune:rea"), TABLE, goals().objectives)


def test_a_peer_pays_for_its_repeats_unless_there_is_a_cache() -> None:
    few = letters_table(without=range(40, 256))
    found = compare(
        Contest(few, goals(), 30), [parse_peer("optuna:random"), parse_peer("optuna:random+cache")], seeds=[0]
    )
    plain, cached = found["optuna:random"][0], found["optuna:random+cache"][0]
    assert len(plain.paid) == len(cached.paid) == 30
    assert plain.repeats > 0
    assert cached.repeats == 0
    assert cached.known > 0
    assert [paid.row for paid in plain.paid][:3] == [paid.row for paid in cached.paid][:3]


class Settled(Peer):
    """Asks for one architecture again and again, as a model does that has converged."""

    def ask(self) -> Decisions | None:
        return all_letters()[7]

    def tell(self, losses: Sequence[float] | None) -> None:
        del losses


def test_a_peer_with_a_cache_that_has_settled_ends_soon() -> None:
    found = search_with_peer(Settled(), TABLE, goals(), budget=3, cache=True)
    assert (len(found.paid), found.asks, found.ended) == (1, 31, "repeats")


def test_a_peer_with_a_cache_ends_when_the_table_is_used_up() -> None:
    few = letters_table(without=range(4, 256))
    (found,) = compare(Contest(few, goals(), 30), [parse_peer("optuna:random+cache")], seeds=[0]).values()
    assert len(found[0].paid) == 4
    assert found[0].ended == "exhausted"


def test_a_peer_that_cannot_model_conditional_decisions_does_not_say_so_at_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import optuna

    optuna.logging.enable_propagation()
    space = Mixed()
    peer = make_peer(
        "optuna", "gp", settings={"n_startup_trials": 2}, space=space, objectives=goals().objectives, seed=0
    )
    try:
        for number in range(6):
            peer.ask()
            peer.tell([float(number)])
    finally:
        optuna.logging.disable_propagation()
    assert "sampled independently" not in caplog.text


def test_a_peer_is_told_the_losses_of_the_table() -> None:
    """NSGA-II does better than chance only if it hears of its results."""
    contest = Contest(TABLE, goals("max:quality"), 120)
    peers = [parse_peer("optuna:tpe:multivariate=true"), parse_peer("optuna:random")]
    found = compare(contest, peers, seeds=range(3))
    best = {name: sum(max(TABLE.columns["quality"][p.row] for p in s.paid) for s in f) for name, f in found.items()}
    assert best[peers[0].name] > best[peers[1].name]


def test_all_strategies_that_can_serve_take_part_and_the_others_say_why() -> None:
    able, reasons = all_strategies(TABLE, goals().objectives)
    assert {"random_search", "evolution", "tpe"} <= {contestant.name for contestant in able}
    assert all(len(reason) > 10 for reason in reasons.values())


def test_record_is_not_changed_by_a_strategy_that_reads_it() -> None:
    seen: list[list[Trial]] = []

    class Keeping(RandomSearch):
        def ask(self, space: Any, trials: Any, objectives: Any, rng: random.Random) -> Proposal:
            seen.append(list(trials))
            return super().ask(space, trials, objectives, rng)

    search(Keeping(), budget=5)
    assert [len(trials) for trials in seen] == [0, 1, 2, 3, 4]
    assert seen[4][:3] == seen[3][:3]
