"""A reader is told only what is new, and what it then has equals the whole page."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from run_views import VIEWS, full_run, searching_run

from netwright.dashboards.changes import Follower, difference
from netwright.dashboards.payload import page_data
from netwright.runs.view import RunView


def apply(page: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    """What the page's script does with news."""
    if news["full"]:
        return {key: value for key, value in news.items() if key != "full"}
    page = copy.deepcopy(page)
    page |= {key: news[key] for key in ("sequence", "run", "answer", "cards") if key in news}
    for panel in page["panels"]:
        parts = dict(news["panels"].get(panel["name"], {}))
        places, length = parts.pop("set", []), parts.pop("length", len(panel["rows"]))
        panel |= parts
        del panel["rows"][length:]
        for place, row in places:
            panel["rows"][place : place + 1] = [row]
    return page


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("before", "after"), [("no trials", "full"), ("full", "all failed"), ("one trial", "own model")]
)
def test_news_turn_any_state_of_the_page_into_any_other(before: str, after: str) -> None:
    old = plain(page_data(replace(VIEWS[before](), sequence=1)))
    new = plain(page_data(replace(VIEWS[after](), sequence=2)))
    assert apply(old, plain(difference(old, new))) == new


def test_a_search_that_goes_on_is_followed_step_by_step_and_in_small_pieces() -> None:
    page = plain(page_data(searching_run(5)))
    for count in range(6, 30):
        new = plain(page_data(searching_run(count)))
        news = plain(difference(page, new))
        assert len(news["panels"]["trials"]["set"]) == 1
        page = apply(page, news)
        assert page == new


class Stopwatch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> str:
        return ""

    def monotonic(self) -> float:
        return self.time


def test_follower_reads_the_run_at_most_once_in_its_interval() -> None:
    reads: list[int] = []

    def open_view() -> RunView:
        reads.append(1)
        return searching_run(4 + len(reads))

    clock = Stopwatch()
    follower = Follower(open_view, refresh_s=2, clock=clock)
    assert follower.page()["full"]
    assert follower.page(since=5)["panels"] == {}
    assert len(reads) == 1
    clock.time = 2.1
    assert "trials" in follower.page(since=5)["panels"]
    assert len(reads) == 2


def test_reader_that_is_unknown_or_far_behind_gets_the_whole_page() -> None:
    follower = Follower(full_run)
    assert follower.page(since=999)["full"]
    assert not follower.page(since=full_run().sequence)["full"]


def test_a_run_whose_driver_was_killed_is_told_though_nothing_is_recorded() -> None:
    views = [searching_run(4), replace(searching_run(4), state="interrupted")]
    clock = Stopwatch()
    follower = Follower(lambda: views.pop(0), refresh_s=1, clock=clock)
    page = plain(follower.page())
    clock.time = 1.1
    assert (page["run"]["state"], page["answer"]["command"]) == ("searching", "")
    news = plain(follower.page(since=4))
    assert news["panels"] == {}
    assert news["run"]["state"] == "interrupted"
    assert news["answer"]["command"] == "netwright search --resume runs/digits"
