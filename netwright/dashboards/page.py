"""The page shell: the same markup, style and scripts for the static report and for the live app."""

from __future__ import annotations

import html
import json
from functools import cache
from importlib.resources import files
from typing import Any

SCRIPTS = ("format.js", "tables.js", "plots.js", "explore.js", "trial.js", "compare.js", "app.js")
STYLE = "style.css"
GL = " 'unsafe-eval'"
"""Plotly's WebGL traces compile their drawing functions at run time (measured with plotly.js 4.1.1: without this
they draw nothing). A page gets it only when it has so many points that it needs WebGL; smaller ones do without."""


def static_policy(*, gl: bool) -> str:
    """The policy of a report: it may run what is written in it and load nothing at all."""
    return f"default-src 'none'; script-src 'unsafe-inline'{GL if gl else ''}; style-src 'unsafe-inline'; img-src data:"


def live_policy(*, gl: bool) -> str:
    """The policy of the live page: scripts and data from its own server only."""
    return (
        f"default-src 'none'; script-src 'self'{GL if gl else ''}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def asset(name: str) -> str:
    """The text of one of the page's own files."""
    return files("netwright.dashboards").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def plotly_script() -> str:
    """The plotly.js that comes with the plotly package."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script


def static_page(data: dict[str, Any], *, name: str) -> str:
    """The whole report as one text: data, style and scripts are in it, and nothing is loaded."""
    scripts = "".join(f"<script>\n{_inline(asset(script))}\n</script>\n" for script in SCRIPTS)
    gl = any(_uses_gl(panel["figure"]) for panel in data["panels"])
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{static_policy(gl=gl)}">\n'
        f"<style>\n{asset(STYLE)}\n</style>\n"
    )
    tail = (
        f'<script type="application/json" id="data">{json_in_page(data)}</script>\n'
        f"<script>{_inline(plotly_script())}</script>\n{scripts}"
    )
    return _shell(title=f"{name} · netwright report", head=head, tail=tail, live=False, gl=gl)


def live_page(*, name: str, gl: bool = False) -> str:
    """The page of the live app, which loads its parts and its data from the same server."""
    head = f'<link rel="stylesheet" href="assets/{STYLE}">\n'
    tail = '<script src="assets/plotly.js"></script>\n'
    tail += "".join(f'<script src="assets/{script}"></script>\n' for script in SCRIPTS)
    return _shell(title=f"{name} · netwright", head=head, tail=tail, live=True, gl=gl)


def json_in_page(value: object) -> str:
    """JSON that can stand between script tags: no character that could end them."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    for character, escape in escapes.items():
        text = text.replace(character, escape)
    return text


def _inline(script: str) -> str:
    """A script that can stand in a page; `</script` inside it would end it."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _uses_gl(figure: dict[str, Any] | None) -> bool:
    return figure is not None and any(trace["type"] == "scattergl" for trace in figure["data"])


def _shell(*, title: str, head: str, tail: str, live: bool, gl: bool) -> str:
    return f"""<!doctype html>
<html lang="en" data-mode="{"live" if live else "report"}" data-gl="{"yes" if gl else "no"}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
{head}</head>
<body>
<a class="skip" href="#content">Skip to the numbers</a>
<header class="top">
  <div class="brand">netwright</div>
  <h1 id="name"></h1>
  <p id="status" role="status" aria-live="polite"></p>
</header>
<nav id="sections" aria-label="Sections"></nav>
<p id="problem" role="alert" hidden></p>
<main id="content" tabindex="-1">
  <section id="answer" aria-label="The answer"></section>
  <section id="headline" aria-label="Headline numbers"></section>
  <div id="panels"></div>
  <section id="absent" aria-label="Not in this run" hidden></section>
</main>
<aside id="trial" role="dialog" aria-labelledby="trial-title" tabindex="-1" hidden></aside>
<noscript><p class="empty">This page draws its tables and plots with JavaScript; switch it on to read it.</p></noscript>
{tail}</body>
</html>
"""
