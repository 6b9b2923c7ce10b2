"""The regret curves of a comparison of strategies as one HTML page, with its numbers below."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from netwright.dashboards.figures import CYCLE, layout
from netwright.dashboards.labels import plain, rounded
from netwright.dashboards.page import json_in_page, plotly_script, static_policy

DASHES = ("solid", "dash", "dot", "dashdot")
BAND = 0.15
"""Opacity of an interval."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #1c2024; background: #fff }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #d8dce0 }
th:first-child, td:first-child { text-align: left }
"""  # noqa: E501 -- one rule of a style a line


def curve_figure(rows: Sequence[Mapping[str, Any]], what: str, *, label: str, x: str = "paid") -> dict[str, Any]:
    """Mean curves with their intervals, one line per strategy.

    `rows` have `strategy`, `paid`, `epochs` and `<what>`, `<what>_low`, `<what>_high`. The vertical axis is
    logarithmic: a mean of zero is drawn at the foot of the plot, a tenth of the least other one.
    """
    known = [row for row in rows if row[what] is not None]
    floor = min((row[what] for row in known if row[what] > 0), default=1.0) / 10
    traces: list[dict[str, Any]] = []
    for place, name in enumerate(dict.fromkeys(row["strategy"] for row in known)):
        mine = [row for row in known if row["strategy"] == name]
        traces += _line(mine, what, x=x, floor=floor, place=place)
    across_title = "epochs paid for" if x == "epochs" else "architectures paid for"
    return {
        "data": traces,
        "layout": layout(
            height=520,
            xaxis={"title": {"text": across_title}},
            yaxis={"title": {"text": plain(label)}, "type": "log", "tickformat": "~g", "dtick": "D2"},
        ),
    }


def _line(rows: Sequence[Mapping[str, Any]], what: str, *, x: str, floor: float, place: int) -> list[dict[str, Any]]:
    """One strategy's interval and its mean; `place` gives it colour and dashes."""
    name, colour = rows[0]["strategy"], CYCLE[place % len(CYCLE)]
    across = [rounded(row[x]) for row in rows]
    mean, low, high = ([rounded(max(row[key], floor)) for row in rows] for key in (what, f"{what}_low", f"{what}_high"))
    group = {"legendgroup": name, "type": "scatter", "mode": "lines"}
    band = {
        **group,
        "x": across + across[::-1],
        "y": high + low[::-1],
        "fill": "toself",
        "fillcolor": _see_through(colour),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    dash = DASHES[place // len(CYCLE) % len(DASHES)]
    line = {
        **group,
        "x": across,
        "y": mean,
        "name": plain(name),
        "line": {"color": colour, "width": 2, "dash": dash, "shape": "hv"},
        "hovertemplate": f"{plain(name)}: %{{y:.4~g}} after %{{x}}<extra></extra>",
    }
    return [band, line]


def regret_page(
    rows: Sequence[Mapping[str, Any]], *, summary: Sequence[Mapping[str, str]], title: str, remarks: Sequence[str]
) -> str:
    """The page: a figure of regret, one of missing hypervolume where there is one, and the table `summary`."""
    x = "epochs" if any(row["epochs"] is not None for row in rows) else "paid"
    figures = [curve_figure(rows, "regret", label="mean regret", x=x)]
    if any(row["missing_hypervolume"] is not None for row in rows):
        figures.append(curve_figure(rows, "missing_hypervolume", label="mean missing share of the hypervolume", x=x))
    places = "".join(f'<div id="figure{number}"></div>\n' for number in range(len(figures)))
    script = plotly_script().replace("</script", "<\\/script").replace("<!--", "<\\!--")
    words = "".join(f"<p>{html.escape(remark)}</p>\n" for remark in remarks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{static_policy(gl=False)}">
<link rel="icon" href="data:,">
<title>{html.escape(title)} · netwright</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
{words}{places}{_table(summary)}
<script type="application/json" id="figures">{json_in_page(figures)}</script>
<script>{script}</script>
<script>
JSON.parse(document.getElementById("figures").textContent).forEach((figure, number) =>
  Plotly.newPlot("figure" + number, figure.data, figure.layout, {{responsive: true, displaylogo: false}}));
</script>
</body>
</html>
"""


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    lines = ["".join(f"<td>{html.escape(row.get(name, ''))}</td>" for name in names) for row in rows]
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _see_through(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {BAND})"
