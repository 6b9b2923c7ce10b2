"""How `netwright benchmark` shows a comparison: progress, sentences, rows for people, a page of curves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netwright.core.progress import Event, Listener
    from netwright.core.records import Objective
    from netwright.nas.benchmarking.scoring import Scale

EVERY_S = 5.0


def about(scale: Scale) -> dict[str, Any]:
    """What the numbers are measured against."""
    goals = scale.goals
    several = len(goals.objectives) > 1
    return {
        "name": scale.table.name,
        "architectures": len(scale.table),
        "same": scale.table.same,
        "absent": scale.table.absent,
        "objectives": [_said(o) for o in goals.objectives],
        "known": list(goals.known),
        "reported": [_said(o) for o in goals.reported],
        "optimum": scale.optimum,
        "reference": list(scale.reference) if several else None,
        "hypervolume": scale.hypervolume if several else None,
    }


def words(about: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    text = f"search {', '.join(about['objectives'])}"
    if about["reported"] != about["objectives"]:
        text += f"; reported {', '.join(about['reported'])}"
    if about["known"]:
        text += f"; known before paying: {', '.join(about['known'])}"
    text += f"; optimum {about['optimum']:.6g}"
    if about["absent"] == "nearest":
        text += "; for an architecture of no row the nearest row answers"
    if about["reference"] is not None:
        text += f"; reference {', '.join(f'{value:.6g}' for value in about['reference'])}"
    return text


def readable(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of the summary as a person reads it."""
    shown = {
        "strategy": row["strategy"],
        "paid": f"{round(row['paid'], 2):g}",
        "best": _plus_minus(row, "best", ".2f" if _is_coarse(row["best_mean"]) else ".5g"),
        "regret": _number(row["regret_mean"], ".3g"),
    }
    if row["hypervolume_mean"] is not None:
        shown["hypervolume"] = _plus_minus(row, "hypervolume", ".4f")
    shown |= {"at optimum": f"{row['optimum_share']:.0%}", "repeats": f"{row['repeats_paid']:,}"}
    if row["absent_mean"]:
        shown["absent"] = f"{row['absent_mean']:.1f}"
    if row["refused_mean"]:
        shown["refused"] = f"{row['refused_mean']:.1f}"
    if row["epochs_mean"] is not None and row["architectures_mean"] > row["paid"]:
        shown |= {"tried": f"{row['architectures_mean']:.4g}", "in full": f"{row['in_full_mean']:.4g}"}
    if row["epochs_mean"] is not None:
        shown["epochs"] = f"{row['epochs_mean']:,.0f}"
    shown["ms per ask"] = _number(None if row["seconds_per_ask"] is None else 1e3 * row["seconds_per_ask"], ".3g")
    if set(row["ended"]) != {"budget"}:
        shown["ended"] = ", ".join(f"{count} {how}" for how, count in row["ended"].items())
    return shown


def count(number: int, one: str, several: str) -> str:
    """`1 search`, `20 searches`."""
    return f"{number} {one if number == 1 else several}"


def write_page(
    path: Path,
    curves: Sequence[Mapping[str, Any]],
    *,
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
    seeds: int,
) -> None:
    """Write the curves and the table of a comparison as one HTML file."""
    from netwright.core.files import write_atomic
    from netwright.dashboards.regret_page import regret_page

    remarks = [
        f"{words(about)}. The table has {about['architectures']:,} architectures.",
        f"{count(seeds, 'search', 'searches')} of each strategy.",
        "Lines are means over the searches, bands their 95 % intervals by resampling the searches.",
    ]
    page = regret_page(curves, summary=[readable(row) for row in rows], title=str(about["name"]), remarks=remarks)
    write_atomic(path, page)


@contextmanager
def progress() -> Iterator[Listener]:
    """Searches done, on standard error: a bar in a terminal, now and then a line elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("searches", total=None)

        def show(event: Event) -> None:
            done, wanted = int(str(event.facts["done"])), int(str(event.facts["wanted"]))
            bar.update(task, completed=done, total=wanted)

        yield show


def _lines() -> Callable[[Event], None]:
    began = last = time.monotonic()

    def show(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        done, wanted = int(str(event.facts["done"])), int(str(event.facts["wanted"]))
        if done == 0:
            print(f"[0/{wanted}] searches", file=sys.stderr, flush=True)
        elif now - last >= EVERY_S:
            last = now
            left = (now - began) / done * (wanted - done)
            print(f"[{done}/{wanted}] searches, about {left:.0f} s left", file=sys.stderr, flush=True)

    return show


def _said(objective: Objective) -> str:
    direction = (objective.direction or "")[:3]
    bound = "" if objective.bound is None else f"{'<=' if direction == 'min' else '>='}{objective.bound:g}"
    return f"{direction}:{objective.metric}{bound}"


def _is_coarse(value: float | None) -> bool:
    return value is not None and 10 <= abs(value) < 1000


def _plus_minus(row: Mapping[str, Any], what: str, spec: str) -> str:
    middle = row[f"{what}_mean"]
    return "-" if middle is None else f"{middle:{spec}} ± {row[f'{what}_std']:{'.2g' if spec == '.5g' else spec}}"


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"
