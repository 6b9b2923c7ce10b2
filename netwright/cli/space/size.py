"""`netwright space size`: how many sets of decisions a space has."""

from __future__ import annotations

import click

from netwright.cli.output import json_option, print_json
from netwright.cli.space_arguments import chosen_space, seed_option, settings_option


@click.command(
    name="size",
    epilog="""\b
Examples:
  netwright space size nasbench201
  netwright space size convnet --set depth='[2, 3]' --limit 1000000""",
)
@click.argument("space")
@click.option("--limit", type=click.IntRange(min=1), default=50_000, show_default=True, help="Count up to so many.")
@click.option(
    "--samples",
    type=click.IntRange(min=10),
    default=1000,
    show_default=True,
    help="Walks of an estimate, up to 16 times as many while its standard error is above 5 %.",
)
@seed_option
@settings_option
@json_option
def command(space: str, limit: int, samples: int, seed: int, overrides: tuple[str, ...], as_json: bool) -> None:
    """The number of sets of decisions of SPACE: counted, or estimated with its standard error."""
    import random

    from netwright.search_spaces.size import PRECISION, size_of

    chosen = chosen_space(space, overrides)
    size = size_of(chosen.space, rng=random.Random(seed), limit=limit, walks=samples, precision=PRECISION)
    if as_json:
        print_json(size_json(size))
        return
    print(f"{space}: {size_text(size)}")


def size_text(size: object) -> str:
    """The size in words, with how it was found."""
    from netwright.search_spaces.size import SpaceSize

    assert isinstance(size, SpaceSize)
    if size.count is not None:
        return f"{size} sets of decisions, counted"
    error = f"standard error {100 * size.relative_error:.2g} %"
    return f"{size} sets of decisions, estimated from {size.walks:,} random walks ({error})"


def size_json(size: object) -> dict[str, object]:
    """The size as plain data."""
    from netwright.search_spaces.size import SpaceSize

    assert isinstance(size, SpaceSize)
    estimate = size.estimate
    return {
        "size": size.count,
        "exact": size.count is not None,
        "estimate": estimate,
        "log10": size.log10 if size.log10 > -400 else None,
        "standard_error": None if estimate is None else estimate * size.relative_error,
        "walks": size.walks,
        "real_valued": list(size.real),
    }
