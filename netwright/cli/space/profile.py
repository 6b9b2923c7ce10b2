"""`netwright space profile`: what a space holds for a task, and whether bounds can be kept, before any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netwright.cli.output import json_option, print_json, print_table
from netwright.cli.space.size import size_json, size_text
from netwright.cli.space_arguments import (
    METRICS,
    chosen_shapes,
    chosen_space,
    parse_bound,
    seed_option,
    settings_option,
    shape_options,
    shape_text,
)

if TYPE_CHECKING:
    from netwright.cli.space_arguments import Chosen
    from netwright.core.records import Objective
    from netwright.search_spaces.profiling import SpaceProfile, Verdict


@click.command(
    name="profile",
    epilog="""\b
Examples (bounds in quotes, or the shell takes <= for itself):
  netwright space profile convnet --task digits --bound 'macs<=5e5'
  netwright space profile mlp --input 1x28x28 --classes 10 --bound 'params<=5e4' --bound 'activation_bytes<=4096'
  netwright space profile recipe.yaml              the recipe's space, task and bounds""",
)
@click.argument("space")
@click.option(
    "--bound",
    "bounds",
    multiple=True,
    metavar="'COST<=N'",
    help="On params, macs or activation_bytes, <= or >=; may be repeated.",
)
@click.option("--samples", type=click.IntRange(min=10), default=1000, show_default=True, help="Architectures to draw.")
@seed_option
@settings_option
@shape_options
@json_option
def command(
    space: str,
    bounds: tuple[str, ...],
    samples: int,
    seed: int,
    overrides: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Size of SPACE, least, median and most of each cost, and the share of architectures that keep all bounds.

    Says first when a bound cannot be kept, and by how much. A space of at most --samples architectures is looked
    at in full; of any other a sample is drawn and the ends of each cost are searched for.
    """
    import random
    import sys

    from netwright.search_spaces.profiling import profile

    chosen = chosen_space(space, overrides)
    wanted = [parse_bound(text) for text in bounds] or _recipe_bounds(chosen)
    shapes, where = chosen_shapes(chosen, **given)

    def told(verdict: Verdict, exhaustive: bool) -> None:
        if not as_json and not verdict.reachable:
            doing("")
            print(_sentence(verdict, exhaustive=exhaustive), flush=True)

    def doing(words: str) -> None:
        if sys.stderr.isatty():  # one line that is written over, and gone at the end
            print(f"\r\x1b[K{words} ..." if words else "\r\x1b[K", end="", file=sys.stderr, flush=True)

    generator = random.Random(seed)
    found = profile(chosen.space, shapes, bounds=wanted, samples=samples, rng=generator, told=told, doing=doing)
    doing("")
    if as_json:
        print_json(_json(found, shape_text(shapes)))
    else:
        _print(found, f"{space}, {shape_text(shapes)} ({where})")


def _recipe_bounds(chosen: Chosen) -> list[Objective]:
    """The bounds of a recipe on costs that need no training."""
    from netwright.core.records import Objective

    recipe = chosen.recipe or {}
    entries = [*(recipe.get("objectives") or []), *(recipe.get("constraints") or [])]
    return [
        Objective(metric=METRICS[entry["metric"]], direction="minimize", bound=float(entry["bound"]))
        for entry in entries
        if isinstance(entry, dict) and entry.get("metric") in METRICS and entry.get("bound") is not None
    ]


def _print(found: SpaceProfile, what: str) -> None:
    print(what)
    print(f"size      {size_text(found.size)}")
    how = "all architectures" if found.exhaustive else f"{found.looked_at:,} drawn, ends searched for"
    rows = [
        {"cost": name, "least": spread.least, "median": int(spread.median), "most": spread.most}
        for name, spread in found.spreads.items()
    ]
    print_table(rows, title=f"\nCosts ({how})")
    for reason, count in list(found.refused.items())[:3]:
        print(f"{count:,} of {found.looked_at:,} cannot serve this input: {reason}")
    if found.verdicts:
        print("\n" + _share(found))


def _share(found: SpaceProfile) -> str:
    bounds = " and ".join(_bound(verdict) for verdict in found.verdicts)
    feasible = found.feasible
    words = f"{100 * feasible.share:.3g} % keep {bounds}"
    if not found.exhaustive:
        words += f" (95 % interval {100 * feasible.low:.3g} to {100 * feasible.high:.3g} %)"
    if feasible.share == 0 and feasible.example is not None:
        words += "; none of those drawn, but the search found one: see example in --json"
    elif feasible.example is None and all(verdict.reachable for verdict in found.verdicts):
        words += "; each bound can be kept, but no architecture was found that keeps all of them"
    return words


def _sentence(verdict: Verdict, *, exhaustive: bool) -> str:
    """That a bound cannot be kept, and by how much."""
    bound = verdict.bound.bound or 0.0
    most = verdict.bound.direction == "maximize"
    extreme = ("largest" if most else "smallest") + ("" if exhaustive else " found")
    factor = bound / verdict.best if most and verdict.best else verdict.best / bound if bound > 0 else None
    times = "" if factor is None else f", {factor:.3g} times {'too small' if most else 'too large'}"
    return f"cannot be kept: {_bound(verdict)}; the {extreme} is {verdict.best:,}{times}"


def _bound(verdict: Verdict) -> str:
    sign = ">=" if verdict.bound.direction == "maximize" else "<="
    return f"{verdict.bound.metric} {sign} {verdict.bound.bound:,.12g}"


def _json(found: SpaceProfile, shapes: str) -> dict[str, Any]:
    return {
        "shapes": shapes,
        "size": size_json(found.size),
        "looked_at": found.looked_at,
        "exhaustive": found.exhaustive,
        "costs": {
            name: {"least": spread.least, "median": spread.median, "most": spread.most}
            for name, spread in found.spreads.items()
        },
        "refused": found.refused,
        "feasible": {
            "share": found.feasible.share,
            "low": found.feasible.low,
            "high": found.feasible.high,
            "example": found.feasible.example,
        },
        "bounds": [
            {
                "bound": _bound(verdict),
                "reachable": verdict.reachable,
                "best": verdict.best,
                "decisions": dict(verdict.decisions),
            }
            for verdict in found.verdicts
        ],
    }
