"""Strategies and promotion rules of a user's own: right ones serve everywhere, wrong ones are told in a sentence."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, ClassVar

import pytest

from netwright.core.errors import ConfigurationError, NetwrightError
from netwright.core.plugins import build
from netwright.core.records import TrialState
from netwright.nas.benchmarking.comparing import Contest, compare
from netwright.nas.benchmarking.contestant import Contestant
from netwright.nas.benchmarking.promoting import search_promoting
from netwright.nas.benchmarking.searching import search_table
from netwright.nas.promotion import Begin, Ladder, Promote, Promotion
from netwright.nas.strategies.random_search import RandomSearch
from netwright.nas.strategy import Proposal, Strategy
from netwright.runs.search import create_run, search
from netwright.runs.specification import load_specification
from netwright.runs.view import open_run
from tests.conftest import ROOT
from tests.nas.searching import done, strategy
from tests.nas.tables import Letters, all_letters, goals, letters_table

HERE = "tests.nas.test_own_strategies"
TINY = ROOT / "recipes" / "digits-tiny.yaml"


class Nothing(Strategy):
    """Forgets to answer after two trials."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        return Proposal(space.sample(rng), "drawn") if len(trials) < 2 else None


class Bare(Strategy):
    """Answers decisions alone."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        return space.sample(rng)


class Unnamed(Strategy):
    """Says not where it comes from."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        return Proposal(space.sample(rng), None)  # type: ignore[arg-type]


class Numbered(Strategy):
    """Names decisions by numbers and texts."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        return Proposal({1: "x", "a0": "y"}, "drawn")  # type: ignore[dict-item]


class Nested(Strategy):
    """Answers a value that cannot be compared."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        return Proposal({**space.sample(rng), "a0": {"kind": "x"}}, "drawn")


class Reusing(Strategy):
    """Fills the same dictionary at every ask, and orders what it was given."""

    kept: ClassVar[dict[str, Any]] = {}

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        trials.sort(key=lambda trial: -trial.number)
        self.kept.clear()
        self.kept.update(space.sample(rng))
        return Proposal(self.kept, "drawn")


class Sparing(Strategy):
    """Leaves out the decisions that have one option."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        traced = space.trace(space.sample(rng))
        return Proposal({n: v for n, v in traced.decisions.items() if traced.domains[n].size > 1}, "drawn")


class Short(Strategy):
    """Takes too little."""

    def ask(self, space: Any, trials: Any) -> Any:  # type: ignore[override]
        return None


class Late(Strategy):
    """Breaks down after five trials."""

    def ask(self, space: Any, trials: Any, objectives: Any, rng: Any) -> Any:
        return Proposal(space.sample(rng), "drawn") if len(trials) < 5 else trials[99]


class Always(Promotion):
    """Begins new trials for ever."""

    def next(self, ladder: Ladder) -> Any:
        return Begin()


class Unknown(Promotion):
    """Sends on whom nobody knows."""

    def next(self, ladder: Ladder) -> Any:
        return Promote(77) if ladder.entrants else Begin()


class High(Promotion):
    """Begins at a rung that is not there."""

    def next(self, ladder: Ladder) -> Any:
        return Begin(9)


class Word(Promotion):
    """Answers a word."""

    def next(self, ladder: Ladder) -> Any:
        return "go"


class Never(Promotion):
    """Lets nobody begin."""

    def next(self, ladder: Ladder) -> Any:
        return None


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (Nothing, "None"),
        (Bare, "{'a0': "),
        (Unnamed, "Proposal("),
        (Numbered, "Proposal(decisions={1: 'x'"),
        (Nested, "Proposal(decisions={'a0': {'kind': 'x'}"),
    ],
)
def test_an_answer_that_is_no_proposal_is_told_with_what_came_and_what_is_expected(
    kind: type[Strategy], answer: str
) -> None:
    for asked in (kind(), strategy({"kind": "warm_start", "then": kind()})):
        with pytest.raises(NetwrightError) as caught:
            search_table(asked, letters_table(), goals(), budget=5, seed=0)
        said = f"`ask` of the strategy '{HERE}:{kind.__name__}' answered {answer}"
        assert str(caught.value).startswith(said)
        assert str(caught.value).endswith("expected Proposal(decisions, origin) with a dict of decisions and a text")


def test_what_a_strategy_does_with_what_it_was_given_or_gave_changes_no_record() -> None:
    found = search_table(RandomSearch(), letters_table(), goals(), budget=3, seed=0)
    given = [done(number, all_letters()[paid.row], {"quality": 1.0}) for number, paid in enumerate(found.paid)]
    kept, asked = list(given), Reusing()
    first, second = (asked.proposed(Letters(), given, [], random.Random(seed)) for seed in (0, 1))
    assert given == kept
    assert first.decisions != second.decisions


def test_a_method_with_other_arguments_is_told_before_anything_runs() -> None:
    said = "`ask` of .*Short' cannot be called with self, space, trials, objectives, rng: too many positional arguments"
    with pytest.raises(ConfigurationError, match=said):
        build("strategy", f"{HERE}:Short")


def test_a_break_down_in_another_process_is_told_with_its_line() -> None:
    contest = Contest(letters_table(), goals(), budget=9)
    with pytest.raises(NetwrightError, match=r"stopped at test_own_strategies.py, line \d+, in ask: IndexError"):
        compare(contest, [Contestant("late", Late())], seeds=range(2), workers=2)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Unknown, r"Promote\(number=77\); expected Begin\(rung\) .* 0 to 1, Promote\(number\) of a paused trial"),
        (High, r"Begin\(rung=9\); expected Begin\(rung\) with a rung from 0 to 1, or None"),
        (Word, "'go'; expected"),
    ],
)
def test_a_promotion_that_cannot_be_done_is_told_with_what_can(kind: type[Promotion], said: str) -> None:
    sought = goals(fidelities=["early@10", "quality@100"])
    with pytest.raises(NetwrightError, match=f"`next` of the promotion .*{kind.__name__}' answered {said}"):
        search_promoting(RandomSearch(), letters_table(), sought, promotion=kind(), epochs=400, seed=0)


def searched(path: Path, *overrides: str) -> None:
    small = ("search.trials=3", "search.training={epochs: 2, batch_size: 64}", "space.widths=[4]")
    create_run(load_specification(TINY, overrides=[*small, *overrides]), path)
    search(path)


def test_what_was_trained_stays_when_an_own_strategy_fails(tmp_path: Path) -> None:
    with pytest.raises(NetwrightError, match="answered None"):
        searched(tmp_path / "run", f"search.strategy={{kind: '{HERE}:Nothing'}}")
    assert [trial.state for trial in open_run(tmp_path / "run").trials] == [TrialState.DONE] * 2


def test_decisions_of_one_option_may_be_left_out_and_are_on_record(tmp_path: Path) -> None:
    searched(tmp_path / "run", f"search.strategy={{kind: '{HERE}:Sparing'}}", "space={kind: mlp, depth: [1, 1]}")
    view = open_run(tmp_path / "run")
    assert [trial.state for trial in view.trials] == [TrialState.DONE] * 3
    assert {trial.decisions["depth"] for trial in view.trials} == {1}


def test_no_more_trials_are_begun_than_asked_for_whatever_a_promotion_says(tmp_path: Path) -> None:
    rungs = f"search.fidelity={{rungs: [1, 2], promotion: {{kind: '{HERE}:Always'}}}}"
    with pytest.raises(NetwrightError, match=r"answered Begin\(rung=0\); expected Promote\(number\) of a paused trial"):
        searched(tmp_path / "run", rungs, "search.strategy=random_search")
    assert len(open_run(tmp_path / "run").trials) == 3


def test_a_search_that_begins_nothing_says_so(tmp_path: Path) -> None:
    rungs = f"search.fidelity={{rungs: [1, 2], promotion: {{kind: '{HERE}:Never'}}}}"
    with pytest.raises(NetwrightError, match="no trial was begun"):
        searched(tmp_path / "run", rungs)
