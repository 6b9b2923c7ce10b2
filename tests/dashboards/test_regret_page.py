"""The page of a comparison draws every strategy once, in a figure that plotly takes, and shows names as they are."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from netwright.dashboards.regret_page import curve_figure, regret_page

HOSTILE = "</script><b>evolution"


def rows(*, hypervolume: bool = False, epochs: bool = False) -> list[dict[str, Any]]:
    """Three payments of two strategies, one of which finds the optimum in the end."""
    found: list[dict[str, Any]] = []
    for name, regrets in ((HOSTILE, (2.0, 1.0, 0.0)), ("random", (3.0, 3.0, 0.5))):
        for paid, regret in enumerate(regrets, start=1):
            row = {"strategy": name, "paid": paid, "epochs": 200.0 * paid if epochs else None}
            row |= {"regret": regret, "regret_low": regret / 2, "regret_high": regret * 2}
            missing = regret / 10 if hypervolume else None
            row |= dict.fromkeys(
                ("missing_hypervolume", "missing_hypervolume_low", "missing_hypervolume_high"), missing
            )
            found.append(row)
    return found


def test_every_strategy_is_a_line_with_a_band() -> None:
    figure = curve_figure(rows(), "regret", label="mean regret")
    go.Figure(figure)
    lines = [trace for trace in figure["data"] if "fill" not in trace]
    bands = [trace for trace in figure["data"] if "fill" in trace]
    assert [trace["x"] for trace in lines] == [[1, 2, 3], [1, 2, 3]]
    assert lines[1]["y"] == [3.0, 3.0, 0.5]
    assert bands[1]["y"] == [6.0, 6.0, 1.0, 0.25, 1.5, 1.5]
    assert len({trace["line"]["color"] for trace in lines}) == 2


def test_a_mean_of_zero_lies_at_the_foot_of_the_logarithmic_axis() -> None:
    figure = curve_figure(rows(), "regret", label="mean regret")
    line = next(trace for trace in figure["data"] if "fill" not in trace)
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert line["y"] == [2.0, 1.0, 0.05]


def test_where_epochs_are_known_they_are_the_horizontal_axis() -> None:
    figure = curve_figure(rows(epochs=True), "regret", label="mean regret", x="epochs")
    assert figure["data"][1]["x"] == [200.0, 400.0, 600.0]
    assert figure["layout"]["xaxis"]["title"]["text"] == "epochs paid for"


@pytest.mark.parametrize(("hypervolume", "figures"), [(False, 1), (True, 2)])
def test_the_page_has_a_figure_for_each_quality_and_the_numbers(hypervolume: bool, figures: int) -> None:
    summary = [{"strategy": HOSTILE, "regret": "0.00"}, {"strategy": "random", "regret": "0.50"}]
    page = regret_page(rows(hypervolume=hypervolume), summary=summary, title="a < b", remarks=["two & two"])
    assert page.count('<div id="figure') == figures
    assert "<h1>a &lt; b</h1>" in page
    assert "<p>two &amp; two</p>" in page
    assert "<td>&lt;/script&gt;&lt;b&gt;evolution</td><td>0.00</td>" in page
    assert HOSTILE not in page
    assert page.count("</script>") == 3
