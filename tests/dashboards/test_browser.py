"""Report and live app in a real browser: drawn, quiet, self-contained, reachable by keyboard and by pointer."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_views import PAYLOAD, VIEWS, full_run, large_run, searching_run

from netwright.core.records import TrialState
from netwright.dashboards.app import create_app
from netwright.dashboards.payload import page_data
from netwright.dashboards.report import write_report
from netwright.runs.view import RunView
from tests.dashboards.conftest import Watch, new_context

pytestmark = pytest.mark.browser


@contextmanager
def opened_report(chromium: Any, view: RunView, folder: Path, *, width: int = 1280, **more: Any) -> Iterator[Watch]:
    path = write_report(view, folder / "report.html")
    context = new_context(chromium, offline=True, viewport={"width": width, "height": 900}, **more)
    watch = Watch(context.new_page())
    watch.page.goto(path.as_uri())
    yield watch
    assert watch.requests == [path.as_uri()], "the report asks for itself and for nothing else"
    assert watch.complaints == []
    context.close()


def draw_all(page: Any) -> int:
    """Scroll to every plot, so that it is drawn; gives their number."""
    plots = page.locator("main .plot")
    for place in range(plots.count()):
        plots.nth(place).scroll_into_view_if_needed()
        page.wait_for_selector(f"main .plot[data-drawn] >> nth={place}", state="attached")
    return int(plots.count())


@pytest.fixture(scope="module")
def report(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One open report of a full run whose texts try to break out; it must stay quiet through all tests."""
    stages = [{**stage, "stage": f"{stage['stage']} {PAYLOAD}"} for stage in full_run().stages]
    view = replace(full_run(), name=PAYLOAD, stages=stages)
    with opened_report(chromium, view, tmp_path_factory.mktemp("report")) as watch:
        yield watch.page


def test_large_numbers_are_written_out(report: Any) -> None:
    told = report.evaluate("[14000818.88, 2.5e-5, 950, 3e12].map((value) => nw.text(value, 'number', ''))")
    assert told == ["14,000,000", "2.5e-5", "950", "3e12"]


@pytest.mark.parametrize("width", [1280, 400])
def test_report_draws_its_plots_offline_and_fits_the_screen(report: Any, width: int) -> None:
    report.set_viewport_size({"width": width, "height": 900})
    drawn = [panel for panel in page_data(full_run())["panels"] if panel["figure"]]
    assert draw_all(report) == len(drawn) > 6
    assert report.evaluate("document.documentElement.scrollWidth") <= width
    assert report.locator("#front .scatterlayer .point").count() > 20
    assert report.locator("#headline").inner_text().count("×") >= 4
    label = "getComputedStyle(document.querySelector('#answer .where')).overflowWrap"
    assert report.evaluate(label) == "normal", "the short word before a command is not broken"
    report.set_viewport_size({"width": 1280, "height": 900})


def test_no_button_leads_to_a_cloud(report: Any) -> None:
    draw_all(report)
    titles = report.locator(".modebar-btn").evaluate_all("buttons => buttons.map((b) => b.dataset.title)")
    assert "Reset axes" in titles
    assert not [title for title in titles if title and ("hare" in title or "loud" in title)]
    assert report.locator(".plotlyjsicon").count() == 0


def test_texts_of_the_run_are_shown_and_not_run(report: Any) -> None:
    draw_all(report)
    assert report.locator("h1").inner_text() == f"{PAYLOAD} (digits)"
    assert PAYLOAD in report.locator("#trials table").inner_text()
    assert report.locator("#compression .xtick", has_text="<img").count() == 4
    assert report.evaluate("window.broken === undefined && !document.querySelector('img, main b b')")


def test_table_is_sorted_by_keyboard_and_a_trial_opens_and_closes(report: Any) -> None:
    report.locator("#trials th button", has_text="accuracy").focus()
    report.keyboard.press("Enter")
    report.keyboard.press("Enter")
    assert report.locator("#trials th[aria-sort=descending]").inner_text().startswith("accuracy")
    values = [text for text in report.locator("#trials tbody tr td:nth-child(3)").all_inner_texts() if "%" in text]
    assert len(values) > 20
    assert values == sorted(values, reverse=True)
    report.locator("#trials tbody a").first.focus()
    report.keyboard.press("Enter")
    report.wait_for_selector("#trial:not([hidden]) code")
    report.keyboard.press("Escape")
    assert report.locator("#trial").is_hidden()
    assert report.evaluate("document.activeElement.matches('#trials tbody a')")


def test_axes_of_the_front_can_be_any_pair(report: Any) -> None:
    draw_all(report)
    report.locator("#front select").first.select_option("params")
    report.wait_for_selector("#front .xtitle:has-text('parameters')")
    number = full_run().winner["trial"]
    drawn = report.evaluate("document.querySelector('#front .plot').data.find(t => t.name === 'winner').x")
    assert drawn == [next(t for t in full_run().trials if t.number == number).value("params")]
    report.locator("#front select").first.select_option("latency_ms")


def shown(page: Any, name: str) -> list[Any]:
    """The values of a drawn trace of the front, across and up."""
    found: list[Any] = page.evaluate(
        "name => { const t = document.querySelector('#front .plot').data.find((t) => t.name === name);"
        "return t.x.map((x, i) => [x, t.y[i]]); }",
        name,
    )
    return found


def test_the_front_is_explored_by_logarithm_group_limit_and_box(report: Any) -> None:
    draw_all(report)
    trials = [t for t in full_run().trials if t.value("accuracy") is not None]
    report.locator("#front [data-log=x]").check()
    report.wait_for_function("document.querySelector('#front .plot').layout.xaxis.type === 'log'")
    report.locator("#front [data-log=x]").uncheck()
    before = len(shown(report, "on the front"))
    report.get_by_label("Value of the limit").fill("97.5")
    report.get_by_role("button", name="Add limit").click()
    good = [t for t in trials if t.value("accuracy") >= 0.975]
    assert 0 < len(good) < len(trials)
    assert report.locator("#front .count").inner_text().startswith(f"{len(good)} of 30 trials shown")
    report.get_by_role("checkbox", name="stopped early").uncheck()
    rest = sum(t.state != "stopped" for t in good)
    assert report.locator("#front .count").inner_text().startswith(f"{rest} of 30 trials shown")
    assert shown(report, "stopped early") == []
    report.get_by_role("button", name="Show all").click()
    assert len(shown(report, "on the front")) == before
    report.evaluate("Plotly.relayout(document.querySelector('#front .plot'), {dragmode: 'select'})")
    area = report.locator("#front .plot .nsewdrag").first.bounding_box()
    report.mouse.move(area["x"] + 20, area["y"] + 10)
    report.mouse.down()
    report.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2, steps=4)
    report.mouse.up()
    report.wait_for_selector("#front .chip >> nth=3")
    ends = report.evaluate("nw.stateOf(nw.panel('front')).limits.map(l => [l.key, l.op, l.value])")
    assert [limit[:2] for limit in ends] == [
        ["latency_ms", "≥"], ["latency_ms", "≤"], ["accuracy", "≥"], ["accuracy", "≤"],
    ]  # fmt: skip
    inside = [
        t for t in trials
        if ends[0][2] <= t.value("latency_ms") <= ends[1][2] and ends[2][2] <= t.value("accuracy") <= ends[3][2]
    ]  # fmt: skip
    assert report.locator("#front .count").inner_text().startswith(f"{len(inside)} of 30 trials shown")
    report.get_by_role("button", name="Show all").click()


def test_the_line_of_the_front_is_of_the_two_metrics_chosen_among_what_is_shown(report: Any) -> None:
    draw_all(report)
    report.locator("#front select").first.select_option("params")
    feasible = shown(report, "on the front") + shown(report, "feasible")
    line = shown(report, "front")
    assert line == sorted(
        [x, y] for x, y in feasible if not any(a <= x and b >= y and [a, b] != [x, y] for a, b in feasible)
    )
    report.locator("#front select").first.select_option("latency_ms")


def test_the_rows_that_are_shown_come_as_csv(report: Any) -> None:
    report.locator("#trials input[type=search]").fill("stopped")
    with report.expect_download() as loading:
        report.locator("#trials").get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(Path(loading.value.path()).read_text(encoding="utf-8").splitlines()))
    stopped = [trial for trial in full_run().trials if trial.state == "stopped"]
    assert [int(row["number"]) for row in rows] == [trial.number for trial in stopped]
    assert float(rows[0]["accuracy"]) == pytest.approx(stopped[0].value("accuracy"), rel=1e-5)
    report.locator("#trials input[type=search]").fill("")


def test_two_trials_are_compared_with_their_differences_named(report: Any) -> None:
    one, other = [t for t in full_run().trials if t.state == "done"][:2]
    report.evaluate("number => { location.hash = `#trial=${number}`; }", one.number)
    report.get_by_label("Number of the other trial").fill(str(other.number))
    report.get_by_role("button", name="Compare", exact=True).click()
    report.wait_for_selector("#trial.pair h2")
    text = report.locator("#trial").inner_text()
    assert f"Trials {one.number} and {other.number}" in text
    differ = [name for name in one.decisions if one.decisions[name] != other.decisions[name]]
    assert report.locator("#trial table").nth(1).locator("tbody code").all_inner_texts() == differ
    points = 100 * (other.value("accuracy") - one.value("accuracy"))
    assert f"{abs(points):.2f} points" in text
    assert report.locator("#trial .drawing svg").count() == 2
    report.keyboard.press("Escape")
    assert report.locator("#trial").is_hidden()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_stands_out_from_its_ground(report: Any, scheme: str) -> None:
    report.emulate_media(color_scheme=scheme)
    colours = ["--ink", "--soft", "--accent", "--good", "--bad", "--warn"]
    values = report.evaluate("names => names.map(nw.css)", [*colours, "--card", "--ground"])
    assert (values[-1] < "#80") == (scheme == "dark")
    for ground in values[-2:]:
        for name, colour in zip(colours, values, strict=False):
            assert contrast(colour, ground) >= 4.5, (scheme, name, colour, ground)


def test_paper_is_white_whatever_the_screen(report: Any) -> None:
    draw_all(report)
    report.emulate_media(color_scheme="dark")
    inks = "['--ink', '--card'].map(nw.css).join(' ')"
    plot = "document.querySelector('#front .plot').layout.font.color"
    dark = report.evaluate(inks)
    report.evaluate("dispatchEvent(new Event('beforeprint'))")
    report.wait_for_function(f"{plot} === nw.css('--ink')")
    printed = report.evaluate(inks)
    report.evaluate("dispatchEvent(new Event('afterprint'))")
    report.wait_for_function(f"{plot} === nw.css('--ink')")
    assert report.evaluate(inks) == dark != printed
    report.emulate_media(color_scheme="light")
    assert report.evaluate(inks) == printed


def test_a_try_of_a_recipe_is_no_trial_when_it_is_clicked(report: Any) -> None:
    draw_all(report)
    report.evaluate("document.querySelector('#solver .plot').emit('plotly_click', { points: [{ customdata: 1 }] })")
    assert "#trial=" not in report.url
    assert report.locator("#trial").is_hidden()


def test_a_model_that_became_slower_says_so_and_not_in_green(chromium: Any, tmp_path: Path) -> None:
    last = full_run().stages[-1]
    slower = {**last, "speedup": 0.8, "latency": {**last["latency"], "speedup_low": 0.75, "speedup_high": 0.85}}
    view = replace(full_run(), stages=[*full_run().stages[:-1], slower])
    with opened_report(chromium, view, tmp_path) as watch:
        card = watch.page.locator("#headline .card", has_text="Latency")
        assert "1.25× slower" in card.locator(".factor.worse").inner_text()
        assert "1.18× to 1.33×" in card.inner_text()


@pytest.mark.parametrize("case", ["no trials", "one trial", "without values"])
def test_report_of_an_odd_run_is_never_blank(chromium: Any, tmp_path: Path, case: str) -> None:
    with opened_report(chromium, VIEWS[case](), tmp_path) as watch:
        draw_all(watch.page)
        data = page_data(VIEWS[case]())
        filled = [panel["name"] for panel in data["panels"] if panel["rows"]]
        assert watch.page.locator("#panels section:visible").evaluate_all("all => all.map((s) => s.id)") == filled
        assert watch.page.locator("#sections a").count() == len(filled)
        absent = watch.page.locator("#absent").inner_text()
        assert all(panel["title"] in absent for panel in data["panels"] if not panel["rows"])
        assert watch.page.locator("#answer").inner_text().startswith(data["answer"]["text"])


def test_one_trial_is_seen_in_every_plot_on_axes_that_fit_it(chromium: Any, tmp_path: Path) -> None:
    with opened_report(chromium, VIEWS["one done trial"](), tmp_path, width=400) as watch:
        page = watch.page
        draw_all(page)
        assert page.locator("#history .scatterlayer .point").count() == 4
        low, high = page.evaluate("document.querySelector('#front .plot').layout.yaxis.range")
        assert 0.8 < low < high < 1.1
        assert set(page.locator("#learning_curves .xtick").all_text_contents()) - {""} == {"0", "1", "2", "3", "4"}


def test_10000_trials_are_drawn_by_webgl_and_paged(chromium: Any, tmp_path: Path) -> None:
    with opened_report(chromium, large_run(), tmp_path) as watch:
        page = watch.page
        page.wait_for_selector("#front .plot[data-drawn] .gl-canvas", state="attached")
        assert page.locator(".no-webgl").count() == 0
        assert page.locator("#trials tbody tr").count() == 50
        page.locator("#trials").get_by_role("button", name="Next").click()
        assert page.locator("#trials tbody tr td a").first.inner_text() == "50"
        page.locator("#trials input").fill("stopped")
        stopped = sum(trial.state == "stopped" for trial in large_run().trials)
        assert page.locator("#trials .pages").inner_text().count(f"{stopped:,} rows") == 1
        one, other = large_run().trials[4321:4323]
        page.evaluate(f"location.hash = '#compare={one.number},{other.number}'")
        page.wait_for_selector("#trial.pair h2")
        differ = [name for name in one.decisions if one.decisions[name] != other.decisions[name]]
        assert page.locator("#trial table").nth(1).locator("tbody code").all_inner_texts() == differ != []


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


class Running:
    """A run that goes on while it is served."""

    def __init__(self, view: RunView) -> None:
        self.view = view

    def __call__(self) -> RunView:
        return self.view


@contextmanager
def served(run: Running) -> Iterator[str]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(create_app(run, refresh_s=0.1), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 120
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)


def point_of(page: Any, number: int) -> tuple[float, float]:
    """Where a trial's point is on the screen."""
    place: list[float] = page.evaluate(
        """number => {
            const gd = document.querySelector('#front .plot');
            const trace = gd.data.find((t) => t.customdata?.includes(number));
            const at = trace.customdata.indexOf(number);
            const box = gd.getBoundingClientRect(), { _size: size, xaxis, yaxis } = gd._fullLayout;
            return [box.left + size.l + xaxis.d2p(trace.x[at]), box.top + size.t + yaxis.d2p(trace.y[at])];
        }""",
        number,
    )
    return place[0], place[1]


def test_live_page_follows_the_run_and_a_click_on_the_front_shows_the_trial(chromium: Any) -> None:
    run = Running(searching_run(12))
    context = new_context(chromium, viewport={"width": 1280, "height": 1000})
    with served(run) as address:
        watch = Watch(context.new_page())
        page = watch.page
        page.goto(address)
        page.wait_for_selector("#front .plot[data-drawn]")
        x, y = point_of(page, 8)
        page.mouse.move(x - 4, y - 3)
        page.mouse.move(x, y)
        page.wait_for_selector("#front .hoverlayer .hovertext")
        page.mouse.click(x, y)
        page.wait_for_selector("#trial:not([hidden]) .command")
        assert page.url.endswith("#trial=8")
        assert (
            page.locator("#trial .command code").inner_text() == "netwright export runs/digits --trial 8 --format onnx"
        )
        page.evaluate("Plotly.relayout(document.querySelector('#front .plot'), {'xaxis.range': [0.1, 0.7]})")
        page.get_by_label("Value of the limit").press_sequentially("9")
        run.view = searching_run(13)
        page.wait_for_selector("#trials tbody tr:nth-child(13)")
        assert page.evaluate("document.querySelector('#front .plot').layout.xaxis.range") == [0.1, 0.7]
        assert page.locator("#trial").is_visible()
        page.keyboard.type("5")
        assert page.get_by_label("Value of the limit").input_value() == "95", "news does not disturb who is typing"
        assert {url[: len(address)] for url in watch.requests} == {address}
        assert watch.complaints == []
    context.close()


def test_live_page_opens_at_a_trial_and_says_when_the_server_is_gone(chromium: Any) -> None:
    context = new_context(chromium)
    with served(Running(full_run())) as address:
        page = context.new_page()
        page.goto(f"{address}#trial=27")
        page.wait_for_selector("#trial:not([hidden]) svg")
        assert "Trial 27" in page.locator("#trial").inner_text()
    page.wait_for_selector("#problem:not([hidden])")
    problem = page.locator("#problem").inner_text()
    assert "not up to date: the dashboard does not answer; see whether netwright dashboard still runs" in problem
    context.close()


def test_news_takes_neither_the_focus_nor_the_place_in_a_table_nor_what_was_chosen(chromium: Any) -> None:
    run = Running(searching_run(14))
    context = new_context(chromium, viewport={"width": 500, "height": 900})
    with served(run) as address:
        watch = Watch(context.new_page())
        page = watch.page
        page.goto(address)
        page.wait_for_selector("#front .plot[data-drawn]")
        page.get_by_label("Value of the limit").fill("90")
        page.get_by_role("button", name="Add limit").click()
        page.locator("#trials tbody a").nth(2).focus()
        page.evaluate("document.querySelector('#trials .scroll').scrollLeft = 60")
        run.view = replace(full_run(), sequence=30)
        page.evaluate("nw.ask('api/run').then(nw.apply)")  # everything, as to one who is too far behind
        page.wait_for_selector("#trials tbody tr:nth-child(30)")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#trial=2"
        assert page.evaluate("document.querySelector('#trials .scroll').scrollLeft") == 60
        assert page.locator("#front .chip").inner_text().startswith("accuracy ≥")
        page.get_by_label("Value of the limit").fill("7")
        page.locator("#trials th button").first.focus()
        run.view = replace(run.view, trials=full_run().trials[:20], sequence=50)
        page.wait_for_selector("#trials tbody tr:nth-child(21)", state="detached")
        assert page.evaluate("document.activeElement.closest('th') !== null")
        assert page.get_by_label("Value of the limit").input_value() == "7"
        assert watch.complaints == []
    context.close()


def test_an_open_trial_is_shown_as_it_is_now(chromium: Any) -> None:
    number = next(t.number for t in full_run().trials if t.state == "running")
    run = Running(full_run())
    context = new_context(chromium)
    with served(run) as address:
        page = context.new_page()
        page.goto(f"{address}#trial={number}")
        page.wait_for_selector("#trial [data-state=running]")
        ended = [replace(t, state=TrialState.DONE) if t.number == number else t for t in full_run().trials]
        run.view = replace(full_run(), trials=ended, sequence=31)
        page.wait_for_selector("#trial [data-state=done]")
        page.locator("#trials tbody a").first.focus()
        page.wait_for_timeout(2_500)
        assert page.evaluate("document.activeElement.matches('#trials a')"), "an open trial does not draw the focus"
    context.close()
